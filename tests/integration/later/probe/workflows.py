from microworkflows import microworkflow
from tests.integration.probe.behaviours import BEHAVIOURS, effect
from tests.integration.probe.events import Answered, Asked


@microworkflow(on=Asked, emits=[Answered], context="probe", name="answer")
def reply(event: Asked) -> Answered | None:
    """Do what ``answer`` did, whose name it keeps."""
    effect("probe.answer", event)
    BEHAVIOURS[event.behaviour](event)
    return Answered(number=event.number) if event.behaviour in {"emit", "hold_emit"} else None
