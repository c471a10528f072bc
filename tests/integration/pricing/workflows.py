from typing import Any

from microworkflows import IncomingEvent, microworkflow
from tests.integration.pricing.events import LISTENER, BilledPrice, BilledPriceV2
from tests.integration.probe.behaviours import effect

_ON: dict[int, list[type[IncomingEvent]]] = {
    1: [BilledPrice],
    2: [BilledPrice, BilledPriceV2],
    3: [BilledPriceV2],
}


def bill(event: Any) -> None:
    effect("billing.bill", event)


if LISTENER:
    microworkflow(on=_ON[LISTENER], context="billing")(bill)
