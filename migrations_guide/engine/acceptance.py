"""What the shop must do at every stage: orders placed in the admin come to their ends, and the books add up.

It knows nothing of how a stage works. It looks at the pages of the admin, and waits, because at some stages an order
has ended when the page comes back, and at others it is only on its way.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from migrations_guide.engine.shop import Order, Shop, ShopError, money
from project.processes.waiting import eventually

SHIPPED = "Shipped"
DECLINED = "Cancelled: payment declined"
OUT_OF_STOCK = "Cancelled: out of stock"
_SECONDS = 30.0
_LOOK_SECONDS = 0.3
"""Each look is a page of the admin, which costs a small machine as much as the order's next step."""

Scenario = Callable[[Shop], None]


def an_order_that_is_paid_and_in_stock_is_shipped(shop: Shop) -> None:
    order = shop.place(pays="tok_visa", lines={"TEA-SENCHA-100": 2, "MUG-STONE-350": 1})

    ends(shop, order, SHIPPED)
    shop.look_at(order)


def a_declined_card_cancels_the_order(shop: Shop) -> None:
    order = shop.place(pays="tok_declined", lines={"TEA-SENCHA-100": 1})

    ends(shop, order, DECLINED)


def an_order_that_cannot_be_filled_is_refunded(shop: Shop) -> None:
    order = shop.place(pays="tok_visa", lines={"CUP-RAKU-LTD": 1, "MUG-STONE-350": 2})

    ends(shop, order, OUT_OF_STOCK)


def a_slow_bank_is_waited_for(shop: Shop) -> None:
    order = shop.place(pays="tok_slow_bank", lines={"FILTER-PAPER-100": 3})

    ends(shop, order, SHIPPED)


def the_last_piece_is_sold_once(shop: Shop) -> None:
    with ThreadPoolExecutor() as customers:
        racing = [
            customers.submit(shop.place, pays="tok_visa", lines={"TEAPOT-IRON-800": 1}) for _ in range(2)
        ]
    orders = [one.result() for one in racing]

    ended = [(order, settled(shop, order)) for order in orders]

    states = sorted(state for _, state in ended)
    if states != [OUT_OF_STOCK, SHIPPED]:
        raise ShopError(
            f"Of two orders for the last teapot one is shipped and one is not; they are: {states}"
        )
    for order, state in ended:
        agree(shop, order, state)


def the_shelves_hold_what_was_not_shipped(shop: Shop) -> None:
    before = shop.stock()
    orders = [
        shop.place(pays=pays, lines=lines)
        for pays, lines in [
            ("tok_visa", {"COFFEE-HOUSE-500": 3, "FILTER-PAPER-100": 1}),
            ("tok_visa", {"COFFEE-HOUSE-500": 1}),
            ("tok_visa", {"COFFEE-HOUSE-500": 1, "CUP-RAKU-LTD": 1}),
            ("tok_insufficient_funds", {"COFFEE-HOUSE-500": 5}),
        ]
    ]

    shelves_add_up(shop, orders, before=before)


SCENARIOS: Sequence[Scenario] = (
    an_order_that_is_paid_and_in_stock_is_shipped,
    a_declined_card_cancels_the_order,
    an_order_that_cannot_be_filled_is_refunded,
    a_slow_bank_is_waited_for,
    the_last_piece_is_sold_once,
    the_shelves_hold_what_was_not_shipped,
)


# What it all comes down to; also for those who place orders of their own.


def settled(shop: Shop, order: Order) -> str:
    """Wait until an order has ended, and return how."""

    def look() -> str:
        state = shop.state(order)
        return state if state in {SHIPPED, DECLINED, OUT_OF_STOCK} else ""

    return eventually(look, what=f"the end of order {order.number}", timeout=_SECONDS, every=_LOOK_SECONDS)


def ends(shop: Shop, order: Order, expected: str) -> None:
    """Wait until an order has ended, as expected, and everybody's books say the same of it.

    Raises:
        ShopError: they do not.
    """
    state = settled(shop, order)
    if state != expected:
        raise ShopError(f"Order {order.number} must end as {expected!r}; it is {state!r}.")
    agree(shop, order, expected)


def agree(shop: Shop, order: Order, end: str) -> None:
    """Wait until everybody's books say the same of how an order ended."""
    eventually(
        lambda: not disagreements(shop, order, end),
        what=f"the agreement of all books that {order.number} is {end!r}",
        timeout=_SECONDS,
        every=_LOOK_SECONDS,
    )


def disagreements(shop: Shop, order: Order, end: str) -> list[str]:
    """Return what the others' books say that does not go with how an order ended: money, goods and parcel."""
    money_is = {SHIPPED: "Received", DECLINED: "Declined", OUT_OF_STOCK: "Refunded"}[end]
    goods_are = {SHIPPED: ["Issued"], DECLINED: [], OUT_OF_STOCK: ["Out of stock"]}[end]
    payments, shipments = shop.payments(order), shop.shipments(order)
    reservations = [state for state in shop.reservations(order) if state != "Dropped"]
    found = []
    if [(state.partition(":")[0], money(amount)) for state, amount in payments] != [
        (money_is, money(order.total))
    ]:
        found.append(f"{order.number}, {end}, {order.total}: the payments are {payments}.")
    if reservations != goods_are:
        found.append(f"{order.number}, {end}: the reservations are {reservations}.")
    if len(shipments) != (end == SHIPPED):
        found.append(f"{order.number}, {end}: the shipments are {shipments}.")
    return found


def shelves_add_up(shop: Shop, orders: Sequence[Order], *, before: dict[str, tuple[int, int]]) -> None:
    """Wait until all these orders have ended, and nothing else than what was shipped has left the shelves.

    Raises:
        ShopError: the shelves say otherwise.
    """
    left: Counter[str] = Counter()
    for order in orders:
        state = settled(shop, order)
        agree(shop, order, state)
        if state == SHIPPED:
            left.update(order.lines)
    expected = {sku: (on_hand - left[sku], 0) for sku, (on_hand, _) in before.items()}
    if (now := shop.stock()) != expected:
        wrong = {sku: (now.get(sku), expected[sku]) for sku in expected if now.get(sku) != expected[sku]}
        raise ShopError(f"The shelves do not add up; (on hand, reserved) is and must be, by SKU: {wrong}")
