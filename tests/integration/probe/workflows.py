from microworkflows import microworkflow
from tests.integration.probe.behaviours import BEHAVIOURS, effect
from tests.integration.probe.events import Answered, Asked


@microworkflow(on=Asked, emits=[Answered], context="probe")
def answer(event: Asked) -> Answered | None:
    effect("probe.answer", event)
    BEHAVIOURS[event.behaviour](event)
    return Answered(number=event.number) if event.behaviour in {"emit", "hold_emit"} else None
