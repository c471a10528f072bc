"""Projects whose transactions are stricter than PostgreSQL's default: what gives way is done again, and nothing fails."""

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import F, QuerySet
from pytest_django import Settings

from microworkflows import inbox, purging
from microworkflows.cutover import switch
from microworkflows.cutover.models import ContextMode
from microworkflows.cutover.stamps import Mode
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import store
from tests.integration.conftest import StartRelay
from tests.integration.support import probing
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Answered, ask, cloud_event
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres]

LEVELS = ["repeatable read", "serializable"]

During = Callable[["QuerySet[Any]", str, Callable[[], Any]], Any]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give each new session of this process an isolation level, and return it."""
    option = f"-c default_transaction_isolation={request.param.replace(' ', chr(92) + ' ')}"
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", {"options": option})
    return str(request.param)


@pytest.fixture
def during_a_change(level: str) -> During:
    """Return what does something while others change rows: it waits for them, and their change is then committed."""

    def do(rows: "QuerySet[Any]", field: str, action: Callable[[], Any]) -> Any:
        def in_new_session() -> Any:
            try:
                with connections["default"].cursor() as cursor:
                    cursor.execute("SELECT current_setting('default_transaction_isolation')")
                    assert cursor.fetchone() == (level,)
                return action()
            finally:
                connections["default"].close()

        with ThreadPoolExecutor(1) as threads:
            with transaction.atomic():
                rows.update(**{field: F(field)})
                outcome: Future[Any] = threads.submit(in_new_session)
                eventually(
                    lambda: _somebody_waits() or outcome.done(), what="somebody who waits for the lock"
                )
            return outcome.result()

    return do


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # in a transaction, the first look would be kept
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
        )
        return bool(cursor.fetchone()[0])


def test_purge_leaves_rows_that_somebody_changes_to_the_next_one(
    probe: None, during_a_change: During
) -> None:
    def purge() -> purging.Purged:
        return purging.purge(now=datetime.now(UTC), age=timedelta(days=-1))

    ask(3)
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)

    meanwhile = during_a_change(OutboxEvent.objects.all(), "retry", purge)

    assert (meanwhile.outbox, purge().outbox) == (0, 3)


def test_events_that_are_relayed_again_are_waited_for(probe: None, during_a_change: During) -> None:
    ask(3)
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    since = datetime.now(UTC) - timedelta(days=1)

    number = during_a_change(
        OutboxEvent.objects.all(), "retry", lambda: store.relay_again(["probe"], types=[], since=since)
    )

    assert number == 3


def test_mode_can_be_changed_by_two_people_at_once(settings: Settings, during_a_change: During) -> None:
    settings.MICROWORKFLOWS = {"CUTOVER": ["payments"]}
    switch.settings()
    now = datetime.now(UTC)
    ContextMode.objects.create(context="payments", mode=Mode.LIVE.value, percent=1, changed_at=now)

    changed = during_a_change(
        ContextMode.objects.all(),
        "percent",
        lambda: switch.change("payments", mode=Mode.INLINE, by="one", why="a try"),
    )

    assert changed == switch.Setting(Mode.INLINE)


def test_projects_own_transactions_keep_their_level(level: str) -> None:
    with ThreadPoolExecutor(1) as threads:

        def level_after_a_replay() -> str:
            InboxEvent.objects.filter(status=InboxEvent.Status.PARKED).replay(by="clerk")
            with transaction.atomic(), connections["default"].cursor() as cursor:
                cursor.execute("SHOW transaction_isolation")
                found = str(cursor.fetchone()[0])
            connections["default"].close()
            return found

        assert threads.submit(level_after_a_replay).result() == level


def test_duplicate_that_waited_for_the_first_one_is_skipped_and_costs_no_attempt(
    level: str, probe: None, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    body = json.loads(cloud_event(behaviour="hold", file=str(held)))

    def receive() -> None:
        try:
            inbox.receive(body, queue="probe")
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(receive)
        eventually(held.exists, what="the first one in hand")
        second = threads.submit(receive)
        eventually(_somebody_waits, what="the second one")
        Path(f"{held}.go").touch()
        for each in (first, second):
            each.result()

    assert probing.effects() == [body["id"]]
    assert InboxEvent.objects.get().attempts == 0


@pytest.mark.rabbitmq
def test_relay_waits_for_rows_that_somebody_changes_and_marks_them(
    level: str, relay: StartRelay, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    ask(3)
    with transaction.atomic():
        OutboxEvent.objects.update(retry=F("retry"))
        relay(broker.url)
        broker.take("echo", 3)
        eventually(_somebody_waits, what="a relay that waits for the rows")

    eventually(lambda: not OutboxEvent.objects.pending().exists(), what="the marks")
    assert not [record for record in caplog.records if "waits for the database" in record.getMessage()]
    assert broker.count("echo") == 0


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_flow_of_serializable_transactions_has_each_effect_once_and_loses_no_attempt(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    serializable = {"PGOPTIONS": "-c default_transaction_isolation=serializable"}
    worker = launch.worker("probe,echo", "-c", "3", environment=serializable)
    worker.says("relay probe: leads")

    ask(60, behaviour="count")
    ask(20, behaviour="emit", start=60)
    ask(behaviour="fail", file=str(tmp_path / "failed"), times=1)

    eventually(lambda: len(probing.effects()) == 81, what="the effect of each event")
    eventually(
        lambda: InboxEvent.objects.of_type(Answered.event_type).count() == 20, what="what they emitted"
    )
    eventually(lambda: not OutboxEvent.objects.pending().exists())
    assert sorted(InboxEvent.objects.exclude(retry=0).values_list("retry", flat=True)) == [1]
    assert "waits for the database" not in worker.output
