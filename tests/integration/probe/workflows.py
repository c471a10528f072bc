from datetime import timedelta

from microworkflows import Breaker, microworkflow
from tests.integration.probe.behaviours import BEHAVIOURS, GatewayAwayError, effect
from tests.integration.probe.events import Answered, Asked

BREAKER = Breaker(
    errors=[GatewayAwayError], after=3, pause=timedelta(seconds=0.25), max_pause=timedelta(seconds=1)
)


@microworkflow(on=Asked, emits=[Answered], context="probe", breaker=BREAKER)
def answer(event: Asked) -> Answered | None:
    effect("probe.answer", event)
    BEHAVIOURS[event.behaviour](event)
    return Answered(number=event.number) if event.behaviour in {"emit", "hold_emit"} else None
