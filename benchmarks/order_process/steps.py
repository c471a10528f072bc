"""The order process as four steps, as one writes them where the apps may call each other: the shop's own operations.

Each step does its app's part and moves the order on. What an order holds comes along, as the data of OrderAccepted.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from inventory import operations as inventory
from orders import operations as orders
from payments import operations as payments
from payments.events import PaymentReceived
from shipping import operations as shipping
from shipping.events import ShipTo

Accepted = dict[str, Any]
"""The data of OrderAccepted, as JSON."""


class NotExpectedError(Exception):
    """An order took a turn that no measured order takes."""


@transaction.atomic
def pay(accepted: Accepted) -> None:
    """Take the money."""
    take_payment(accepted)
    orders.mark_paid(order_ids=[_id(accepted)])


@transaction.atomic
def reserve(accepted: Accepted) -> None:
    """Set the goods aside."""
    reserve_items(accepted)
    orders.mark_reserved(order_ids=[_id(accepted)])


@transaction.atomic
def ship(accepted: Accepted) -> None:
    """Send the parcel, with which the goods leave the shelves."""
    schedule_shipment(accepted)
    inventory.issue_items(order_ids=[_id(accepted)])


def finish(accepted: Accepted) -> None:
    """End the order."""
    orders.mark_shipped(order_ids=[_id(accepted)])


# An app's own part alone


@transaction.atomic
def take_payment(accepted: Accepted) -> None:
    """Take the money; the order's id is the idempotency key, as in the monolith."""
    answer = payments.take_payment(
        order_id=_id(accepted),
        amount=Decimal(accepted["total"]),
        currency=accepted["currency"],
        token=accepted["payment_token"],
        idempotency_key=_id(accepted),
        at=timezone.now(),
    )
    if not isinstance(answer, PaymentReceived):
        raise NotExpectedError(f"{answer!r} instead of a payment")


@transaction.atomic
def reserve_items(accepted: Accepted) -> None:
    """Set the goods aside, in one transaction with what was ordered."""
    quantities = [(line["sku"], line["quantity"]) for line in accepted["lines"]]
    inventory.note_orders(wanted={_id(accepted): quantities})
    inventory.note_payments(order_ids=[_id(accepted)])


@transaction.atomic
def schedule_shipment(accepted: Accepted) -> None:
    """Send the parcel, in one transaction with where it goes."""
    address, now = ShipTo(**accepted["ship_to"]), timezone.now()
    shipping.note_addresses(addresses={_id(accepted): address}, at=now)
    shipping.note_items(order_ids=[_id(accepted)], at=now)


def _id(accepted: Accepted) -> UUID:
    return UUID(accepted["order_id"])
