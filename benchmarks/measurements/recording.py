"""Recording: what an event in the outbox adds to the transaction that places an order.

One process places the same kind of order with its event and without, taking turns order by order. Without means without
all of it: no event is made, none is put into the outbox, and no relay is woken after the commit.
"""

import json
import sys
import time
from functools import partial
from statistics import fmean, median

from benchmarks.bench import Bench
from benchmarks.processes import PYTHON, run

_SUBJECTS: dict[str, dict[str, str]] = {"an event": {}, "an event, in one trip": {"ONE_TRIP": "1"}}
"""The shop's settings, by what they are called here."""
_WARM = 20
"""So many orders of each kind are placed before the clock counts."""


def measure(bench: Bench) -> None:
    """Measure it round by round, in a new database each."""
    bench.interleave(
        "recording", {subject: partial(_round, bench, subject, given) for subject, given in _SUBJECTS.items()}
    )


def _round(bench: Bench, subject: str, given: dict[str, str], number: int) -> None:
    environment = {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DATABASE_URL": bench.servers.database("recording"),
        "BROKER_URL": "amqp://",  # nothing is relayed
        "SECRET_KEY": "for-benchmarks-only",
        **given,
    }
    run(PYTHON, "-m", "django", "migrate", "--verbosity", "0", env=environment, log=bench.log("migrate"))
    output = run(
        *(PYTHON, "-m", __name__, str(bench.sized(full=1_000, quick=400))),
        env=environment,
        log=bench.log("place orders"),
        timeout=120,
    )
    seconds: dict[str, list[float]] = json.loads(output.splitlines()[-1])
    with_event, without = seconds["with"], seconds["without"]
    for metric, value in {
        "added, %": 100 * (median(with_event) / median(without) - 1),
        "added in the mean, %": 100 * (fmean(with_event) / fmean(without) - 1),
        "with, ms": 1000 * median(with_event),
        "without, ms": 1000 * median(without),
    }.items():
        bench.add("recording", subject, metric, value, round=number)


class _Unrecorded:
    """Stands in for the outbox."""

    @staticmethod
    def record(event: object, *, about: object, correlation_id: str) -> None:
        """Record nothing."""


def _place(count: int) -> dict[str, list[float]]:
    """Place so many orders of each kind; return how many seconds each took."""
    import django

    django.setup()

    import psycopg
    from django.db import connection

    from benchmarks.order_process import drafts
    from microworkflows import outbox, wakeup
    from orders import operations

    kinds = {
        "with": (outbox, operations._order_accepted),  # noqa: SLF001  (to be left out where no event is wanted)
        "without": (_Unrecorded, lambda order, lines: None),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    orders = iter(drafts.prepare(2 * (count + _WARM)))
    # A relay listens wherever events are recorded: PostgreSQL is to have somebody to notify.
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as listener:
        listener.execute(f'LISTEN "{wakeup.channel("orders")}"'.encode())
        listener.commit()
        for number in range(count + _WARM):
            # Each kind comes first as often as second: what returns with a period meets both alike.
            for kind in sorted(kinds, reverse=bool(number % 2)):
                operations.outbox, operations._order_accepted = kinds[kind]  # type: ignore[assignment, attr-defined]  # noqa: SLF001
                order = next(orders)
                began = time.perf_counter()
                operations.place_order(order=order)
                seconds[kind].append(time.perf_counter() - began)
    return {kind: times[_WARM:] for kind, times in seconds.items()}


if __name__ == "__main__":
    print(json.dumps(_place(int(sys.argv[1]))))
