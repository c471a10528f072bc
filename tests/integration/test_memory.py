"""Relay and worker are as large after thousands of events as they were when they were warm."""

import os
from pathlib import Path

import pytest

from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Asked, ask
from tests.integration.support.processes import Launcher, pool_of
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.slow]

WARM, MORE = 500, 2_000
LEAK = 1_500_000
"""Bytes, two in a hundred of what a process has: an event that is kept with its body takes more than 750 of them."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def test_memory_of_relay_and_worker_does_not_grow_with_events(launch: Launcher, broker: Broker) -> None:
    relay, worker = launch.relay(), launch.worker("probe", "--no-relay")
    (pool,) = pool_of(worker.pid)
    processes = {"relay": relay.pid, "worker": worker.pid, "pool process": pool}
    work(WARM)
    before = {name: resident(pid) for name, pid in processes.items()}

    work(MORE)

    grown = {name: resident(pid) - before[name] for name, pid in processes.items()}
    assert {name: size for name, size in grown.items() if size > LEAK} == {}


def test_memory_of_the_relay_does_not_grow_with_a_backlog_of_large_events(
    launch: Launcher, broker: Broker
) -> None:
    for start in range(0, 120, 10):
        ask(10, start=start, padding="x" * 500_000)

    relay = launch.relay(MICROWORKFLOWS={"RELAY_BATCH": 1})
    eventually(_none_pending, timeout=100)
    usual = highest(relay.pid)
    assert relay.stop() == 0
    OutboxEvent.objects.all().update(status=OutboxEvent.Status.PENDING)
    relay = launch.relay()
    eventually(_none_pending, timeout=100)

    assert highest(relay.pid) - usual < 40_000_000


def _none_pending() -> bool:
    return not OutboxEvent.objects.pending().exists()


def highest(pid: int) -> int:
    """Return the largest resident memory that a process has had, in bytes."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


def work(count: int) -> None:
    """Have so many events recorded, relayed and handled; each emits another, which is relayed too."""
    ask(count, behaviour="emit", per_transaction=500)
    eventually(_idle, timeout=100, every=0.1, what="all relayed and handled")


def _idle() -> bool:
    asked = OutboxEvent.objects.of_type(Asked.event_type).count()
    return InboxEvent.objects.count() == asked and not OutboxEvent.objects.pending().exists()


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
