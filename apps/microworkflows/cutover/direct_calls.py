"""Events before the switch, recorded beside the direct calls that still do everything."""

from microworkflows import causes, recording
from microworkflows.cloudevents import Metadata
from microworkflows.cutover.stamps import DONE
from microworkflows.errors import MicroworkflowsError
from microworkflows.events import DomainEvent
from microworkflows.subjects import About


class RecordedInStepError(MicroworkflowsError):
    """An event was recorded as done while a step was running."""


def record_done(event: DomainEvent, *, about: About | None = None, correlation_id: object = None) -> Metadata:
    """Record an event whose consequences the surrounding code brings about itself, by direct calls.

    The event is relayed like any other, but bears the mark that nothing is left to do: no microworkflow will ever act
    on it, even if it is delivered late, to newer code. Arguments and result are those of
    :func:`microworkflows.outbox.record`.

    Raises:
        RecordedInStepError: a step now calls the surrounding code, so the event's consequences would happen twice.
        TransactionRequiredError: no transaction is open.
    """
    if (cause := causes.cause()) is not None:
        raise RecordedInStepError(
            f"{event.event_type} is recorded as done by code that {cause.workflow} calls. Delete this call, and let the "
            "legacy step return the event instead."
        )
    recorded = recording.record([event], about=about, correlation_id=correlation_id, marking=lambda _: DONE)
    return recorded[0].meta
