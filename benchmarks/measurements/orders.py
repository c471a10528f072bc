"""The order process end to end: the shop, the monolith that it was, Celery tasks, publish and subscribe."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.order_process import turns
from benchmarks.order_process.subjects import (
    RIVALS,
    SHOP,
    SHOP_IN_ONE_TRIP,
    SHOP_OF_TWO,
    SHOP_OF_TWO_SERVERS,
    Subject,
)
from benchmarks.order_process.turns import Databases
from benchmarks.queues import percentile

_MEASUREMENT, _PARTS = "orders", "parts"


def measure(bench: Bench) -> None:
    """Let all take turns; one customer places orders back to back, and then one by one."""
    with turns.prepared(bench, _MEASUREMENT) as (databases, monolith):

        def turn(subject: Subject) -> Callable[[int], None]:
            return lambda number: _turn(bench, subject, databases, number)

        subjects = (SHOP, SHOP_OF_TWO, SHOP_IN_ONE_TRIP, SHOP_OF_TWO_SERVERS, monolith, *RIVALS)
        bench.interleave(_MEASUREMENT, {subject.name: turn(subject) for subject in subjects})


def _turn(bench: Bench, subject: Subject, databases: Databases, number: int) -> None:
    singles = bench.sized(full=60, quick=20)
    answer = turns.take(bench, subject, databases.of(subject), singles=singles)
    milliseconds = sorted(seconds * 1000 for seconds in answer.latencies)
    figures = {
        "orders/s": answer.rate,
        "p50, ms": percentile(milliseconds, 50),
        "p99, ms": percentile(milliseconds, 99),  # of these few orders the slowest
    }
    if answer.costs:
        figures["CPU, ms/order"] = sum(answer.costs.values())
    for part, cost in answer.costs.items():
        bench.add(_PARTS, subject.name, f"{part}, ms/order", cost, round=number)
    for metric, value in figures.items():
        bench.add(_MEASUREMENT, subject.name, metric, value, round=number)
