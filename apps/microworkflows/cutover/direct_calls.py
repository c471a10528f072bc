"""Before the switch: events are recorded beside the direct calls that still do everything."""

from microworkflows import causes, recording
from microworkflows.cloudevents import Metadata
from microworkflows.cutover.stamps import DONE
from microworkflows.errors import MicroworkflowsError
from microworkflows.events import DomainEvent


class RecordedInStepError(MicroworkflowsError):
    """An event was recorded as done while a step was being done."""


def record_done(event: DomainEvent, *, correlation_id: str | None = None) -> Metadata:
    """Record an event whose consequences the code around it brings about itself, by direct calls.

    It is relayed like any other, but says of itself that nothing is left to do: no microworkflow will ever act on
    it, however late it is delivered and whatever runs by then. Arguments and result are those of
    :func:`microworkflows.outbox.record`.

    Raises:
        RecordedInStepError: a step calls the code around it by now: what it announces would be done a second time.
        TransactionRequiredError: there is no transaction.
    """
    if (cause := causes.cause()) is not None:
        raise RecordedInStepError(
            f"{event.event_type} is recorded as done by code that {cause.workflow} calls. Delete this call, and let the "
            "legacy step return the event instead."
        )
    return recording.record([event], correlation_id=correlation_id, marking=lambda _: DONE)[0].meta
