"""The customer: places orders in a running shop, measures until they are final, and writes down what came of it.

``python -m benchmarks.order_process.customer --answer FILE …``. It runs in the shop's environment, and in the monolith's
as well: so it uses of the shop only what both have.
"""

import argparse
import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import django

BEGINS, ENDS = "begins to place orders", "all orders are final"
"""Said, each with a pause in which nothing happens, so that the processor time between them can be told."""
_SAY_SECONDS = 0.3
_FINAL_LOOK_SECONDS = 0.05
"""Between two looks at all orders, which cost the shop's database something."""
_ORDER_LOOK_SECONDS = 0.002
"""Between two looks at the one order that is on its way: how exact its time is, and small beside what a look costs."""
_PAUSE_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0
_WARM_UP = 20
_FEWEST_SINGLES = 3


@dataclass(kw_only=True)
class Answer:
    """What came of it."""

    orders: int = 0
    """Placed back to back."""
    seconds: float = 0.0
    """From the first call of ``place_order`` until the last of them was final."""
    placing: list[float] = field(default_factory=list)
    """Seconds that each call of ``place_order`` took."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from the call of ``place_order`` until it was seen that the order had shipped, of orders placed one by one."""
    lost: int = 0
    doubled: int = 0


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--answer", type=Path, required=True, help="file for the answer, as JSON")
    parser.add_argument("--orders", type=int, required=True, help="most orders to place back to back")
    parser.add_argument(
        "--seconds", type=float, required=True, help="fewer, if they would take longer than this"
    )
    parser.add_argument("--customers", type=int, default=1, help="who place them at the same time")
    parser.add_argument("--singles", type=int, required=True, help="orders to place one by one")
    parser.add_argument("--recorder", help="module whose record() takes the place of the shop's outbox")
    options = parser.parse_args()
    django.setup()
    with _recording_by(options.recorder):
        answer = _shop(
            orders=options.orders,
            customers=options.customers,
            singles=options.singles,
            seconds=options.seconds,
        )
    options.answer.write_text(json.dumps(asdict(answer)))


def _recording_by(recorder: str | None) -> AbstractContextManager[Any]:
    """Let ``place_order`` tell of its order in another way than by the outbox."""
    if recorder is None:
        return nullcontext()
    from orders import operations

    return mock.patch.object(operations, "outbox", import_module(recorder))


def _shop(*, orders: int, customers: int, singles: int, seconds: float) -> Answer:
    from benchmarks.order_process import books, drafts

    prepared = iter(drafts.prepare(_WARM_UP + orders + singles))
    warm_up, placed = list(islice(prepared, _WARM_UP)), list(islice(prepared, orders))
    answer = Answer()
    try:
        with _crowd(customers) as place:
            # Not measured: in it every process does everything for the first time.
            _back_to_back(place, warm_up, complete=_WARM_UP)
            _say(BEGINS)
            answer = _back_to_back(place, placed, complete=_WARM_UP + orders)
            _say(ENDS)
        deadline = time.monotonic() + seconds
        for number, order in enumerate(prepared, start=_WARM_UP + orders + 1):
            answer.latencies.append(_alone(order, complete=number))
            if time.monotonic() > deadline and len(answer.latencies) >= _FEWEST_SINGLES:
                break
    except TimeoutError:
        pass  # the books tell how many are missing
    found = books.read()
    answer.lost, answer.doubled = found.lost, found.doubled
    return answer


_Place = Callable[[Sequence[Any]], list[float]]
"""Places orders, and returns the seconds that each call of ``place_order`` took."""


@contextmanager
def _crowd(customers: int) -> Iterator[_Place]:
    """Yield who places orders: this process, or so many others at the same time."""
    if customers == 1:
        yield _place
        return
    from django.db import connections

    connections.close_all()  # each has its own
    with multiprocessing.get_context("fork").Pool(customers) as pool:

        def place(orders: Sequence[Any]) -> list[float]:
            shares = [orders[first::customers] for first in range(customers)]
            return [seconds for share in pool.map(_place, shares, chunksize=1) for seconds in share]

        yield place


def _place(orders: Sequence[Any]) -> list[float]:
    from orders.operations import place_order

    took = []
    for order in orders:
        began = time.monotonic()
        place_order(order=order)
        took.append(time.monotonic() - began)
    return took


def _say(what: str) -> None:
    print(what, flush=True)
    time.sleep(_SAY_SECONDS)


def _back_to_back(place: _Place, orders: Sequence[Any], *, complete: int) -> Answer:
    began = time.monotonic()
    placing = place(orders)
    _wait_until_complete(complete)
    return Answer(orders=len(orders), seconds=time.monotonic() - began, placing=placing)


def _alone(order: Any, *, complete: int) -> float:
    """Return the seconds that an order takes while nothing else happens.

    Seen on one connection, at most 2 ms after its commit. That is not the time in its column ``changed_at``, which the
    handler writes some milliseconds before it commits.
    """
    from orders.models import Order
    from orders.operations import place_order

    mine = Order.objects.filter(pk=order.pk, state="shipped")
    began = time.monotonic()
    place_order(order=order)
    while not mine.exists():
        if time.monotonic() > began + _PATIENCE_SECONDS:
            raise TimeoutError
        time.sleep(_ORDER_LOOK_SECONDS)
    took = time.monotonic() - began
    _wait_until_complete(complete)
    # Of random length, so that no order is placed just before, or just after, somebody who polls each second looks.
    time.sleep(_PAUSE_SECONDS + random.uniform(0, min(took, 1.0)))
    return took


def _wait_until_complete(count: int) -> None:
    """Wait until so many orders have shipped and their goods have left the shelves, which is the last that is written."""
    from inventory.models import Reservation
    from orders.models import Order

    shipped = Order.objects.filter(state="shipped")
    issued = Reservation.objects.filter(state="issued")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while shipped.count() < count or issued.count() < count:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_FINAL_LOOK_SECONDS)


if __name__ == "__main__":
    main()
