"""What orders announces, and what it reads in the events that it hears."""

from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from microworkflows import DomainEvent, IncomingEvent, Personal, Sensitive


class Line(BaseModel):
    """So many pieces of one product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sku: str
    quantity: int = Field(ge=1)


class Address(BaseModel):
    """Where the parcel goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    street: str
    postcode: str
    city: str
    country: str = Field(min_length=2, max_length=2)


class OrderAccepted(DomainEvent, type="orders.order_accepted.v1"):
    """An order was placed and can be paid, picked and shipped: all that the others need to know of it."""

    order_id: UUID
    number: str
    total: Decimal = Field(gt=0, max_digits=18, decimal_places=2)
    currency: str = Field(min_length=3, max_length=3)
    payment_token: Sensitive[str]
    lines: list[Line] = Field(min_length=1)
    ship_to: Personal[Address]


class PaymentReceived(IncomingEvent, type="payments.payment_received.v1"):
    """The order is paid."""

    order_id: UUID


class PaymentDeclined(IncomingEvent, type="payments.payment_declined.v1"):
    """The order cannot be paid."""

    order_id: UUID
    reason: str


class PaymentRefunded(IncomingEvent, type="payments.payment_refunded.v1"):
    """The customer has the money back, because the order could not be filled."""

    order_id: UUID


class ItemsReserved(IncomingEvent, type="inventory.items_reserved.v1"):
    """Everything ordered is set aside."""

    order_id: UUID


class ShipmentScheduled(IncomingEvent, type="shipping.shipment_scheduled.v1"):
    """The parcel is on its way."""

    order_id: UUID
