"""What inventory announces, and what it reads in the events that it hears."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from microworkflows import DomainEvent, IncomingEvent


class ReservedLine(BaseModel):
    """So many pieces that were set aside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sku: str
    quantity: int = Field(ge=1)


class MissingLine(BaseModel):
    """A product of which there is too little."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sku: str
    wanted: int = Field(ge=1)
    available: int = Field(ge=0)


class ItemsReserved(DomainEvent, type="inventory.items_reserved.v1"):
    """Everything the order wants is set aside."""

    order_id: UUID
    reservation_id: UUID
    lines: list[ReservedLine] = Field(min_length=1)


class OutOfStock(DomainEvent, type="inventory.out_of_stock.v1"):
    """The order cannot be filled: nothing is set aside, and every product that is short is listed."""

    order_id: UUID
    missing: list[MissingLine] = Field(min_length=1)


class OrderedLine(BaseModel):
    """So many pieces that were ordered."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: str
    quantity: int = Field(ge=1)


class OrderAccepted(IncomingEvent, type="orders.order_accepted.v1"):
    """What will have to be picked, once it is paid."""

    order_id: UUID
    lines: list[OrderedLine]


class PaymentReceived(IncomingEvent, type="payments.payment_received.v1"):
    """The order is paid, so it may be picked."""

    order_id: UUID


class PaymentDeclined(IncomingEvent, type="payments.payment_declined.v1"):
    """The order will never be picked."""

    order_id: UUID


class ShipmentScheduled(IncomingEvent, type="shipping.shipment_scheduled.v1"):
    """The parcel leaves, and what was set aside leaves with it."""

    order_id: UUID
