"""Outbox and inbox: django-outbox-pattern's two tables, as this kit uses them; and the workers' heartbeats.

The columns of the two keep their names, but two have another meaning here. ``expires_at`` is the time at which a row is due: an
outbox row is not relayed, and an inbox row not retried, before it. ``retry`` is the number of failed attempts.

The tables may also hold rows that the library wrote itself, for example before the kit was installed. The managers
leave them out, so that the kit relays, counts, shows and purges its own messages only.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import models, router, transaction
from django.db.models.expressions import Func
from django.db.models.functions import Cast, Lower
from django_outbox_pattern.models import Published, Received

from microworkflows import times
from microworkflows.cloudevents import KEY, KIND, NAME, context_of, subject_of
from microworkflows.subjects import Subject

DUE_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""A time that has passed on every clock: those of the machines that record and relay need not agree."""

Row = TypeVar("Row", bound=models.Model)

_MESSAGE_ID = "^[^:]+:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""Form of the keys that :func:`message_id` makes, as a regular expression for PostgreSQL and Python alike."""


class Header(StrEnum):
    """Keys of the JSON column ``headers``: of the outbox, of the inbox, or of both."""

    MICROWORKFLOW = "microworkflow"
    """Outbox: label of the microworkflow that emitted the event; None where a flow begins."""
    LISTENERS = "listeners"
    """Both: labels of the microworkflows that listened to the event when the row was written, as the keys of an object.
    The outbox names all, the inbox those of its context if there are several. Rows of earlier versions lack it."""
    SUBJECT = "subject"
    """Outbox, where a flow begins: kind, key and name of the object that it is about, as an object; indexes hold two of them."""
    TYPE = "type"
    """Inbox: type of the event."""
    CORRELATION_ID = "correlation_id"
    """Inbox: id of the event's flow."""
    MODE = "mode"
    """Inbox: part of the context in the flow, in a word of the router's."""
    HANDLED_AT = "handled_at"
    """Inbox: time at which a retried message was handled, in ISO 8601."""
    GAVE_WAY = "gave_way"
    """Inbox: number of times that the message gave way to others' transactions, each at the cost of no attempt."""
    ERROR = "error"
    """Both: the last refusal of the broker, or the error of the last attempt."""
    TRACEBACK = "traceback"
    """Inbox: traceback of that error."""


class ContextOf(Func):
    """SQL for the context of an event type (the part before its first dot); an index holds the same expression."""

    output_field = models.CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="split_part(%(expressions)s, '.', 1)", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"substr({sql}, 1, instr({sql}, '.') - 1)", [*params, *params]


class CorrelationOf(Func):
    """SQL for the flow that a stored CloudEvent belongs to; an index holds the same expression."""

    output_field = models.CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="(%(expressions)s ->> 'correlationid')", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(
            compiler, connection, template="json_extract(%(expressions)s, '$.correlationid')", **extra
        )


class SubjectPart(Func):
    """SQL for a part, ``key`` or ``name``, of what the flow is about that begins with a row; an index holds the same expression."""

    output_field = models.CharField()

    def __init__(self, part: str) -> None:
        super().__init__("headers")
        self.part = part

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"(%(expressions)s #>> '{{{Header.SUBJECT},{self.part}}}')"
        return super().as_sql(compiler, connection, template=template, **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = f"json_extract(%(expressions)s, '$.{Header.SUBJECT}.{self.part}')"
        return super().as_sql(compiler, connection, template=template, **extra)


class EventOf(Func):
    """SQL for the id of the event in the key of a message, to be compared with the keys of the outbox."""

    output_field = models.UUIDField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="right(%(expressions)s, 36)::uuid", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "replace(substr(%(expressions)s, -36), '-', '')"
        return super().as_sql(compiler, connection, template=template, **extra)


class PrimaryManager(models.Manager[Row]):
    """Reads where it writes: a replica may be late, and would show what is done as still to do."""

    def get_queryset(self) -> models.QuerySet[Row]:
        """Return all rows, of the database that they are written to."""
        return super().get_queryset().using(self._db or router.db_for_write(self.model))


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

    def rejected(self) -> "OutboxQuerySet":
        """Return the events that the broker refuses for good, such as one that is too large, oldest first."""
        return self.filter(status=OutboxEvent.Status.REJECTED).order_by("pk")

    def relay_again(self) -> int:
        """Make the unheard and rejected events pending again; return their number."""
        stuck = self.filter(status__in=[OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED])
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

    objects = OutboxManager()

    class Meta:
        proxy = True
        verbose_name = "outbox event"
        permissions = [("relay_outboxevent", "Can relay unheard events again")]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"

    @property
    def type(self) -> str:
        """Versioned type, which is also the routing key."""
        return cast("str", self.destination)

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
        """Time at which it was recorded."""
        return times.aware(self.added)

    @property
    def due_at(self) -> datetime:
        """Time before which it is not relayed."""
        return times.aware(self.expires_at)

    @property
    def attempts(self) -> int:
        """Number of times that the broker refused it."""
        return cast("int", self.retry)


class InboxQuerySet(models.QuerySet["InboxEvent"]):
    """Queries of the inbox, and the way to replay failed messages."""

    def waiting(self) -> "InboxQuerySet":
        """Return the failed messages that wait for another attempt, first due first."""
        return self.filter(status=InboxEvent.Status.WAITING).order_by("expires_at")

    def parked(self) -> "InboxQuerySet":
        """Return the parked messages, oldest first."""
        return self.filter(status=InboxEvent.Status.PARKED).order_by("added")

    def of_context(self, context: str) -> "InboxQuerySet":
        """Return the messages that one context received."""
        return self.filter(
            models.Q(msg_id__startswith=f"{context}.") | models.Q(msg_id__startswith=f"{context}:")
        )

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

    def replay(self) -> int:
        """Make parked and waiting messages due now, with all their attempts again; return their number.

        One that is being handled at this very moment is left alone.
        """
        with transaction.atomic(using=router.db_for_write(InboxEvent)):
            return (
                self.exclude(status=InboxEvent.Status.HANDLED)
                .free()
                .update(status=InboxEvent.Status.WAITING, expires_at=times.stored(DUE_AT_ONCE), retry=0)
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


class InboxEvent(Received):  # type: ignore[misc]  # the library has no types
    """An event that one microworkflow received: proof of handling, or the message kept for another attempt."""

    class Status(models.IntegerChoices):
        """Progress of a message on its way in."""

        HANDLED = 2, "handled"
        WAITING = 1, "waiting"
        PARKED = -1, "parked"

    objects = InboxManager()

    class Meta:
        proxy = True
        verbose_name = "inbox event"
        permissions = [("replay_inboxevent", "Can replay parked messages")]

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
    def received_at(self) -> datetime:
        """Time at which it was received first."""
        return times.aware(self.added)

    @property
    def due_at(self) -> datetime:
        """Time of a waiting message's next attempt."""
        return times.aware(self.expires_at)

    @property
    def attempts(self) -> int:
        """Number of failed attempts."""
        return cast("int", self.retry)

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
        verbose_name = "dead letter"
        default_permissions = ("view",)
        permissions = [
            ("requeue_deadletter", "Can bring dead letters back to their queues"),
            ("drop_deadletter", "Can delete dead letters for good"),
        ]


class Heartbeat(models.Model):
    """The last sign of life of a worker at one queue that it consumes; :mod:`microworkflows.heartbeats` writes and reads it."""

    queue = models.CharField(max_length=255)
    worker = models.CharField(max_length=255, help_text="Celery's name of it, such as payments@host.")
    host = models.CharField(max_length=255)
    pid = models.PositiveBigIntegerField(help_text="Of the worker's parent process.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, help_text="When it stopped consuming, if it was told to.")
    handling = models.PositiveIntegerField(
        help_text="Messages in the hands of its processes, of all its queues."
    )
    depth = models.PositiveBigIntegerField(
        null=True, help_text="Messages that waited in the queue; null: unknown."
    )

    objects = PrimaryManager["Heartbeat"]()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["queue", "worker"], name="microworkflows_one_heartbeat"),
        ]

    def __str__(self) -> str:
        return f"{self.worker} at {self.queue}"


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
