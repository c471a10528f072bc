"""What shipping announces, and what it reads in the events that it hears."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from microworkflows import DomainEvent, IncomingEvent, Personal


class ShipmentScheduled(DomainEvent, type="shipping.shipment_scheduled.v1", outcome="shipped"):
    """A carrier takes the parcel, and it can be tracked."""

    order_id: UUID
    carrier: str
    tracking_number: str


class ShipTo(BaseModel):
    """Where the customer wants it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    street: str
    postcode: str
    city: str
    country: str


class OrderAccepted(IncomingEvent, type="orders.order_accepted.v1"):
    """Where a parcel may have to go."""

    order_id: UUID
    ship_to: Personal[ShipTo]


class PaymentDeclined(IncomingEvent, type="payments.payment_declined.v1"):
    """The order will never be paid, so it goes nowhere."""

    order_id: UUID


class OutOfStock(IncomingEvent, type="inventory.out_of_stock.v1"):
    """The order cannot be filled, so it goes nowhere."""

    order_id: UUID


class ItemsReserved(IncomingEvent, type="inventory.items_reserved.v1"):
    """Everything for the parcel is set aside."""

    order_id: UUID
