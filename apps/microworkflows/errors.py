"""Errors of the kit. Each message says what happened, why, and what to do next."""

from datetime import timedelta

_LONGEST_WAIT = timedelta(days=365)


class MicroworkflowsError(Exception):
    """Base of every error that the kit raises."""


class PermanentError(MicroworkflowsError):
    """A failure that no retry can heal: the message is parked at once.

    Raise it (or a subclass) in a microworkflow when trying again with the same event is pointless.
    """


class RetryAfter(MicroworkflowsError):  # noqa: N818  (it asks for something, and may be nobody's error)
    """A failure that says when the next attempt makes sense, as an HTTP response with ``Retry-After`` does (RFC 9110, 10.2.3).

    Raise it in a microworkflow: its transaction is rolled back, and the message comes again no sooner. It counts as an attempt.

    Args:
        wait: Seconds, or a timedelta; more than none, and a year at most.
        why: What the person who looks at the waiting message reads.

    Raises:
        ValueError: ``wait`` is out of range.
    """

    def __init__(self, wait: float | timedelta, why: str = "") -> None:
        seconds = wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
        if not 0 < seconds <= _LONGEST_WAIT.total_seconds():
            raise ValueError(f"RetryAfter({wait!r}): the wait is more than 0 seconds, and a year at most.")
        self.wait = timedelta(seconds=seconds)
        super().__init__(why or f"again in {seconds:g} s")


class InvalidCloudEventError(PermanentError):
    """The message is not a CloudEvent 1.0 in JSON, its attributes break the standard, or it is beyond the kit's bounds."""


class UnrecordableEventError(PermanentError):
    """The event holds what no message or database can, or is too large; its text names the field."""


class InvalidSubjectError(PermanentError):
    """Kind, key or name of a flow's subject is missing, too long, or holds what it must not."""


class InvalidPayloadError(PermanentError):
    """The event's data does not satisfy the reading that its consumer declared."""


class ErasedEventError(PermanentError):
    """Personal data was erased from the event, so that nobody can act on it any more."""


class UnreadableMarkError(PermanentError):
    """No installed app reads the mark of the event's flow, so it is unknown who does its steps."""


class UnservedStepError(UnreadableMarkError):
    """The mark of the event's flow leaves a step to somebody who, by the settings of this process, does not do it."""


class UndeclaredEventError(PermanentError):
    """An event was recorded that has no type, or that the ``emits`` of the running microworkflow does not name."""


class MisalignedResultsError(PermanentError):
    """A microworkflow that takes many events returned something else than one result for each."""


class TooManyHopsError(PermanentError):
    """So many events have caused each other that a flow most likely goes round in a circle; it stops here."""


class UnkeepableError(MicroworkflowsError):
    """The inbox cannot keep a message that failed, and keeps others: it becomes a dead letter."""


class TransactionRequiredError(MicroworkflowsError):
    """An event was recorded outside a transaction: it could be lost, or announce a change that never happened."""


class EventNotDeliveredError(MicroworkflowsError):
    """The event was made by hand and never delivered, so it has no metadata."""


class TopologyError(MicroworkflowsError):
    """An exchange, a queue or a binding is missing at the broker, and the login may not declare it."""


class ForeignQueueError(MicroworkflowsError):
    """A queue of this name belongs to another project at the same virtual host; each would take the other's events."""


class BrokerUnavailableError(MicroworkflowsError):
    """The broker is out of reach or does not answer in time. Nothing is lost: the outbox keeps every event."""


class SharedSessionError(MicroworkflowsError):
    """A session of the database is needed that is this process's own, and the way to the database offers none."""


class OtherVersionError(MicroworkflowsError):
    """An event came in a version that nobody here listens to, and the one that somebody does has not come yet."""


class UnknownMicroworkflowError(MicroworkflowsError):
    """A message came back for a microworkflow that this worker's code does not have; other code may have it."""


class ContractError(MicroworkflowsError):
    """A folder of contracts holds something that is none, or two contracts would have one name."""
