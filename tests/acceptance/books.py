"""What the shop's books say after a demo: questions across contexts, which no context may ask but an auditor must.

Runs inside the demo's environment: see ``Demo.ask``.
"""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum


def read() -> dict[str, Any]:
    """Return the sums that must agree, and what must be zero."""
    from inventory.models import Reservation, ReservationLine, StockItem
    from microworkflows.models import InboxEvent, OutboxEvent
    from orders.models import Order, OrderLine
    from payments.models import Payment
    from shipping.models import Shipment

    shipped = Order.objects.filter(state="shipped")
    return {
        "orders": Order.objects.count(),
        "shipped": shipped.count(),
        "declined": Order.objects.filter(cancel_reason="payment_declined").count(),
        "out of stock": Order.objects.filter(cancel_reason="out_of_stock").count(),
        "shipments": Shipment.objects.count(),
        "value shipped": _sum(shipped, "total"),
        "payments kept": _sum(Payment.objects.filter(state="received"), "amount"),
        "payments refunded": _sum(Payment.objects.filter(state="refunded"), "amount"),
        "value out of stock": _sum(Order.objects.filter(cancel_reason="out_of_stock"), "total"),
        "payments undecided": Payment.objects.filter(state="taking").count(),
        "pieces ordered and shipped": _sum(OrderLine.objects.filter(order__state="shipped"), "quantity"),
        "pieces issued": _sum(ReservationLine.objects.filter(reservation__state="issued"), "quantity"),
        "reservations issued": Reservation.objects.filter(state="issued").count(),
        "pieces reserved": _sum(StockItem.objects.all(), "reserved"),
        "stock": {item.sku: item.on_hand for item in StockItem.objects.all()},
        "pending": OutboxEvent.objects.pending().count(),
        "unheard": OutboxEvent.objects.unheard().count(),
        "waiting": InboxEvent.objects.waiting().count(),
        "parked": InboxEvent.objects.parked().count(),
    }


def _sum(rows: QuerySet[Any], column: str) -> str:
    return str(rows.aggregate(sum=Sum(column))["sum"] or Decimal(0))
