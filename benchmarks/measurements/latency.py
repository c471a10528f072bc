"""Latency: from the commit of a single event to its arrival, while the relay has nothing else to do.

Arrival is a consumer's that waits at the queue; and for the kit also the start of the handler in a running Celery worker. A
timer's begins at the time at which it is due.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import queues
from benchmarks.bench import Bench
from benchmarks.measurements.kit import SUBJECT, Kit
from benchmarks.peers import PEERS, Peer
from benchmarks.processes import Child, run
from benchmarks.targets import OUR_TIMERS
from project.processes.waiting import eventually

_PAUSE = 0.05
_QUEUE = "bench"
_HANDLER = f"{SUBJECT}, to the handler"
_AHEAD = 2.0


def measure(bench: Bench) -> None:
    """Measure the kit, to the queue and to the handler, its timers, and its peers, taking turns."""
    subjects: dict[str, Callable[[int], None]] = {
        SUBJECT: partial(_to_queue, bench),
        _HANDLER: partial(_to_handler, bench),
        OUR_TIMERS: partial(_when_due, bench),
    }
    for peer in PEERS:
        if peer.quick or not bench.quick:
            subjects[peer.title] = partial(_peer, bench, peer)
    bench.interleave("latency", subjects)


def _to_queue(bench: Bench, number: int) -> None:
    committed, seen = _recorded(bench)
    _add(bench, SUBJECT, committed, seen, number)


def _when_due(bench: Bench, number: int) -> None:
    due, seen = _recorded(bench, "--ahead", str(_AHEAD))
    _add(bench, OUR_TIMERS, due, seen, number)
    early = sum(seen[each] < at for each, at in due.items() if each in seen)
    bench.add("latency", OUR_TIMERS, "early", early, round=number)


def _recorded(bench: Bench, *options: str) -> tuple[dict[str, int], dict[str, int]]:
    """Record events one by one; return when each marker was committed, or is due, and when each was in the queue."""
    kit = Kit.fresh(bench, "latency")
    kit.manage("probe_record", "1")
    with kit.relay(), queues.Arrivals(kit.broker, "probe") as arrivals:
        eventually(lambda: arrivals.seen, what="the first event")
        command = ("probe_record", str(_count(bench)), "--start", "1", "--pause", str(_PAUSE), *options)
        stamped = _committed(kit.start(*command))
        _wait(lambda: stamped.keys() <= arrivals.seen.keys())
    return stamped, arrivals.seen


def _to_handler(bench: Bench, number: int) -> None:
    kit = Kit.fresh(bench, "latency")
    kit.manage("probe_record", "1", "--items")
    with kit.worker():
        eventually(lambda: kit.query("SELECT count(*) FROM probe_effect") == [1], what="the first event")
        command = ("probe_record", str(_count(bench)), "--start", "1", "--pause", str(_PAUSE), "--items")
        committed = _committed(kit.start(*command))
        _wait(lambda: kit.query("SELECT count(*) FROM probe_effect")[0] > len(committed))
    started = dict(kit.rows("SELECT marker, started_ns FROM probe_effect"))
    _add(bench, _HANDLER, committed, started, number)


def _peer(bench: Bench, peer: Peer, number: int) -> None:
    database, broker = bench.servers.database("peer"), bench.servers.vhost("peer")
    queues.declare(broker, _QUEUE)
    environment = peer.environment(
        database_url=database, broker_url=broker, stomp_port=bench.servers.stomp_port, queue=_QUEUE
    )
    run(*peer.command("migrate", say=bench.say), env=environment, log=bench.log(f"{peer.name} migrate"))
    relay = Child(*peer.command("relay", say=bench.say), env=environment, log=bench.log(f"{peer.name} relay"))
    with relay, queues.Arrivals(broker, _QUEUE) as arrivals:
        relay.says("relaying")
        command = peer.command("latency", _count(bench), _PAUSE, say=bench.say)
        committed = _committed(Child(*command, env=environment, log=bench.log(f"{peer.name} latency")))
        _wait(lambda: committed.keys() <= arrivals.seen.keys())
    _add(bench, peer.title, committed, arrivals.seen, number)


def _count(bench: Bench) -> int:
    return bench.sized(full=100, quick=60)


def _committed(recorder: Child) -> dict[str, int]:
    """Let the recorder finish; return when each marker was committed."""
    with recorder:
        if recorder.wait(timeout=120) != 0:
            raise RuntimeError(recorder.output[-2000:])
        return dict(_stamps(recorder.output))


def _stamps(output: str) -> Iterator[tuple[str, int]]:
    for line in output.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit() and words[0].startswith("m"):
            yield words[0], int(words[1])


def _wait(arrived: Callable[[], bool]) -> None:
    """Wait for what is still on its way; what does not come is missing in the figures, and told as lost."""
    deadline = time.monotonic() + 5
    while not arrived() and time.monotonic() < deadline:
        time.sleep(0.1)


def _add(bench: Bench, subject: str, committed: dict[str, int], arrived: dict[str, int], number: int) -> None:
    """Keep the percentiles. The first tenth, in which processes warm up, is left out, of everybody alike."""
    warm = sorted(committed)[len(committed) // 10 :]
    lags = sorted((arrived[each] - committed[each]) / 1e6 for each in warm if each in arrived)
    bench.add("latency", subject, "p50, ms", queues.percentile(lags, 50), round=number)
    bench.add("latency", subject, "p99, ms", queues.percentile(lags, 99), round=number)
    if lost := len(warm) - len(lags):
        bench.add("latency", subject, "lost", lost, round=number)
