"""Faults in the middle of relaying: what the kit loses, which must be nothing, and what it sends twice.

A relay or broker that dies has messages under way whose confirms nobody saw; they are sent again, and the inbox of a
consumer makes that harmless. Both are counted at the queue.
"""

from collections.abc import Callable
from functools import partial

from benchmarks import queues
from benchmarks.bench import Bench
from benchmarks.measurements.kit import SUBJECT, Kit
from project.processes.waiting import eventually


def measure(bench: Bench) -> None:
    """Let each fault happen once."""
    faults: dict[str, Callable[[Kit, int], None]] = {
        "relay killed": _relay_killed,
        "broker killed": partial(_broker_away, end=bench.servers.kill_broker),
        "broker restarted": partial(_broker_away, end=bench.servers.stop_broker),
        "queue full": _queue_full,
        "queue missing": _queue_missing,
    }
    for fault, meet in faults.items():
        bench.attempt("faults", f"{SUBJECT}, {fault}", partial(_meet, bench, fault, meet))


def _meet(bench: Bench, fault: str, meet: Callable[[Kit, int], None]) -> None:
    kit, count = Kit.fresh(bench, "faults"), bench.sized(full=20_000, quick=5_000)
    kit.manage("probe_record", str(count))
    meet(kit, count)
    found = queues.markers(queues.drain(kit.broker, "probe"))
    bench.add("faults", SUBJECT, "lost", count - len(set(found)), fault=fault)
    bench.add("faults", SUBJECT, "doubled", len(found) - len(set(found)), fault=fault)


def _relay_killed(kit: Kit, count: int) -> None:
    with kit.relay() as relay:
        _half_way(kit, count)
        relay.kill()
    with kit.relay():
        _all_relayed(kit)


def _broker_away(kit: Kit, count: int, *, end: Callable[[], None]) -> None:
    with kit.relay():
        _half_way(kit, count)
        end()
        kit.bench.servers.start_broker()
        _all_relayed(kit)


def _queue_full(kit: Kit, count: int) -> None:
    """The queue takes a tenth, refuses the rest, and has its limit lifted later."""
    kit.bench.servers.limit(kit.broker, "probe", count // 10)
    with kit.relay():
        eventually(lambda: kit.query("SELECT count(*) FROM published WHERE retry > 0")[0], timeout=60)
        kit.bench.servers.unlimit(kit.broker)
        _all_relayed(kit)


def _queue_missing(kit: Kit, count: int) -> None:
    """Nothing is bound to the type: the events are kept as unheard, and relayed again once something is."""
    with kit.relay() as relay:
        relay.says(": leads")
        _half_way(kit, count)
        queues.unbind(kit.broker, "probe", exchange="microworkflows", routing_key="probe.measured.v1")
        _all_relayed(kit)
    kit.manage("unheard", "--relay")
    with kit.relay():
        _all_relayed(kit)


def _half_way(kit: Kit, count: int) -> None:
    with queues.QueueWatch(kit.broker, "probe") as watch:
        eventually(lambda: watch.ready() >= count // 4, timeout=60, every=0.002)


def _all_relayed(kit: Kit) -> None:
    statement = "SELECT count(*) FROM published WHERE status = 1"
    eventually(lambda: kit.query(statement) == [0], timeout=120, every=0.2, what="everything relayed")
