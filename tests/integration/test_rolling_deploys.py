"""Rolling deploys of a new version of an event, and consumers that come late: real processes of old and new code, side by side."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import effects
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.acceptance, pytest.mark.slow]

QUEUES = ("pricing", "billing")
A_FEW = 8


@pytest.fixture
def deploys(database: str, broker: Broker, tmp_path: Path) -> Iterator["Deploys"]:
    launcher = Launcher(
        tmp_path,
        database=database,
        broker=broker.url,
        GUESTS=["tests.integration.pricing"],
        MICROWORKFLOWS={"RELAY_POLL": 0.3},
    )
    yield Deploys(launcher, broker)
    launcher.end()
    with broker.channel() as channel:
        for queue in QUEUES:
            for name in (queue, f"{queue}.dead"):
                channel.queue_delete(name)
            channel.exchange_delete(f"{queue}.owner")


class Deploys:
    """Processes of the announcer and of the listener, each of old or new code."""

    def __init__(self, launch: Launcher, broker: Broker) -> None:
        self.launch = launch
        self._broker = broker
        self._announced = 0

    def relay(self, code: int, *, wait: bool = True) -> Process:
        relay = self.launch.relay("pricing", wait=wait, PRICING=code)
        if not wait:
            relay.says("stands by")
        return relay

    def worker(self, code: int) -> Process:
        return self.launch.worker("billing", BILLING=code)

    def announce(self, code: int) -> None:
        """Announce a few prices, by a process of its own."""
        module = "tests.integration.pricing.announce"
        process = self.launch.start(
            *(sys.executable, "-m", module, str(self._announced), str(A_FEW)), PRICING=code
        )
        assert process.wait(timeout=120) == 0, process.output
        self._announced += A_FEW

    def all_billed_once(self) -> bool:
        """Return True once each fact had its effect; a unique constraint lets none have it twice for the same id."""
        return len(effects("billing.bill")) == self._announced

    def numbers(self) -> dict[str, int]:
        """Return everything that may not stay above 0."""
        return {
            "pending": OutboxEvent.objects.pending().count(),
            "unheard": OutboxEvent.objects.unheard().count(),
            "waiting": InboxEvent.objects.waiting().count(),
            "parked": InboxEvent.objects.parked().count(),
            "queue": self._broker.count("billing"),
            "dead": self._broker.count("billing.dead"),
        }

    def settles(self) -> None:
        """Wait until all is billed and nothing is left anywhere."""
        eventually(self.all_billed_once, timeout=120)
        eventually(lambda: not any(self.numbers().values()), timeout=120)
        with connection.cursor() as cursor:  # by what was billed, and not by the ids alone
            cursor.execute(
                "SELECT count(DISTINCT published.body -> 'data' ->> 'number') FROM received "
                "JOIN published ON published.id = right(msg_id, 36)::uuid"
            )
            assert cursor.fetchone() == (self._announced,)
        assert len(effects("billing.bill")) == self._announced


def test_announcer_that_is_deployed_first_loses_and_doubles_nothing(deploys: Deploys) -> None:
    old_worker, old_relay = deploys.worker(1), deploys.relay(1)
    deploys.announce(1)

    deploys.relay(2, wait=False)
    deploys.announce(2)  # old and new code announce; an old relay brings both on
    deploys.announce(1)
    deploys.settles()
    old_relay.stop(timeout=120)

    new_worker = deploys.worker(2)  # it binds the queue to the new version, also for the old worker beside it
    deploys.announce(2)
    deploys.announce(1)
    deploys.settles()
    old_worker.stop(timeout=120)
    deploys.announce(2)

    deploys.settles()
    assert "parked" not in new_worker.output + old_worker.output


def test_listener_that_is_deployed_first_loses_and_doubles_nothing_until_the_old_version_is_gone(
    deploys: Deploys,
) -> None:
    old_worker, old_relay = deploys.worker(1), deploys.relay(1)
    deploys.announce(1)

    new_worker = deploys.worker(2)
    deploys.announce(1)
    deploys.settles()
    old_worker.stop(timeout=120)

    deploys.relay(2, wait=False)
    deploys.announce(2)
    deploys.announce(1)
    deploys.settles()
    old_relay.stop(timeout=120)
    deploys.announce(2)
    deploys.settles()

    newest_worker = deploys.worker(
        3
    )  # its code has dropped the first version, to which the queue is still bound
    deploys.announce(2)
    new_worker.stop(timeout=120)
    deploys.announce(2)
    deploys.settles()
    assert "parked" not in new_worker.output + old_worker.output + newest_worker.output


def test_context_that_listens_late_is_fed_what_was_recorded_before_while_new_events_come(
    deploys: Deploys,
) -> None:
    deploys.relay(1)
    deploys.announce(1)  # nobody listens yet
    eventually(lambda: OutboxEvent.objects.unheard().count() == A_FEW)
    deploys.worker(1)
    feed = ("relay", "--again", "pricing.priced.v1", "--to", "billing", "--since", _an_hour_ago())

    deploys.announce(1)
    said = deploys.launch.run(*feed, "--rate", "50", BILLING=1)
    deploys.announce(1)
    deploys.settles()

    assert f"{2 * A_FEW} of {2 * A_FEW} fed to billing." in said, (
        said
    )  # the announcer does not know who has heard the later ones
    assert f": {A_FEW} events for billing." in deploys.launch.run(*feed, BILLING=1)  # those announced since
    deploys.settles()


def _an_hour_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).isoformat()
