"""The mover is killed (SIGKILL) in each step; the same command goes on, and all is there once."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.db.models import F

from inventory.models import StockItem
from microworkflows.cutover.splitting import fence
from microworkflows.models import OutboxEvent
from payments.models import Payment
from tests.integration.cutover import shop
from tests.integration.cutover.conftest import On
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.chaos]


class Holder:
    """Holds up a step: it takes what the step needs, and lets it go."""

    def __init__(self) -> None:
        self._held: dict[str, psycopg.Connection] = {}

    def take(self, name: str, url: str, *statements: str) -> None:
        self._held[name] = psycopg.connect(url)
        for statement in statements:
            self._held[name].execute(statement)

    def let_go(self, name: str) -> None:
        self._held.pop(name).close()

    def let_all_go(self) -> None:
        for name in list(self._held):
            self.let_go(name)


@pytest.fixture
def holder() -> Iterator[Holder]:
    holder = Holder()
    yield holder
    holder.let_all_go()


@pytest.fixture
def start(source: str, target: str, tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Yield what starts the command as a process."""
    launcher = Launcher(tmp_path, database=source, broker=f"embedded://{tmp_path / 'broker'}")
    settings = {"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.settings"}
    yield lambda: launcher.manage(
        *("split_database", "payments", "--to", target, "--unproven", shop.UNPROVEN), environment=settings
    )
    launcher.end()


def waits(url: str, query: str) -> bool:
    """Tell whether somebody waits for a lock with a statement like this."""
    with psycopg.connect(url) as other:
        found = other.execute(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return any(re.search(query, text) for (text,) in found)


def stop_at(step: str, source: str, target: str, holder: Holder, start: Callable[[], Process]) -> Process:
    """Start the command and return once it stands still in this step."""
    if step == "prepare":
        holder.take("prepare", target, "CREATE TABLE django_migrations (id int)")
        process = start()
        eventually(lambda: waits(target, "django_migrations"))
        return process
    if step == "pause":
        holder.take(
            "pause", source, "INSERT INTO payments_payment SELECT * FROM payments_payment WHERE FALSE"
        )
        process = start()
        eventually(lambda: waits(source, "CREATE OR REPLACE TRIGGER"))
        return process
    shop.execute("UPDATE published SET status = 1 WHERE destination = 'payments.payment_refunded.v1'")
    process = start()
    process.says("drain:")
    if step == "drain":
        return process
    if step == "copy":
        ((event, body),) = [
            (str(row.pk), row.destination) for row in OutboxEvent.objects.of_context("payments")[:1]
        ]
        holder.take(
            "copy",
            target,
            "SET microworkflows.moving = 'payments'",
            "INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers)"
            f" VALUES ('{event}', '{body}', '{{}}', now(), now(), 0, 1, '{{}}')",
        )
        shop.relayed()
        eventually(lambda: waits(target, "COPY"))
        return process
    holder.take("switch", source, "SELECT 1 FROM received WHERE msg_id ~ '^payments' FOR UPDATE")
    shop.relayed()
    eventually(lambda: waits(source, "DELETE"))
    if step == "switch":
        return process
    holder.take("open", target, "LOCK TABLE microworkflows_cutover_contextmode")
    holder.let_go("switch")
    eventually(lambda: waits(target, "contextmode"))
    return process


def test_writes_under_way_are_waited_for_and_copied(
    source: str, target: str, on: On, start: Callable[[], Process]
) -> None:
    with psycopg.connect(source) as other:
        other.execute("UPDATE payments_payment SET currency = 'GBP'")
        process = start()
        eventually(lambda: waits(source, "CREATE OR REPLACE TRIGGER"))
        noted = shop.move()
        assert noted is not None
        assert noted.step == "pause"
        StockItem.objects.update(on_hand=F("on_hand") + 1)  # others go on
        other.commit()

    assert process.wait() == 0, process.output
    with on(target):
        assert Payment.objects.filter(currency="GBP").count() == 3


@pytest.mark.parametrize(
    "step",
    [
        "copy",
        *(
            pytest.param(step, marks=pytest.mark.slow)
            for step in ("prepare", "pause", "drain", "switch", "open")
        ),
    ],
)
def test_killed_mover_is_run_again(
    source: str, target: str, on: On, step: str, holder: Holder, start: Callable[[], Process]
) -> None:
    before = shop.kept()
    process = stop_at(step, source, target, holder, start)
    noted = shop.move()
    assert noted is not None
    assert noted.step == step

    process.kill()

    holder.let_all_go()
    if step not in ("prepare", "pause"):
        with on(target):
            there = fence.is_closed(connection, "payments")
        assert fence.is_closed(connection, "payments")
        assert there  # nobody works in either
    shop.relayed()
    shop.split(to=target)
    with on(target):
        now = shop.kept()
        assert now["payments_payment"] == before["payments_payment"]
        assert now["inbox"] == before["inbox"]
        assert [pk for pk, _ in now["outbox"]] == [pk for pk, _ in before["outbox"]]
        Payment.objects.update(currency="USD")
    assert shop.kept()["inbox"] == shop.kept()["outbox"] == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["prepare", "pause", "drain", "copy", "switch"])
def test_killed_move_is_given_up(
    source: str, target: str, on: On, step: str, holder: Holder, start: Callable[[], Process]
) -> None:
    before = {context: shop.kept(context) for context in shop.CONTEXTS}
    stop_at(step, source, target, holder, start).kill()
    holder.let_all_go()
    shop.relayed()

    shop.split(to=target, abort=True)

    assert {context: shop.kept(context) for context in shop.CONTEXTS} == before
    assert shop.triggers() == []
    Payment.objects.update(currency="USD")
    shop.split(to=target)
    with on(target):
        assert Payment.objects.filter(currency="USD").count() == 3
