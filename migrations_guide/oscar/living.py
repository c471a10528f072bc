"""Stages on real parts: the faults in the open, then two contexts live under a rush and a kill."""

import re
from typing import LiteralString

from migrations_guide.oscar import customers
from migrations_guide.oscar.finding import CONTEXTS
from migrations_guide.oscar.parts import Parts, ask
from migrations_guide.oscar.shops import Shop
from migrations_guide.oscar.telling import expect, tell
from project.processes.waiting import eventually

_ALLOCATED: LiteralString = "SELECT coalesce(num_allocated, 0) FROM partner_stockrecord WHERE product_id = %s"
_OPEN: LiteralString = (
    "SELECT coalesce(sum(quantity), 0) FROM order_line JOIN order_order ON order_order.id = order_id"
    " WHERE product_id = %s AND order_order.status <> 'Cancelled'"
)
DOUBTS = ("uncompared", "footprint", "jump", "all")


def prepare(shop: Shop) -> None:
    """Bring its database up to date."""
    shop.manage("migrate", "--verbosity", "0")


def shelve(shop: Shop, **shelf: int) -> list[int]:
    """Put products on the shelf; return their ids."""
    code = f"from shop.opening import open_shop; print(*open_shop({shelf!r}).values())"
    said = shop.manage("shell", "-v", "0", "-c", code)
    return [int(number) for number in said.splitlines()[-1].split()]


def parts(shop: Shop) -> Parts:
    """Return the processes of the mended shop."""
    return Parts(shop, *CONTEXTS)


def oversell(shop: Shop) -> None:
    """Let the step go live as shadow advised: three customers get the last piece, a cancelled order keeps its stock."""
    pot, tea = shelve(shop, pot=1, tea=10)
    url = shop.variables["DATABASE_URL"]
    with Parts(shop, "partner_events") as running:
        tell("live", running.switch("partner_events", 100, although=DOUBTS).strip().splitlines()[-1])
        running.rest("partner_events")  # as a deployment does
        sold = [customers.buy(running.site, pot) for _ in range(3)]
        number = customers.buy(running.site, tea, 3) or ""
        customers.cancel(running.site, number)
        running.work("partner_events")
        eventually(lambda: ask(url, _ALLOCATED, tea) == 3, what="the late allocation", timeout=120)
        tell("oversell", f"1 piece, {sum(map(bool, sold))} orders; {ask(url, _ALLOCATED, pot)} allocated")
        tell(
            "leak",
            f"order {number} is cancelled; {ask(url, _ALLOCATED, tea)} allocated, {ask(url, _OPEN, tea)} ordered",
        )
        expect(all(sold) and ask(url, _OPEN, tea) == 0, "The faults do not show.")


def two_contexts(running: Parts) -> None:
    """Switch both, kill a worker in a rush for few pieces, cancel before the warehouse has heard of the order."""
    shop = running.shop
    url = shop.variables["DATABASE_URL"]
    pot, tea = shelve(shop, pot=5, tea=10)
    for context in CONTEXTS:
        for percent in (1, 100):
            said = running.switch(context, percent, although=DOUBTS)
        tell("live", said.strip().splitlines()[-1])
    running.kill("warehouse")
    bought = customers.rush(running.site, pot, people=12)
    number = customers.buy(running.site, tea, 3) or ""
    customers.cancel(running.site, number)
    running.work("warehouse")
    tell(
        "rush",
        f"5 pieces, 12 customers at once: {sum(map(bool, bought))} orders, {bought.count(None)} sold out",
    )
    tell("", f"{ask(url, _ALLOCATED, pot)} allocated; the warehouse's worker was killed, and is back")
    expect(
        (sum(map(bool, bought)), ask(url, _ALLOCATED, pot)) == (5, 5),
        "It is not sold as often as it is there.",
    )
    agree(running, url)
    tell("cancelled", f"{ask(url, _ALLOCATED, tea)} allocated, {ask(url, _OPEN, tea)} ordered")
    expect(ask(url, _ALLOCATED, tea) == 0, "The cancelled order keeps its stock.")


def agree(running: Parts, url: str, **variables: str) -> None:
    """Wait until the shop and the warehouse say the same, and tell so.

    Args:
        url: The database of the warehouse.
        variables: What the process that compares needs beside the shop's.
    """
    compare = ("reconcile", "shop.reconciling.allocations", "--settle", "0")

    def said() -> str:
        answer = running.shop.manage(*compare, may_fail=True, **variables)
        return answer if re.search(r"\b(0|no) differences", answer) else ""

    tell(
        "reconcile", eventually(said, what="shop and warehouse to agree", timeout=120).strip().splitlines()[0]
    )
    held = ask(
        url, "SELECT coalesce(sum(quantity - shipped), 0) FROM warehouse_allocation WHERE NOT cancelled"
    )
    shop = ask(
        running.shop.variables["DATABASE_URL"],
        "SELECT coalesce(sum(num_allocated), 0) FROM partner_stockrecord",
    )
    expect(held == shop, f"The warehouse holds {held} pieces, the shop has allocated {shop}.")
    tell("books", f"{shop} pieces allocated in the shop, {held} held in the warehouse")
