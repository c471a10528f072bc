"""Scale out: one, two and four relays at once, and what an event costs each process of processor time.

From the processor times follows what a second machine would add. Those of the servers are of all their processes, so
they mean something on a machine that does nothing else.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks import cpu, filling
from benchmarks.bench import Bench
from benchmarks.measurements.kit import SUBJECT, Kit
from benchmarks.meter import Meter
from project.processes.waiting import eventually

_SCALE, _RELAY = "scale", "relay"
_CONTEXTS = ("probe", "probe2", "probe3", "probe4")


def measure(bench: Bench) -> None:
    """Measure relays and workers, taking turns."""
    bench.interleave(_SCALE, {_RELAY: partial(_relays, bench), SUBJECT: partial(_hop, bench)})


def _relays(bench: Bench, number: int) -> None:
    """Let each context have a relay process of its own, which is idle when the events of all come, in one commit."""
    kit, count = Kit.fresh(bench, "scale"), bench.sized(full=120_000, quick=40_000)
    kit.manage("probe_record", "0")  # declares the queues
    for size in (1, 2, 4):
        contexts = _CONTEXTS[:size]
        with ExitStack() as stack:
            relays = [stack.enter_context(kit.relay(context)) for context in contexts]
            for relay in relays:
                relay.says(": leads")
            meter = stack.enter_context(Meter(kit.broker, *contexts))
            filling.pending(kit.database, count, contexts=contexts)
            spent = _clock(kit, {"relay": [relay.pid for relay in relays]})
            meter.wait(count)
            costs = spent()
        add = partial(bench.add, _SCALE, _RELAY, round=number, contexts=size)
        add("events/s", meter.rate())
        for process, seconds in costs.items():
            add(f"{process} CPU, µs/event", seconds / count * 1e6)
        filling.remove_the_rest(kit.database)


def _hop(bench: Bench, number: int) -> None:
    """Let a worker handle a full queue and relay what its step emits, as workers do; its relay counts as a part of it."""
    kit, count = Kit.fresh(bench, "scale"), bench.sized(full=4_000, quick=1_500)
    warm = count // 5
    kit.preload(count)
    with kit.worker(processes=2) as worker:
        eventually(lambda: _handled(kit) >= warm, timeout=60, every=0.1)
        spent, before = _clock(kit, {"worker": [worker.pid]}), _handled(kit)
        eventually(lambda: _handled(kit) >= count and not _pending(kit), timeout=180, every=0.1)
        costs = spent()
    for process, seconds in costs.items():
        bench.add(_SCALE, SUBJECT, f"{process} CPU, µs/event", seconds / (count - before) * 1e6, round=number)


def _handled(kit: Kit) -> int:
    return int(kit.query("SELECT count(*) FROM probe_effect")[0])


def _pending(kit: Kit) -> bool:
    return bool(kit.query("SELECT EXISTS (SELECT FROM published WHERE status = 1)")[0])


def _clock(kit: Kit, own: dict[str, list[int]]) -> Callable[[], cpu.Spent]:
    """Begin to count the processor time of own processes and of both servers; the call tells the seconds since."""
    server = cpu.server(kit.database)
    return cpu.clock(
        {
            **own,
            **({"PostgreSQL": [server]} if server else {}),
            "RabbitMQ": [kit.bench.servers.broker_pid],
        }
    )
