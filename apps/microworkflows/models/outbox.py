"""The outbox: events that were recorded with their state change, on their way to the broker."""

from datetime import datetime
from typing import cast
from uuid import UUID

from django.db import models, router
from django.db.models.functions import Cast, Lower
from django.utils.translation import gettext_lazy as _
from django_outbox_pattern.models import Published

from microworkflows import times
from microworkflows.cloudevents import context_of, fact_of, subject_of
from microworkflows.models.columns import DUE_AT_ONCE, Header
from microworkflows.models.expressions import ContextOf, CorrelationOf, SubjectPart
from microworkflows.subjects import Subject

_NEWEST_FIRST = Cast("pk", models.TextField()).desc()
"""Order of rows that an expression finds: in the order of an index, a database might read all rows in search of the few."""


class OutboxQuerySet(models.QuerySet["OutboxEvent"]):
    """Queries of the outbox, and the way to relay unheard and rejected events again."""

    def pending(self, *, context: str | None = None) -> "OutboxQuerySet":
        """Return the events still to be relayed, oldest first; of one context or of all."""
        rows = self.filter(status=OutboxEvent.Status.PENDING).order_by("pk")
        return rows if context is None else rows.of_context(context)

    def unheard(self) -> "OutboxQuerySet":
        """Return the events that the broker returned because no queue was bound to their type, oldest first."""
        return self.filter(status=OutboxEvent.Status.UNHEARD).order_by("pk")

    def of_context(self, context: str) -> "OutboxQuerySet":
        """Return the events that one context announced."""
        rows: OutboxQuerySet = self.alias(of=ContextOf("destination")).filter(of=context)
        return rows

    def of_type(self, event_type: str) -> "OutboxQuerySet":
        """Return the events of one type."""
        return self.filter(destination=event_type)

    def of_flow(self, *correlation_ids: str) -> "OutboxQuerySet":
        """Return the events of one flow or several, in the order in which they were recorded."""
        rows: OutboxQuerySet = self.alias(flow=CorrelationOf("body")).filter(flow__in=correlation_ids)
        return rows.order_by("pk")

    def beginning_with_key(self, key: str) -> "OutboxQuerySet":
        """Return the rows that begin a flow about an object with this key, of whatever kind, newest first."""
        keyed: OutboxQuerySet = self.alias(subject_key=SubjectPart("key")).filter(subject_key=key)
        return keyed.order_by(_NEWEST_FIRST)

    def beginning_with_name(self, name: str) -> "OutboxQuerySet":
        """Return the rows that begin a flow about an object of this name, in upper or lower case, newest first."""
        rows = self.alias(subject_name=Lower(SubjectPart("name")))
        named: OutboxQuerySet = rows.filter(subject_name=Lower(models.Value(name)))
        return named.order_by(_NEWEST_FIRST)

    def scheduled(self) -> "OutboxQuerySet":
        """Return the timers that are not due yet, the next one first."""
        return self.filter(status=OutboxEvent.Status.SCHEDULED).order_by("expires_at", "pk")

    def rejected(self) -> "OutboxQuerySet":
        """Return the events that the broker refuses for good, such as one that is too large, oldest first."""
        return self.filter(status=OutboxEvent.Status.REJECTED).order_by("pk")

    def relay_again(self) -> int:
        """Make the unheard and rejected events pending again, but those from which personal data was erased; return their number."""
        stuck = self.filter(status__in=[OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED])
        stuck = stuck.exclude(headers__has_key=Header.ERASED_AT)
        return stuck.update(status=OutboxEvent.Status.PENDING, expires_at=times.stored(DUE_AT_ONCE))


_OutboxManager = models.Manager.from_queryset(OutboxQuerySet)


class OutboxManager(_OutboxManager["OutboxEvent"]):
    """The rows that the kit recorded, told by a header that it alone writes."""

    def get_queryset(self) -> OutboxQuerySet:
        """Leave out rows that the library published itself."""
        return OutboxQuerySet(self.model, using=self._db or router.db_for_write(self.model)).filter(
            headers__has_key=Header.MICROWORKFLOW
        )


class OutboxEvent(Published):  # type: ignore[misc]  # the library has no types
    """An event that was recorded with its state change; the relay brings it to the broker."""

    class Status(models.IntegerChoices):
        """Progress of an event on its way out."""

        PENDING = 1, "pending"
        RELAYED = 2, "relayed"
        UNHEARD = 3, "unheard"
        REJECTED = 4, "rejected"
        SCHEDULED = 5, "scheduled"
        """A timer that is not due yet."""
        CANCELLED = 6, "cancelled"
        """A timer that an event of its flow has cancelled: it is never sent."""

    UNSENT = (Status.PENDING, Status.SCHEDULED, Status.CANCELLED)
    """Statuses of what has not left, so that nothing is to be sent again."""

    objects = OutboxManager()

    class Meta:
        proxy = True
        verbose_name = _("outbox event")
        permissions = [("relay_outboxevent", "Can relay unheard events again")]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"

    @property
    def type(self) -> str:
        """Versioned type, which is also the routing key."""
        return cast("str", self.destination)

    @property
    def event_id(self) -> UUID:
        """Id by which inboxes know the event: its own, or, of a fact in several versions, the oldest one's."""
        return UUID(fact_of(self.body))

    @property
    def context(self) -> str:
        """Label of the context that announced it."""
        return context_of(self.type)

    @property
    def workflow(self) -> str | None:
        """Label of the microworkflow that emitted it; None where a flow begins."""
        return cast("str | None", self.headers.get(Header.MICROWORKFLOW))

    @property
    def listeners(self) -> frozenset[str] | None:
        """Labels of the microworkflows that listened when it was recorded; None if an older version recorded it."""
        listeners = self.headers.get(Header.LISTENERS)
        return None if listeners is None else frozenset(listeners)

    @property
    def unless(self) -> frozenset[str]:
        """Types of the events that cancel it, a timer."""
        return frozenset(self.headers.get(Header.UNLESS, ()))

    @property
    def correlation_id(self) -> str:
        """Id of its flow."""
        return cast("str", self.body["correlationid"])

    @property
    def subject(self) -> Subject | None:
        """The object that its flow is about; None if nothing says so."""
        return subject_of(self.body)

    @property
    def causation_id(self) -> str | None:
        """Id of the event that caused it."""
        return cast("str | None", self.body.get("causationid"))

    @property
    def error(self) -> str | None:
        """Reason of the broker's last refusal; None if it never refused the event."""
        return cast("str | None", self.headers.get(Header.ERROR))

    @property
    def recorded_at(self) -> datetime:
        """Time at which it was recorded; of a timer, the time at which it is due, as if it were recorded then."""
        return times.aware(self.added)

    @property
    def due_at(self) -> datetime:
        """Time before which it is not relayed."""
        return times.aware(self.expires_at)

    @property
    def attempts(self) -> int:
        """Number of times that the broker refused it."""
        return cast("int", self.retry)


OutboxEvent._meta.verbose_name_plural = _("outbox events")  # in Meta, it would make a migration
