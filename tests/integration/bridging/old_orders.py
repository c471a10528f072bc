"""Orders from before anybody recorded events, as a project's function yields them."""

from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

from microworkflows import Subject
from orders.events import Address, Line, OrderAccepted

NUMBER = 300


def accepted() -> Iterator[tuple[OrderAccepted, Subject]]:
    """Yield them in the order of their numbers."""
    for number in range(1, NUMBER + 1):
        order_id = UUID(int=number)
        event = OrderAccepted(
            order_id=order_id,
            number=f"A-{number:06d}",
            total=Decimal("12.00"),
            currency="EUR",
            payment_token="tok_visa",
            lines=[Line(sku="TEA-SENCHA-100", quantity=1)],
            ship_to=Address(name="Sample", street="Street 1", postcode="10115", city="Berlin", country="DE"),
        )
        yield event, Subject(kind="orders.order", key=order_id, name=event.number)
