"""The inbox: each event that a microworkflow received, as proof of handling, or kept for another attempt."""

import functools
import operator
from collections.abc import Collection
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db import models, router, transaction
from django.db.models.functions import Left, Right
from django.utils.translation import gettext_lazy as _
from django_outbox_pattern.models import Received

from microworkflows import flows, times, transactions
from microworkflows.cloudevents import KEY, KIND, NAME, context_of, subject_of
from microworkflows.models.columns import DUE_AT_ONCE, Header
from microworkflows.models.expressions import CorrelationOf, FingerprintOf
from microworkflows.models.history import HistoryEntry, of_messages
from microworkflows.subjects import Subject

_BATCH = 1_000
_MESSAGE_ID = "^[^:]+:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""Form of the keys that :func:`message_id` makes, as a regular expression for PostgreSQL and Python alike."""


class InboxQuerySet(models.QuerySet["InboxEvent"]):
    """Queries of the inbox, and the ways to replay or dismiss failed messages."""

    def waiting(self) -> "InboxQuerySet":
        """Return the failed messages that wait for another attempt, first due first."""
        return self.filter(status=InboxEvent.Status.WAITING).order_by("expires_at")

    def parked(self) -> "InboxQuerySet":
        """Return the parked messages, oldest first."""
        return self.filter(status=InboxEvent.Status.PARKED).order_by("added")

    def failing(self) -> "InboxQuerySet":
        """Return the messages that wait for another attempt, and the parked ones."""
        return self.filter(status__in=[InboxEvent.Status.PARKED, InboxEvent.Status.WAITING])

    def of_problem(self, fingerprint: str) -> "InboxQuerySet":
        """Return the messages whose last failure has this fingerprint."""
        rows: InboxQuerySet = self.alias(problem=FingerprintOf()).filter(problem=fingerprint)
        return rows

    def of_context(self, *contexts: str) -> "InboxQuerySet":
        """Return the messages that one context received, or one of several."""
        begins = [models.Q(msg_id__startswith=f"{context}{end}") for context in contexts for end in ".:"]
        return self.filter(functools.reduce(operator.or_, begins))

    def of_workflow(self, label: str) -> "InboxQuerySet":
        """Return the messages of one microworkflow, by its label; it may be gone."""
        return self.filter(msg_id__startswith=f"{label}:")

    def of_type(self, event_type: str) -> "InboxQuerySet":
        """Return the messages of one event type."""
        return self.filter(headers__type=event_type)

    def about(self, term: str) -> "InboxQuerySet":
        """Return the messages of flows about the object with this name, in upper or lower case, or this key, or of this flow.

        No index holds it: narrow down the rows first.
        """
        return self.filter(is_about(term) | models.Q(headers__correlation_id=term))

    def of_deliveries(self, deliveries: Collection[tuple[str, UUID]]) -> "InboxQuerySet":
        """Return the rows of these pairs of a microworkflow's label and an event's id."""
        return self.filter(msg_id__in=[message_id(label, event_id) for label, event_id in deliveries])

    def of_flow(self, correlation_id: str, *, deliveries: Collection[tuple[str, UUID]]) -> "InboxQuerySet":
        """Return the messages of one flow, and the rows of these pairs of a label and an event's id."""
        ids = [message_id(label, event_id) for label, event_id in deliveries]
        rows: InboxQuerySet = self.alias(flow=CorrelationOf("body"))
        return rows.filter(models.Q(msg_id__in=ids) | models.Q(flow=correlation_id)).order_by("added")

    def replay(self, *, by: str, why: str = "") -> int:
        """Make parked, waiting and dismissed messages due now, with all their attempts again; return their number.

        One that is being handled at this very moment is left alone, and so is one from which personal data was erased. The
        history keeps the attempts before, and who replayed.

        Args:
            by: Name of the person.
            why: The reason, for the history.
        """
        return _change(
            self.exclude(status=InboxEvent.Status.HANDLED).exclude(headers__has_key=Header.ERASED_AT),
            HistoryEntry.Kind.REPLAYED,
            by=by,
            why=why,
            status=InboxEvent.Status.WAITING,
            expires_at=times.stored(DUE_AT_ONCE),
            retry=0,
        )

    def dismiss(self, *, by: str, why: str) -> int:
        """Give parked and waiting messages up; return their number. Only a replay brings them back, until they are purged.

        One that is being handled at this very moment is left alone.

        Args:
            by: Name of the person.
            why: The reason, for the history.

        Raises:
            ValueError: there is no reason.
        """
        if not why.strip():
            raise ValueError("A dismissed message is never handled: give the reason why nobody needs it.")
        return _change(
            self.failing(),
            HistoryEntry.Kind.DISMISSED,
            by=by,
            why=why,
            status=InboxEvent.Status.DISMISSED,
            expires_at=times.now(),  # the retention begins
        )

    def free(self) -> "InboxQuerySet":
        """Return the rows that nobody holds, and lock them until the end of the transaction.

        A worker holds the row of a message to be retried as long as its handler runs: nobody may wait for that.
        """
        rows = self.order_by().select_for_update(skip_locked=True, no_key=True)
        return InboxQuerySet(self.model, using=router.db_for_write(InboxEvent)).filter(
            pk__in=rows.values("pk")
        )


_InboxManager = models.Manager.from_queryset(InboxQuerySet)


class InboxManager(_InboxManager["InboxEvent"]):
    """The rows that the kit received, told by their key, ``<label>:<event id>``, and the headers that it writes."""

    def get_queryset(self) -> InboxQuerySet:
        """Leave out rows that the library received itself."""
        return InboxQuerySet(self.model, using=self._db or router.db_for_write(self.model)).filter(
            msg_id__regex=_MESSAGE_ID, headers__has_keys=[Header.TYPE, Header.CORRELATION_ID]
        )

    def many(self) -> InboxQuerySet:
        """Return the same rows, in no order, for who reads very many: told by the colon in their key alone, in a tenth of the time."""
        rows = InboxQuerySet(self.model, using=self._db or router.db_for_write(self.model)).order_by()
        found: InboxQuerySet = rows.alias(before_id=Left(Right("msg_id", 37), 1)).filter(before_id=":")
        return found


class InboxEvent(Received):  # type: ignore[misc]  # the library has no types
    """An event that one microworkflow received: proof of handling, or the message kept for another attempt."""

    class Status(models.IntegerChoices):
        """Progress of a message on its way in."""

        HANDLED = 2, "handled"
        WAITING = 1, "waiting"
        PARKED = -1, "parked"
        DISMISSED = -2, "dismissed"

    objects = InboxManager()

    class Meta:
        proxy = True
        verbose_name = _("inbox event")
        permissions = [
            ("replay_inboxevent", "Can replay parked messages"),
            ("dismiss_inboxevent", "Can dismiss parked messages"),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.type} {self.event_id}"

    @property
    def label(self) -> str:
        """Label of the microworkflow, or of the context where none of its microworkflows listens to the type."""
        return cast("str", self.msg_id).partition(":")[0]

    @property
    def workflow(self) -> str | None:
        """Label of the microworkflow; None where none of its context's listens to the type."""
        return workflow_of(self.msg_id)

    @property
    def context(self) -> str:
        """Label of the context that received it."""
        return context_of(self.label)

    @property
    def event_id(self) -> UUID:
        """Id of the event."""
        return UUID(cast("str", self.msg_id).partition(":")[2])

    @property
    def type(self) -> str:
        """Versioned type of the event."""
        return cast("str", self._header(Header.TYPE))

    @property
    def correlation_id(self) -> str:
        """Id of the event's flow."""
        return cast("str", self._header(Header.CORRELATION_ID))

    @property
    def subject(self) -> Subject | None:
        """The object that the event's flow is about; None if nothing says so."""
        return subject_of(self.body)

    @property
    def error(self) -> str | None:
        """Error of the last failed attempt, as ``ExceptionType: text``."""
        return cast("str | None", self._header(Header.ERROR))

    @property
    def traceback(self) -> str | None:
        """Traceback of the last failed attempt."""
        return cast("str | None", self._header(Header.TRACEBACK))

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of that error; None if it never failed, or an earlier version of the kit kept the failure."""
        return cast("str | None", self._header(Header.FINGERPRINT))

    @property
    def history(self) -> "models.QuerySet[HistoryEntry]":
        """Its failed attempts and the interventions of people, oldest first."""
        return of_messages([self.msg_id])

    @property
    def received_at(self) -> datetime:
        """Time at which it was received first."""
        return times.aware(self.added)

    @property
    def due_at(self) -> datetime:
        """Time of a waiting message's next attempt."""
        return times.aware(self.expires_at)

    @property
    def attempts(self) -> int:
        """Number of failed attempts since it was received, or replayed."""
        return cast("int", self.retry)

    @property
    def erased_at(self) -> datetime | None:
        """Time at which personal data was erased from it; None if it never was."""
        at = self._header(Header.ERASED_AT)
        return datetime.fromisoformat(at) if at else None

    @property
    def listeners(self) -> frozenset[str]:
        """Labels of the microworkflows of its context that listened when it was received; empty if it was the only one."""
        return frozenset(self._header(Header.LISTENERS) or ())

    @property
    def mode(self) -> str:
        """Part of its context in the flow, in a word of the router's; empty if its own worker received it."""
        return str(self._header(Header.MODE) or "")

    @property
    def handled_at(self) -> datetime:
        """Time at which it was handled: when it was received, unless it failed at first."""
        later = self._header(Header.HANDLED_AT)
        return times.aware(datetime.fromisoformat(later) if later else self.added)

    def awaits(self, attempt: int | None) -> bool:
        """Return True if it waits for this attempt; any other delivery of it is a duplicate, and so is a first one."""
        return bool(self.status == InboxEvent.Status.WAITING and self.retry == attempt)

    def _header(self, name: Header) -> Any:
        return (self.headers or {}).get(name)


class DeadLetter(InboxEvent):
    """Stands for the messages in the broker's dead-letter queues, which have no rows: it carries their permissions."""

    class Meta:
        proxy = True
        verbose_name = _("dead letter")
        default_permissions = ("view",)
        permissions = [
            ("requeue_deadletter", "Can bring dead letters back to their queues"),
            ("drop_deadletter", "Can delete dead letters for good"),
        ]


InboxEvent._meta.verbose_name_plural = _("inbox events")  # in Meta, it would make a migration
DeadLetter._meta.verbose_name_plural = _("dead letters")


def message_id(label: str, event_id: UUID) -> str:
    """Return the key under which one consumer receives one event once."""
    return f"{label}:{event_id}"


def is_about(term: str) -> models.Q:
    """Return the condition that the flow of the event in ``body`` is about the object with this name, key, or kind and key."""
    kind, colon, key = term.partition(":")
    found = models.Q(**{f"body__{NAME}__iexact": term}) | models.Q(**{f"body__{KEY}": term})
    return found | models.Q(**{f"body__{KIND}": kind, f"body__{KEY}": key}) if colon else found


def workflow_of(msg_id: str) -> str | None:
    """Return the label of the microworkflow that a key names; None if it names a context."""
    label = msg_id.partition(":")[0]
    return label if "." in label else None


def _change(rows: InboxQuerySet, kind: HistoryEntry.Kind, *, by: str, why: str, **values: Any) -> int:
    """Update those of the rows that nobody holds, and note that in their histories, in one transaction; return their number."""
    alias = router.db_for_write(InboxEvent)
    with transactions.read_committed(using=alias):
        locked = rows.using(alias).order_by().select_for_update(skip_locked=True, no_key=True)
        keys = list(locked.values_list("pk", "msg_id", FingerprintOf()))
        now = times.now()
        for first in range(0, len(keys), _BATCH):
            batch = keys[first : first + _BATCH]
            InboxQuerySet(InboxEvent, using=alias).filter(pk__in=[pk for pk, _, _ in batch]).update(**values)
            HistoryEntry.objects.using(alias).bulk_create(
                HistoryEntry(msg_id=msg_id, kind=kind, at=now, fingerprint=problem or "", by=by, why=why)
                for _, msg_id, problem in batch
            )
        if keys and flows.has_guests():
            acted = [
                (label, UUID(event_id)) for label, _, event_id in (key.partition(":") for _, key, _ in keys)
            ]
            transaction.on_commit(
                lambda: flows.acted(str(kind.label), acted, by=by, why=why), using=alias, robust=True
            )
    return len(keys)
