"""Growth: what finished rows, a long backlog, a purge and many events do to relay and worker; it is to be nothing.

The rows that are finished, or that wait, are put there by SQL. The relay is running and idle when they come, all at
once; what it relays is counted in the queue, which is emptied meanwhile, so that it is always as short.
"""

import json
import time
from collections.abc import Callable
from functools import partial

import psycopg

from benchmarks import filling
from benchmarks.bench import Bench
from benchmarks.measurements.kit import Kit, hop_rate
from benchmarks.meter import Meter
from benchmarks.results import Sample
from project.processes.waiting import eventually

_GROWTH, _RATE = "growth", "events/s"
_INDEX = "microworkflows_pending"
_LEFT = """
    SELECT (SELECT count(*) FROM published WHERE added < current_date - 39)
        + (SELECT count(*) FROM received WHERE added < current_date - 39)"""
"""How many of the old rows there still are."""
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


def measure(bench: Bench) -> None:
    """Measure each; relay and hop at all levels of finished rows in each round, so that a slow minute meets all."""
    levels = (0, 100_000) if bench.quick else (0, 100_000, 1_000_000, 5_000_000)
    kits = {finished: _filled(bench, finished) for finished in levels}
    bench.interleave(_GROWTH, {"relay": partial(_relay, bench, kits), "hop": partial(_hop, bench, kits)})
    for finished in levels:
        bench.servers.database(_name(finished))  # empty again: the disk may be needed
    _once(bench, "backlog", _backlog)
    _once(bench, "memory", _worker_memory)
    _once(bench, "purge", _purge)


def _once(bench: Bench, subject: str, work: Callable[[Bench], None]) -> None:
    """Do what takes too long to be repeated, and go on if it fails."""
    try:
        work(bench)
    except Exception as error:
        bench.say(f"{_GROWTH}: {subject} FAILED: {error}")
        bench.results.fail(_GROWTH, subject, f"{type(error).__name__}: {error}")


# Finished rows


def _name(finished: int) -> str:
    return f"growth_{finished}"


def _filled(bench: Bench, finished: int) -> Kit:
    """Return the kit with so many finished rows in outbox and inbox each; look at how a batch is found among them."""
    kit = Kit.fresh(bench, _name(finished))
    kit.manage("probe_record", "0")  # declares the queues
    with psycopg.connect(kit.database, autocommit=True) as connection:
        for table in (b"published", b"received"):
            # It would run while one level is measured and not while another is; what it does is done in between.
            connection.execute(b"ALTER TABLE %b SET (autovacuum_enabled = off)" % table)
    bench.say(f"{_GROWTH}: {finished:,} finished rows in outbox and inbox each …")
    filling.finished(kit.database, finished)
    filling.pending(kit.database, 10_000, first=finished)
    touched = json.loads(kit.manage("probe_claim").splitlines()[-1])
    searched = ", ".join([*touched["indexes"], *(f"all of {table}" for table in touched["whole"])])
    bench.add(_GROWTH, "relay", "pages a batch", touched["pages"], finished=finished, searched=searched)
    if searched != _INDEX:
        reason = f"With {finished:,} finished rows the next batch is searched in {searched}, not in {_INDEX}."
        bench.results.fail(_GROWTH, "relay", reason)
    filling.remove_the_rest(kit.database)
    return kit


def _relay(bench: Bench, kits: dict[int, Kit], number: int) -> None:
    count = bench.sized(full=60_000, quick=20_000)
    for finished, kit in kits.items():
        with kit.relay() as relay, Meter(kit.broker, "probe") as meter:
            relay.says(": leads")
            filling.pending(kit.database, count, first=finished)
            meter.wait(count)
        bench.add(_GROWTH, "relay", _RATE, meter.rate(), round=number, finished=finished)
        filling.remove_the_rest(kit.database)


def _hop(bench: Bench, kits: dict[int, Kit], number: int) -> None:
    count = bench.sized(full=2_000, quick=1_000)
    for finished, kit in kits.items():
        kit.preload(count)
        rate = hop_rate(kit, processes=1, count=count)
        bench.add(_GROWTH, "hop", _RATE, rate, round=number, finished=finished)
        with psycopg.connect(kit.database, autocommit=True) as connection:
            connection.execute("TRUNCATE probe_item, probe_effect")
        filling.remove_the_rest(kit.database)


# A backlog


def _backlog(bench: Bench) -> None:
    """Let it drain: its last tenth is to be as fast as its first, and the relay no larger afterwards."""
    kit, count = Kit.fresh(bench, "backlog"), bench.sized(full=1_000_000, quick=50_000)
    kit.manage("probe_record", "0")
    bench.say(f"{_GROWTH}: a backlog of {count:,} …")
    filling.pending(kit.database, count)
    with Meter(kit.broker, "probe") as meter, kit.relay() as relay:
        meter.wait(count // 10, timeout=300)
        warm = relay.resident_bytes()
        meter.wait(count, timeout=900)
        bench.add(_GROWTH, "memory", "relay growth, %", _percent(warm, relay.resident_bytes()))
    for second, came in enumerate(meter.by_second()):
        bench.results.add(
            Sample(
                measurement=_GROWTH, subject="backlog", metric=_RATE, value=came, labels={"second": second}
            )
        )
    last, first = meter.rate(count - count // 10), meter.rate(0, count // 10)
    bench.add(_GROWTH, "backlog", "last/first", last / first)


# Memory


def _worker_memory(bench: Bench) -> None:
    """See how large a worker and its pool process are when a quarter of the events is handled, and when all are."""
    kit, count = Kit.fresh(bench, "memory"), bench.sized(full=8_000, quick=2_000)
    kit.preload(count)
    with kit.worker("--no-relay") as worker:
        _handled(kit, count // 4)
        warm = worker.resident_bytes()
        _handled(kit, count)
        bench.add(_GROWTH, "memory", "worker growth, %", _percent(warm, worker.resident_bytes()))


def _handled(kit: Kit, count: int) -> None:
    eventually(lambda: kit.query("SELECT count(*) FROM probe_effect")[0] >= count, timeout=300, every=0.3)


def _percent(before: float, after: float) -> float:
    return 100 * (after / before - 1)


# A purge


def _purge(bench: Bench) -> None:
    """Let the relay work on a backlog, begin a purge after a while, and go on for as long after it."""
    kit, rows = Kit.fresh(bench, "purge"), bench.sized(full=1_000_000, quick=50_000)
    alone, backlog = bench.sized(full=8, quick=2), bench.sized(full=1_000_000, quick=150_000)
    kit.manage("probe_record", "0")
    bench.say(f"{_GROWTH}: {rows:,} rows to be purged, beside a backlog of {backlog:,} …")
    filling.finished(kit.database, rows // 2)
    filling.pending(kit.database, backlog, first=rows)
    with Meter(kit.broker, "probe") as meter, kit.relay():
        meter.wait(backlog // 20)
        before = meter.for_seconds(alone)
        sessions = kit.query(_SESSIONS)[0]
        with kit.start("purge_events") as purge:
            eventually(lambda: kit.query(_SESSIONS)[0] > sessions, timeout=30)
            began = time.monotonic()
            while purge.status is None and meter.total < backlog:
                time.sleep(0.01)
            ended = time.monotonic()
        during = meter.rate_between(began, ended)
        (left,) = kit.query(_LEFT)
        after = meter.for_seconds(alone) if meter.total < backlog * 0.9 else before
    bench.add(_GROWTH, "purge", "ratio", during / ((before + after) / 2))
    bench.add(_GROWTH, "purge", "rows/s", (rows - left) / (ended - began))
