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
from microworkflows.models import InboxEvent, OutboxEvent
from payments.models import Payment
from tests.integration.cutover import shop, writers
from tests.integration.cutover.conftest import Kill, On
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
def target(prepared: str) -> str:
    """Return the URL of the database that a context moves to."""
    return prepared


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


STEPS = ("prepare", "capture", "copy", "catch_up", "pause", "drain", "switch", "open", "tidy")
PASSING = "SET microworkflows.moving = 'payments'"


def stop_at(step: str, source: str, target: str, holder: Holder, start: Callable[[], Process]) -> Process:
    """Start the command and return once it stands still in this step; it has been held up in each one before."""
    number = STEPS.index(step)
    parked = InboxEvent.objects.of_context("payments").earliest("pk")
    InboxEvent.objects.filter(pk=parked.pk).update(
        status=InboxEvent.Status.PARKED
    )  # is deleted by the switch
    holder.take("prepare", target, "LOCK TABLE django_content_type")
    process = start()
    eventually(lambda: waits(target, "django_content_type"))
    if number >= STEPS.index("capture"):
        holder.take("capture", source, "UPDATE payments_payment SET amount = amount WHERE state = 'received'")
        holder.let_go("prepare")
        process.says("capture:")
    if number >= STEPS.index("copy"):
        event = OutboxEvent.objects.of_context("payments").earliest("pk")
        insert = (
            "INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers)"
            f" VALUES ('{event.pk}', '{event.destination}', '{{}}', now(), now(), 0, 1, '{{}}')"
        )
        holder.take("copy", target, PASSING, insert)
        holder.let_go("capture")
        eventually(lambda: waits(target, "INSERT INTO .published"))
    if number >= STEPS.index("catch_up"):
        holder.take("catch_up", source, "LOCK TABLE payments_payment")
        holder.let_go("copy")
        eventually(lambda: waits(source, "LOCK TABLE"))
    if number >= STEPS.index("pause"):
        holder.take("pause", source, "UPDATE received SET retry = retry")
        holder.let_go("catch_up")
        process.says("works on meanwhile")
    if number >= STEPS.index("drain"):
        pending = "UPDATE published SET status = 1 WHERE destination = 'payments.payment_refunded.v1'"
        shop.execute(PASSING, pending, "RESET microworkflows.moving")
        holder.let_go("pause")
        process.says("drain:")
    if number >= STEPS.index("switch"):
        holder.take("switch", source, "SELECT 1 FROM received WHERE msg_id ~ '^payments' FOR UPDATE")
        shop.relayed()
        eventually(lambda: waits(source, "DELETE FROM .received"))
    if number >= STEPS.index("open"):
        holder.take("open", target, "LOCK TABLE microworkflows_cutover_contextmode")
        holder.let_go("switch")
        eventually(lambda: waits(target, "contextmode"))
    if number >= STEPS.index("tidy"):
        holder.take("tidy", source, "SELECT FROM payments_payment")
        holder.let_go("open")
        process.says("tidy:")
    noted = shop.move()
    assert noted is not None
    assert noted.step == step
    return process


def test_writes_under_way_are_waited_for_and_copied(
    source: str, target: str, on: On, start: Callable[[], Process]
) -> None:
    with psycopg.connect(source) as other:
        other.execute("UPDATE payments_payment SET currency = 'GBP'")
        process = start()
        process.says("capture:")
        StockItem.objects.update(on_hand=F("on_hand") + 1)  # others go on
        other.commit()

    assert process.wait() == 0, process.output
    with on(target):
        assert Payment.objects.filter(currency="GBP").count() == 3


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=[pytest.mark.slow] if step != "drain" else []) for step in STEPS],
)
def test_killed_mover_is_run_again(
    source: str, target: str, on: On, step: str, holder: Holder, start: Callable[[], Process]
) -> None:
    stop_at(step, source, target, holder, start).kill()
    holder.let_all_go()
    before = shop.kept()
    works = step in STEPS[: STEPS.index("pause")]

    assert works == (not fence.is_closed(connection, "payments")) or step == "pause"
    with on(target):
        assert fence.is_closed(connection, "payments") == (step not in ("prepare", "tidy"))
    if works:
        Payment.objects.update(currency="USD")
        before = shop.kept()
    shop.relayed()
    shop.split(to=target)

    with on(target):
        now = shop.kept()
        assert now["payments_payment"] == before["payments_payment"]
        if step not in ("open", "tidy"):
            assert now["inbox"] == before["inbox"]
            assert [pk for pk, _ in now["outbox"]] == [pk for pk, _ in before["outbox"]]
        assert len(now["inbox"]) == len(now["outbox"]) == 4
        assert sum(status == InboxEvent.Status.PARKED for _, status, _ in now["inbox"]) == 1
        Payment.objects.update(currency="USD")
    assert shop.kept()["inbox"] == shop.kept()["outbox"] == []
    assert "changes" not in str(shop.left_behind())


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS[: STEPS.index("open")])
def test_killed_move_is_given_up(
    source: str, target: str, on: On, step: str, holder: Holder, start: Callable[[], Process]
) -> None:
    stop_at(step, source, target, holder, start).kill()
    holder.let_all_go()
    before = {context: shop.kept(context) for context in shop.CONTEXTS}

    shop.split(to=target, abort=True)

    assert {context: shop.kept(context) for context in shop.CONTEXTS} == before
    assert shop.left_behind() == []
    assert shop.move() is None
    Payment.objects.update(currency="USD")
    shop.relayed()
    shop.split(to=target)
    with on(target):
        assert Payment.objects.filter(currency="USD").count() == 3


@pytest.mark.parametrize("steps", [("capture", "switch"), pytest.param(STEPS, marks=pytest.mark.slow)])
def test_move_back_that_is_killed_in_each_step(
    source: str, target: str, on: On, kill: Kill, steps: tuple[str, ...]
) -> None:
    """The old rows at home are deleted by it, so nothing of the new ones may be missing whenever it dies."""
    shop.execute(writers.MORE.format(300))
    shop.split(to=target)

    with on(target), writers.writing(target) as done:
        for step in steps:
            kill(step, database=target, to=source)
        shop.split(to=source)

    assert writers.refused(done), done.ends
    assert writers.checksum(source) == writers.checksum(target)
    assert shop.left_behind() == []
    Payment.objects.update(currency="USD")
