"""The purge on PostgreSQL: workers' relays do it by themselves, beside their events; it costs nothing more for each row."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from benchmarks import filling
from benchmarks.touching import touched
from microworkflows import heartbeats, purging
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.models import purge as notes
from tests.integration.support import probing
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres]

OFTEN = {"PURGE_EVERY": 0.2, "MAX_ATTEMPTS": 1}
OLD = 1_200


def grow_old() -> None:
    then = timezone.now() - timedelta(days=40)
    OutboxEvent.objects.update(added=then)
    InboxEvent.objects.update(added=then, expires_at=then)


@pytest.mark.rabbitmq
def test_relays_purge_by_themselves_what_is_finished_and_nothing_else(
    launch: Launcher, broker: Broker
) -> None:
    launch.worker("probe,echo", MICROWORKFLOWS=OFTEN)
    launch.relay("echo", wait=False, MICROWORKFLOWS=OFTEN)  # it takes turns with the worker's relay
    ask(20)
    ask(behaviour="fail")
    eventually(
        lambda: (
            InboxEvent.objects.parked().exists()
            and InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() >= 20
            and not OutboxEvent.objects.pending().exists()
        )
    )
    grow_old()
    ask(50)
    parked = InboxEvent.objects.parked().get()
    eventually(
        lambda: (
            set(OutboxEvent.objects.filter(added__lt=timezone.now() - timedelta(days=1)))
            == {*OutboxEvent.objects.of_flow(parked.correlation_id)}
        ),
        what="the purge of all old flows but one",
    )
    call_command("purge_events")  # by cron, as before

    eventually(
        lambda: (
            InboxEvent.objects.filter(
                status=InboxEvent.Status.HANDLED, added__gt=timezone.now() - timedelta(days=1)
            ).count()
            >= 50
        ),
        what="the new events, handled meanwhile",
    )
    assert InboxEvent.objects.parked().get() == parked
    assert OutboxEvent.objects.of_flow(parked.correlation_id).exists()
    last = notes.last()
    assert last is not None
    assert last.spared >= 1


@pytest.fixture
def probe(database: str) -> Iterator[str]:
    with probing.declared():
        process = heartbeats.Process(worker="probe@here", host="here", pid=1, started_at=timezone.now())
        heartbeats.note(process, depths={"probe": 0, "echo": 0}, handling=0)
        yield database
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE published, received")


def test_purge_reads_no_table_from_end_to_end_and_each_row_costs_the_same(
    probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same old rows cost the same, however many stand behind them."""
    monkeypatch.setattr(purging, "_REST", 0)

    def purge() -> None:
        now = timezone.now()
        oldest = OutboxEvent.objects.order_by("added").values_list("added", flat=True)[0]
        purged = purging.purge(now=now, age=now - oldest - timedelta(milliseconds=OLD))
        assert (purged.outbox, purged.inbox, purged.spared) == (OLD, OLD, 0)

    costs = []
    for number in (8_000, 40_000):
        filling.finished(probe, number - OutboxEvent.objects.count(), first=OutboxEvent.objects.count())
        costs.append(touched(purge))

    few, many = costs
    assert {"published", "received"}.isdisjoint(many.whole)
    assert many.pages <= 1.5 * few.pages
