"""What the columns of the kit's tables hold: keys of the JSON headers, and a time that is due at once; and where to read them."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from django.db import models, router

DUE_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""A time that has passed on every clock: those of the machines that record and relay need not agree."""

Row = TypeVar("Row", bound=models.Model)


class Header(StrEnum):
    """Keys of the JSON column ``headers``: of the outbox, of the inbox, or of both."""

    MICROWORKFLOW = "microworkflow"
    """Outbox: label of the microworkflow that emitted the event; None where a flow begins."""
    LISTENERS = "listeners"
    """Both: labels of the microworkflows that listened to the event when the row was written, as the keys of an object.
    The outbox names all, the inbox those of its context if there are several. Rows of earlier versions lack it."""
    FED_TO = "fed_to"
    """Outbox: labels of the contexts to whose queues alone the event was sent once more, as the keys of an object."""
    ONLY_FOR = "only_for"
    """Outbox: label of the context to whose queue alone the event is sent, in place of all that are bound to its type."""
    UNLESS = "unless"
    """Outbox: types of the events that cancel a timer, as a list; absent where none does."""
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
    SERIES = "failures_in_a_row"
    """Inbox: number of the message's failures in a row that its microworkflow's breaker counts, each at the cost of no attempt, and the
    time of the first, in seconds since 1970, as a list."""
    TURN = "turn"
    """Inbox: time of the turn for which the message waits, as its microworkflow limits the rate of its runs, in ISO 8601."""
    ERROR = "error"
    """Both: the last refusal of the broker, or the error of the last attempt."""
    TRACEBACK = "traceback"
    """Inbox: traceback of that error."""
    ERASED_AT = "erased_at"
    """Both: time at which personal data was erased from the event, in ISO 8601; it cannot be handled any more."""
    FINGERPRINT = "fingerprint"
    """Inbox: fingerprint of that error; an index holds it. Rows of earlier versions lack it."""


class PrimaryManager(models.Manager[Row]):
    """Reads where it writes: a replica may be late, and would show what is done as still to do."""

    def get_queryset(self) -> models.QuerySet[Row]:
        """Return all rows, of the database that they are written to."""
        return super().get_queryset().using(self._db or router.db_for_write(self.model))
