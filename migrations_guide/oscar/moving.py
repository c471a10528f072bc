"""Stages that move the warehouse's tables while customers buy: to a database of its own, and back."""

import time

from migrations_guide.oscar import customers, living
from migrations_guide.oscar.parts import Parts, ask, do
from migrations_guide.oscar.telling import expect, tell

_PEOPLE = 3


def away(running: Parts, *, to: str, rows: int) -> None:
    """Fill the table, and move it."""
    shop = running.shop
    url = shop.variables["DATABASE_URL"]
    do(
        url,
        "INSERT INTO warehouse_allocation (line_id, sku, quantity, shipped, cancelled)"
        " SELECT -n, 'past-' || n %% 1000, 1 + n %% 5, 1 + n %% 5, false FROM generate_series(1, %s) AS n",
        rows,
    )
    before = _sums(url)
    (tea,) = living.shelve(shop, tea=1_000_000)
    _move(running, tea, source=url, to=to)
    running.rest("warehouse")
    running.work("warehouse", DATABASE_URL=to, OWN_DATABASE="1")
    living.agree(running, to, WAREHOUSE_URL=to)
    expect(_sums(to) == before, f"The past is {_sums(to)}, and was {before}.")
    tell("the past", f"{before[0]:,} rows, {before[1]:,} pieces, as before")


def back(running: Parts, *, source: str) -> None:
    """Move it back."""
    shop = running.shop
    home = shop.variables["DATABASE_URL"]
    before = _sums(source)
    (tea,) = living.shelve(shop, tea=1_000_000)
    _move(running, tea, source=source, to=home, OWN_DATABASE="1")
    running.rest("warehouse")
    running.work("warehouse")
    living.agree(running, home)
    expect(_sums(home) == before, f"The past is {_sums(home)}, and was {before}.")
    tell("the past", f"{before[0]:,} rows, {before[1]:,} pieces, as before")


def _move(running: Parts, product: int, *, source: str, to: str, **variables: str) -> None:
    began = time.monotonic()
    with customers.Crowd(running.site, product, people=_PEOPLE) as crowd:
        said = running.shop.manage(
            "split_database", "warehouse", "--to", to, may_fail=False, DATABASE_URL=source, **variables
        )
    tell("moved", *(line for line in said.splitlines() if "paused for" in line))
    tell("customers", ", ".join(f"{count} {what}" for what, count in crowd.count.items()))
    tell("", f"in {time.monotonic() - began:.0f} s")
    expect(set(crowd.count) == {"orders"}, f"Customers met {dict(crowd.count)}.")


def _sums(url: str) -> tuple[int, int]:
    past = ask(url, "SELECT count(*) FROM warehouse_allocation WHERE line_id < 0")
    pieces = ask(url, "SELECT coalesce(sum(quantity), 0) FROM warehouse_allocation WHERE line_id < 0")
    return int(past), int(pieces)
