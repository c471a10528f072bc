"""The order process over django-outbox-pattern's own publish and subscribe: four callbacks, each with its step.

``manage.py subscribe benchmarks.order_process.subscriptions.pay /topic/order_accepted payments``, and so forth.
"""

from django.db import transaction
from django_outbox_pattern.models import Published
from django_outbox_pattern.payloads import Payload

from benchmarks.order_process import steps
from benchmarks.order_process.destinations import DESTINATIONS
from benchmarks.order_process.steps import Accepted
from orders.events import OrderAccepted


def record(event: OrderAccepted, *, about: object, correlation_id: str) -> None:
    """Publish the first message, in the place of the kit's outbox: in the transaction that accepts the order."""
    _publish("pay", event.model_dump(mode="json"))


def pay(payload: Payload) -> None:
    """First."""
    with transaction.atomic():
        steps.pay(payload.body)
        _publish("reserve", payload.body)
        payload.save()


def reserve(payload: Payload) -> None:
    """Second."""
    with transaction.atomic():
        steps.reserve(payload.body)
        _publish("ship", payload.body)
        payload.save()


def ship(payload: Payload) -> None:
    """Third."""
    with transaction.atomic():
        steps.ship(payload.body)
        _publish("finish", payload.body)
        payload.save()


def finish(payload: Payload) -> None:
    """Last."""
    with transaction.atomic():
        steps.finish(payload.body)
        payload.save()


def _publish(callback: str, accepted: Accepted) -> None:
    # Without this header the broker keeps the message in memory alone; all others send messages that are written down.
    Published.objects.create(
        destination=DESTINATIONS[callback], body=accepted, headers={"persistent": "true"}
    )
