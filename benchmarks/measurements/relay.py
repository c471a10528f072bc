"""Relay throughput: events that are committed already, from the first to the last in the queue, counted there.

Each subject has its own database and virtual host; its relay starts when everything is recorded.
"""

import json
from collections.abc import Callable
from functools import partial

from benchmarks import ceilings, queues
from benchmarks.bench import Bench
from benchmarks.measurements.kit import SUBJECT, Kit
from benchmarks.peers import PEERS, Peer
from benchmarks.processes import PYTHON, Child, run

_METRIC = "events/s"
_CPU = "relay CPU, µs/event"
_QUEUE = "bench"


def measure(bench: Bench) -> None:
    """Measure the kit, its peers and the ceilings, taking turns."""
    subjects: dict[str, Callable[[int], None]] = {
        SUBJECT: partial(_ours, bench, SUBJECT, ["probe"]),
        f"{SUBJECT}, two contexts": partial(_ours, bench, f"{SUBJECT}, two contexts", ["probe", "probe2"]),
        f"{SUBJECT}, while recording": partial(_while_recording, bench),
    }
    for peer in PEERS:
        if peer.quick or not bench.quick:
            subjects[peer.title] = partial(_peer, bench, peer)
    for title, kind in ceilings.KINDS.items():
        subjects[title] = partial(_ceiling, bench, title, kind)
    subjects["ceiling: PostgreSQL, claim and mark"] = partial(_claim_and_mark, bench)
    bench.interleave("relay", subjects)


def _ours(bench: Bench, subject: str, contexts: list[str], number: int) -> None:
    kit, count = Kit.fresh(bench, "relay"), bench.sized(full=60_000, quick=30_000) // len(contexts)
    for context in contexts:
        kit.manage("probe_record", str(count), "--context", context)
    with kit.relay(*contexts) as relay:
        relay.says(": leads", times=len(contexts))
        before = relay.cpu_seconds()
        filled = queues.time_to_fill(kit.broker, *contexts, expected=count * len(contexts))
        cpu = relay.cpu_seconds() - before
    found = [queues.markers(queues.drain(kit.broker, context)) for context in contexts]
    add = partial(bench.add, "relay", subject, round=number, confirmed="yes")
    add(_METRIC, filled.rate)
    add(_CPU, cpu / count / len(contexts) * 1e6)
    add("lost", sum(count - len(set(each)) for each in found))
    add("doubled", sum(len(each) - len(set(each)) for each in found))
    add("out of order", sum(each != sorted(each) for each in found))


def _while_recording(bench: Bench, number: int) -> None:
    """A backlog drains while another process records an event every millisecond or so."""
    subject = f"{SUBJECT}, while recording"
    kit, count = Kit.fresh(bench, "relay"), bench.sized(full=60_000, quick=30_000)
    kit.manage("probe_record", str(count))
    with kit.start("probe_record", "1000000", "--start", str(count), "--pause", "0.001") as recorder:
        recorder.says("recording")
        with kit.relay():
            filled = queues.time_to_fill(kit.broker, "probe", expected=count)
    bench.add("relay", subject, _METRIC, filled.rate, round=number, confirmed="yes")


def _peer(bench: Bench, peer: Peer, number: int) -> None:
    database, broker = bench.servers.database("peer"), bench.servers.vhost("peer")
    queues.declare(broker, _QUEUE)
    environment = peer.environment(
        database_url=database, broker_url=broker, stomp_port=bench.servers.stomp_port, queue=_QUEUE
    )
    count = bench.sized(full=6_000, quick=3_000)
    run(*peer.command("migrate", say=bench.say), env=environment, log=bench.log(f"{peer.name} migrate"))
    run(*peer.command("record", count, say=bench.say), env=environment, log=bench.log(f"{peer.name} record"))
    with Child(
        *peer.command("relay", say=bench.say), env=environment, log=bench.log(f"{peer.name} relay")
    ) as relay:
        relay.says("relaying")
        before = relay.cpu_seconds()
        filled = queues.time_to_fill(broker, _QUEUE, expected=count)
        cpu = relay.cpu_seconds() - before
    found = queues.markers(queues.drain(broker, _QUEUE))
    add = partial(bench.add, "relay", peer.title, round=number, confirmed="yes" if peer.confirmed else "no")
    add(_METRIC, filled.rate)
    add(_CPU, cpu / count * 1e6)
    add("lost", count - len(set(found)))
    add("doubled", len(found) - len(set(found)))


def _ceiling(bench: Bench, title: str, kind: str, number: int) -> None:
    broker = bench.servers.vhost("ceiling")
    queues.declare(broker, _QUEUE)
    count = bench.sized(full=60_000, quick=30_000) // (10 if kind == "confirming_each" else 1)
    environment = {"BROKER_URL": broker, "QUEUE": _QUEUE}
    command = (PYTHON, "-m", "benchmarks.ceilings", kind, str(count))
    with Child(*command, env=environment, log=bench.log(kind)):
        filled = queues.time_to_fill(broker, _QUEUE, expected=count)
    queues.drain(broker, _QUEUE)
    bench.add("relay", title, _METRIC, filled.rate, round=number)


def _claim_and_mark(bench: Bench, number: int) -> None:
    kit, count = Kit.fresh(bench, "relay"), bench.sized(full=60_000, quick=30_000)
    kit.manage("probe_record", str(count))
    command = (PYTHON, "-m", "benchmarks.ceilings", "claim_and_mark", str(count))
    rate = json.loads(run(*command, env=kit.environment, log=bench.log("claim_and_mark")))
    bench.add("relay", "ceiling: PostgreSQL, claim and mark", _METRIC, rate, round=number)
