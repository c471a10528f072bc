"""A dozen orders, each with the end it must come to, and how far each one is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import timezone

from microworkflows.journeys import Delivery, DeliveryStatus, Journey, RelayStatus, Step, journey
from orders import operations
from orders.models import Country, Order, PaymentToken


class End(StrEnum):
    """How an order can end."""

    SHIPPED = "shipped"
    DECLINED = "payment declined"
    OUT_OF_STOCK = "out of stock"


SHIPPED = frozenset({End.SHIPPED})
DECLINED = frozenset({End.DECLINED})
OUT_OF_STOCK = frozenset({End.OUT_OF_STOCK})
RACE = frozenset({End.SHIPPED, End.OUT_OF_STOCK})
"""For those that want the last piece of something: exactly one of them is shipped."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """An order to place."""

    customer: str
    address: tuple[str, str, str, Country]
    """Street, postcode, city and country."""
    lines: dict[str, int]
    """Quantity by SKU."""
    pays: PaymentToken = PaymentToken.VISA
    ends: frozenset[End] = SHIPPED


WISHES = (
    Wish(
        customer="Harbour Café",
        address=("Kai 4", "20457", "Hamburg", Country.DE),
        lines={"COFFEE-HOUSE-500": 4, "FILTER-PAPER-100": 4},
    ),
    Wish(
        customer="Slow Mornings",
        address=("Prinsengracht 60", "1015 DX", "Amsterdam", Country.NL),
        lines={"KETTLE-GOOSE-900": 1, "GRINDER-HAND-30": 1},
        pays=PaymentToken.SLOW_BANK,
    ),
    Wish(
        customer="Corner Bakery",
        address=("Mill Road 12", "CB1 2AD", "Cambridge", Country.GB),
        lines={"TEA-ASSAM-250": 2, "MUG-STONE-350": 6},
    ),
    Wish(
        customer="Night Shift Office",
        address=("Rue Haute 9", "1000", "Brussels", Country.BE),
        lines={"COFFEE-HOUSE-500": 2},
        pays=PaymentToken.DECLINED,
        ends=DECLINED,
    ),
    Wish(
        customer="Antique Row",
        address=("Getreidegasse 21", "5020", "Salzburg", Country.AT),
        lines={"TEAPOT-IRON-800": 1},
        ends=RACE,
    ),
    Wish(
        customer="Mountain Hut",
        address=("Bahnhofstrasse 3", "3920", "Zermatt", Country.CH),
        lines={"TEAPOT-IRON-800": 1},
        ends=RACE,
    ),
    Wish(
        customer="Gallery Nine",
        address=("Via Roma 9", "50123", "Florence", Country.IT),
        lines={"CUP-RAKU-LTD": 1},
        ends=OUT_OF_STOCK,
    ),
    Wish(
        customer="Tea Circle",
        address=("Calle Mayor 30", "28013", "Madrid", Country.ES),
        lines={"TEA-SENCHA-100": 3, "TEAPOT-GLASS-1L": 1},
    ),
    Wish(
        customer="Pop-up Kitchen",
        address=("Rue du Four 17", "75006", "Paris", Country.FR),
        lines={"GRINDER-HAND-30": 1},
        pays=PaymentToken.INSUFFICIENT_FUNDS,
        ends=DECLINED,
    ),
    Wish(  # One of its two lines is on the shelf; all of an order is shipped, or nothing.
        customer="Design Archive",
        address=("Bredgade 68", "1260", "Copenhagen", Country.DK),
        lines={"TEA-SENCHA-100": 2, "CUP-RAKU-LTD": 1},
        ends=OUT_OF_STOCK,
    ),
    Wish(
        customer="Travel Desk",
        address=("Pearse Street 5", "D02 YX88", "Dublin", Country.IE),
        lines={"CUP-TRAVEL-400": 10},
    ),
    Wish(
        customer="Library Café",
        address=("Congress Street 40", "02109", "Boston", Country.US),
        lines={"FILTER-PAPER-100": 20, "COFFEE-HOUSE-500": 10},
    ),
)


@dataclass(kw_only=True)
class Placed:
    """An order that the demo placed, as far as it is."""

    wish: Wish
    order: Order
    placed_at: datetime
    journey: Journey
    moved_at: datetime
    """When something was last seen to change."""

    @property
    def end(self) -> End | None:
        """How it ended; None while it travels."""
        if self.order.state == Order.State.SHIPPED:
            return End.SHIPPED
        if self.order.state == Order.State.CANCELLED:
            declined = self.order.cancel_reason == Order.CancelReason.PAYMENT_DECLINED
            return End.DECLINED if declined else End.OUT_OF_STOCK
        return None

    @property
    def state(self) -> str:
        """The order's state, with the reason where it was cancelled."""
        return str(self.end or self.order.get_state_display().lower())

    @property
    def expected(self) -> str:
        """The end it must come to, in words."""
        return "one of two ships" if self.wish.ends == RACE else " or ".join(self.wish.ends)

    @property
    def settled(self) -> bool:
        """Whether it has ended and nobody has anything left to do for it."""
        return self.end is not None and self.journey.settled

    @property
    def as_expected(self) -> bool:
        """Whether it came to an end that it was to come to, and nothing failed for good on the way."""
        return self.settled and self.end in self.wish.ends and not self.journey.failed

    @property
    def took(self) -> timedelta:
        """From placing it to the last thing that happened, or to now."""
        return (self.journey.duration or timedelta()) if self.settled else timezone.now() - self.placed_at

    @property
    def latest(self) -> Step | None:
        """The last event of its journey."""
        return self.journey.steps[-1] if self.journey.steps else None

    @property
    def retrying(self) -> Delivery | None:
        """What failed and is tried again, if anything is."""
        return next((d for d in self.journey.deliveries if d.status is DeliveryStatus.WAITING), None)


def place(wish: Wish) -> Placed:
    """Place the order, as the admin would."""
    street, postcode, city, country = wish.address
    order = operations.create_order(
        customer_name=wish.customer,
        street=street,
        postcode=postcode,
        city=city,
        country=country,
        payment_token=wish.pays,
        lines=wish.lines,
    )
    operations.place_order(order=order)
    assert order.placed_at is not None
    return Placed(
        wish=wish,
        order=order,
        placed_at=order.placed_at,
        journey=Journey(correlation_id=str(order.pk), steps=()),
        moved_at=order.placed_at,
    )


def look(placed: Sequence[Placed]) -> list[Placed]:
    """Bring those that still travel up to date; return those in which something changed."""
    travelling = [one for one in placed if not one.settled]
    now = Order.objects.in_bulk([one.order.pk for one in travelling])
    changed = []
    for one in travelling:
        before = (one.order.state, one.journey)
        one.order = now[one.order.pk]
        one.journey = journey(str(one.order.pk))
        if before != (one.order.state, one.journey):
            one.moved_at = timezone.now()
            changed.append(one)
    return changed


def travelling_from_before() -> int:
    """Return how many placed orders have not ended yet."""
    return Order.objects.exclude(state__in=["draft", "shipped", "cancelled"]).count()


def problems(placed: Sequence[Placed]) -> list[str]:
    """Return what is not as it must be, in sentences."""
    found = []
    for one in placed:
        who = f"{one.order.number} ({one.wish.customer})"
        if one.journey.failed:
            found.append(f"{who} needs help: {_stuck(one.journey)}")
        elif not one.settled:
            found.append(f"{who} is {one.state} and not settled: {_stuck(one.journey)}")
        elif not one.as_expected:
            found.append(f"{who} ended as {one.end}; expected was {one.expected}.")
    racing = [one for one in placed if one.wish.ends == RACE]
    winners = [one.order.number for one in racing if one.end is End.SHIPPED]
    if all(one.settled for one in racing) and len(winners) != 1:
        found.append(f"Of the orders for the last teapot {len(winners)} were shipped, and it must be one.")
    return found


def contexts_to_ask(placed: Sequence[Placed]) -> list[str]:
    """Return the contexts whose logs tell why orders did not come to their end."""
    labels = set()
    for one in placed:
        if not one.as_expected:
            labels |= {d.label for d in one.journey.deliveries if d.open or d.failed}
            labels |= {s.type for s in one.journey.steps if s.relay.status is RelayStatus.PENDING}
    return sorted({label.partition(".")[0] for label in labels} or {"orders"})


def _stuck(journey: Journey) -> str:
    """Say where a journey stands still."""
    for step in journey.steps:
        if step.relay.status is RelayStatus.PENDING:
            return f"{step.name} has not been relayed{f' ({step.relay.error})' if step.relay.error else ''}."
        for delivery in step.deliveries:
            if delivery.open or delivery.failed:
                error = f": {delivery.error}" if delivery.error else "."
                return f"{step.name} is {delivery.status} for {delivery.label}{error}"
    return "nothing is on its way for it."
