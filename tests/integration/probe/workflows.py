from datetime import timedelta

from django.conf import settings

from microworkflows import Breaker, Limits, microworkflow
from tests.integration.probe.behaviours import BEHAVIOURS, GatewayAwayError, effect
from tests.integration.probe.events import Answered, Asked

BREAKER = Breaker(
    errors=[GatewayAwayError], after=3, pause=timedelta(seconds=0.25), max_pause=timedelta(seconds=1)
)
_SECONDS = getattr(settings, "PROBE_RUN_SECONDS", None)
_GIVEN = getattr(settings, "PROBE_LIMITS", {}) | (
    {"run_time": timedelta(seconds=_SECONDS)} if _SECONDS else {}
)
LIMITS = Limits(**_GIVEN) if _GIVEN else None


@microworkflow(on=Asked, emits=[Answered], context="probe", breaker=BREAKER, limits=LIMITS)
def answer(event: Asked) -> Answered | None:
    effect("probe.answer", event)
    BEHAVIOURS[event.behaviour](event)
    return Answered(number=event.number) if event.behaviour in {"emit", "hold_emit"} else None
