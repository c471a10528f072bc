"""The order process with several customers at once, whose payments take no time or some."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.order_process import turns
from benchmarks.order_process.subjects import CHAIN_OF_TWO, SHOP, SHOP_OF_TWO, Subject
from benchmarks.order_process.turns import Databases
from benchmarks.queues import percentile
from benchmarks.targets import AT_ONCE, PATIENT

_MEASUREMENT = "customers"
_CUSTOMERS = 4
"""The monolith waits in as many processes as there are customers: so do all others wait for the gateway in as many."""


def measure(bench: Bench) -> None:
    """Let all take turns, with a gateway that answers at once, and with one that takes its time."""
    with turns.prepared(bench, _MEASUREMENT) as (databases, monolith):

        def turn(subject: Subject, gateway: str) -> Callable[[int], None]:
            return lambda number: _turn(bench, subject, databases, gateway, number)

        for gateway in (AT_ONCE, PATIENT):
            subjects = (SHOP, SHOP_OF_TWO, monolith, CHAIN_OF_TWO)
            bench.interleave(_MEASUREMENT, {subject.name: turn(subject, gateway) for subject in subjects})


def _turn(bench: Bench, subject: Subject, databases: Databases, gateway: str, number: int) -> None:
    doing = subject.with_patient_gateway(processes=_CUSTOMERS) if gateway == PATIENT else subject
    answer = turns.take(bench, doing, databases.of(subject), customers=_CUSTOMERS)
    waits = sorted(seconds * 1000 for seconds in answer.placing)
    figures = {"orders/s": answer.rate, "customer waits, ms": percentile(waits, 50)}
    if answer.costs:
        figures["CPU, ms/order"] = sum(answer.costs.values())
    for metric, value in figures.items():
        bench.add(_MEASUREMENT, subject.name, metric, value, round=number, gateway=gateway)
