"""Microworkflows of inventory: a paid order is reserved, a shipped one leaves the shelves."""

from inventory import operations
from inventory.events import (
    ItemsReserved,
    OrderAccepted,
    OutOfStock,
    PaymentDeclined,
    PaymentReceived,
    ShipmentScheduled,
)
from microworkflows import microworkflow


@microworkflow(on=OrderAccepted, emits=[ItemsReserved, OutOfStock])
def note_order(event: OrderAccepted) -> ItemsReserved | OutOfStock | None:
    """Keep what the order wants; reserve it, if the payment was faster."""
    return operations.note_order(
        order_id=event.order_id, quantities=[(line.sku, line.quantity) for line in event.lines]
    )


@microworkflow(on=PaymentReceived, emits=[ItemsReserved, OutOfStock])
def reserve_items(event: PaymentReceived) -> ItemsReserved | OutOfStock | None:
    """Reserve what the order wants: all of it or nothing."""
    return operations.note_payment(order_id=event.order_id)


@microworkflow(on=PaymentDeclined)
def forget_order(event: PaymentDeclined) -> None:
    """Drop what the order wanted."""
    operations.forget_order(order_id=event.order_id)


@microworkflow(on=ShipmentScheduled)
def issue_items(event: ShipmentScheduled) -> None:
    """Take the reserved items off the shelves."""
    operations.issue_items(order_id=event.order_id)
