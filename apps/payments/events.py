"""What payments announces, and what it reads in the events that it hears."""

from decimal import Decimal
from uuid import UUID

from pydantic import Field

from microworkflows import DomainEvent, IncomingEvent, Sensitive


class PaymentReceived(DomainEvent, type="payments.payment_received.v1"):
    """The order's total was collected."""

    order_id: UUID
    amount: Decimal = Field(gt=0, max_digits=18, decimal_places=2)
    currency: str = Field(min_length=3, max_length=3)
    payment_reference: str


class PaymentDeclined(DomainEvent, type="payments.payment_declined.v1", outcome="payment declined"):
    """The order's total cannot be collected, for a reason that a customer can read."""

    order_id: UUID
    reason: str


class PaymentRefunded(DomainEvent, type="payments.payment_refunded.v1", outcome="out of stock"):
    """What was collected went back to the customer."""

    order_id: UUID
    amount: Decimal = Field(gt=0, max_digits=18, decimal_places=2)
    currency: str = Field(min_length=3, max_length=3)
    refund_reference: str


class PaymentOverdue(DomainEvent, type="payments.payment_overdue.v1"):
    """The time is up in which the order was to be paid; recorded ahead, and sent unless it was paid or declined."""

    order_id: UUID
    amount: Decimal = Field(gt=0, max_digits=18, decimal_places=2)
    currency: str = Field(min_length=3, max_length=3)
    charge: UUID
    """The idempotency key of the charge that has had no answer."""


class OrderAccepted(IncomingEvent, type="orders.order_accepted.v1"):
    """There is something to be paid."""

    order_id: UUID
    total: Decimal = Field(gt=0, max_digits=18, decimal_places=2)
    currency: str
    payment_token: Sensitive[str]


class OutOfStock(IncomingEvent, type="inventory.out_of_stock.v1"):
    """The order cannot be filled, so its money has to go back."""

    order_id: UUID
