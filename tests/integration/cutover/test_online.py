"""A context works on while its rows are copied: whatever is written meanwhile arrives, and the pause does not grow with the rows."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError
from django.db import DatabaseError, connection

from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.splitting import chunks, patience, tables
from microworkflows.cutover.splitting.move import STEPS
from microworkflows.cutover.splitting.steps import MoveStep
from microworkflows.cutover.splitting.underway import Underway
from payments.models import Payment
from tests import soaking
from tests.integration.cutover import shop, writers
from tests.integration.cutover.conftest import Kill, On
from tests.soaking import Report

pytestmark = pytest.mark.postgres


def _slow(value: str) -> Any:
    return pytest.param(value, marks=pytest.mark.slow)


@pytest.fixture
def target(prepared: str) -> str:
    """Return the URL of the database that a context moves to."""
    return prepared


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy a few rows at a time."""
    monkeypatch.setattr(chunks, "_FIRST", 20)
    monkeypatch.setattr(chunks, "_MOST", 20)


def during(
    step: str, do: Callable[[], object], monkeypatch: pytest.MonkeyPatch, *, when: str = "after"
) -> None:
    """Do something before or after a step of a move, once."""
    doing = STEPS[MoveStep(step)]
    done: list[object] = []

    def stepping(move: Underway) -> None:
        doing(move)
        if not done:
            done.append(do())

    monkeypatch.setitem(STEPS, MoveStep(step), stepping)


@pytest.mark.usefixtures("small_chunks")
def test_what_is_written_while_rows_are_copied_arrives_once(source: str, target: str, on: On) -> None:
    shop.execute(writers.MORE.format(2000))

    with writers.writing(source) as done:
        shop.split(to=target)

    assert writers.refused(done), done.ends
    assert set(done.written) == {"insert", "update", "delete", "new key", "swap"}
    assert writers.checksum(target) == writers.checksum(source)  # the source stands still behind its fence
    moved = shop.move()
    assert moved is not None
    assert moved.counts["payments_payment"] == writers.checksum(target)[0]
    assert "changes" not in str(shop.left_behind())  # the fence stays


def test_pause_is_told_and_kept(source: str, target: str) -> None:
    said = shop.split(to=target)

    moved = shop.move()
    assert moved is not None
    assert moved.paused_seconds is not None
    assert f"payments paused for {moved.paused_seconds:.1f} s" in said


def test_context_works_on_in_every_step_before_the_pause(
    source: str, target: str, on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[int] = []
    for step in ("prepare", "capture", "copy", "catch_up"):
        during(step, lambda: worked.append(Payment.objects.update(currency="USD")), monkeypatch)

    shop.split(to=target)

    assert worked == [3] * 4
    with on(target):
        assert Payment.objects.filter(currency="USD").count() == 3


@pytest.mark.parametrize("step", [_slow("capture"), "copy", _slow("catch_up")])
def test_table_that_is_truncated_meanwhile(
    source: str, target: str, on: On, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Payment.objects.earliest("pk")

    def truncate() -> None:
        shop.execute("TRUNCATE payments_payment")
        Payment.objects.bulk_create([kept])

    during(step, truncate, monkeypatch)

    shop.split(to=target)

    with on(target):
        assert [payment.pk for payment in Payment.objects.all()] == [kept.pk]


KEYS = {
    "composite": ("a int, b text, PRIMARY KEY (b, a)", "i % 7, 'x' || i"),
    "text": ('a int, b text COLLATE "en-x-icu" PRIMARY KEY', "i, chr(65 + i % 50) || i"),
    "large number": ("a int, b bigint PRIMARY KEY", "i, i * 3000000000"),
    "time": ("a int, b timestamptz PRIMARY KEY", "i, '2026-03-29 00:00+00'::timestamptz + i * interval '7 minutes'"),
    "unique and never null": ("a int, b int NOT NULL UNIQUE", "i, i"),
    "none": ("a int, b int", "i, i % 9"),
}  # fmt: skip


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("key", [key if key in ("composite", "none") else _slow(key) for key in KEYS])
def test_keys_of_every_kind(
    source: str, target: str, on: On, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, values = KEYS[key]
    create = f'ALTER TABLE payments_payment RENAME TO old; CREATE TABLE payments_payment ({columns}, "Large" jsonb)'
    shop.execute(create, f"INSERT INTO payments_payment SELECT {values} FROM generate_series(1, 150) AS i")
    with on(target):
        shop.execute(create)
    during(
        "copy",
        lambda: shop.execute(
            "UPDATE payments_payment SET \"Large\" = jsonb_build_object('a', repeat('x', 100000)) WHERE a IN (3, 99)",
            "DELETE FROM payments_payment WHERE a = 4",
            f"INSERT INTO payments_payment SELECT {values} FROM generate_series(200, 220) AS i",
        ),
        monkeypatch,
    )

    said = shop.split(to=target)

    assert writers.checksum(target) == writers.checksum(source)
    assert ("Copied within the pause" in said) == (key == "none")


def test_chunks_follow_the_order_of_the_key_and_not_of_its_text(source: str) -> None:
    shop.execute(
        "ALTER TABLE payments_payment RENAME TO old",
        "CREATE TABLE payments_payment AS SELECT i AS id FROM generate_series(1, 120) AS i",
        "ALTER TABLE payments_payment ADD PRIMARY KEY (id)",
    )
    (table, *_) = tables.of_context(connection, "payments")

    assert chunks._boundary(connection, table, None, 100) == ("100",)
    assert chunks._boundary(connection, table, ("99",), 10) == ("109",)
    assert chunks._boundary(connection, table, ("115",), 10) is None


def test_constraints_that_cannot_hold_meanwhile_come_back_and_are_checked(
    source: str, target: str, on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (
        "ALTER TABLE inventory_reservationline ADD parent bigint REFERENCES inventory_reservationline ON DELETE CASCADE,"
        " ADD place int GENERATED BY DEFAULT AS IDENTITY, ADD CONSTRAINT places UNIQUE (place) DEFERRABLE INITIALLY DEFERRED"
    )
    constraints = (
        "SELECT conname || pg_get_constraintdef(oid) || convalidated FROM pg_constraint"
        " WHERE conrelid = 'inventory_reservationline'::regclass ORDER BY 1"
    )
    shop.execute(
        more, "UPDATE inventory_reservationline SET parent = (SELECT max(id) FROM inventory_reservationline)"
    )
    shop.execute(
        "INSERT INTO inventory_reservationline (reservation_id, sku, quantity, parent) SELECT reservation_id, 'S' || i, 1, id"
        " FROM (SELECT * FROM inventory_reservationline LIMIT 1) AS one, generate_series(1, 50) AS i"
    )
    with on(target):
        shop.execute(more)
    during(
        "copy",
        lambda: shop.execute(
            "UPDATE inventory_reservationline SET place = 60 - place, quantity = quantity + 1 WHERE place < 60"
        ),
        monkeypatch,
    )

    shop.split("inventory", to=target)

    table = "inventory_reservationline"
    assert writers.checksum(target, table) == writers.checksum(source, table)
    there = shop.texts(constraints)
    with on(target):
        assert shop.texts(constraints) == there
    assert "placesUNIQUE (place) DEFERRABLE INITIALLY DEFERREDtrue" in there


def test_migration_of_the_source_meanwhile_stops_the_move(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    during("copy", lambda: shop.execute("ALTER TABLE payments_payment ADD later int"), monkeypatch)

    with pytest.raises(CommandError, match=r"(?s)payments_payment: other columns in .*--abort"):
        shop.split(to=target)

    assert Payment.objects.update(currency="USD") == 3


def test_rows_that_were_changed_past_the_triggers_are_found(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(
        "copy",
        lambda: shop.execute("SET session_replication_role = replica", "UPDATE payments_payment SET currency = 'USD'",
                             "RESET session_replication_role"),
        monkeypatch,
    )  # fmt: skip

    with pytest.raises(
        CommandError, match=r"rows that arrived in payments_payment are not those that were sent"
    ):
        shop.split(to=target)


def test_reader_and_writer_that_take_long_make_nobody_wait(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause is called off while a transaction is open that has written, and comes once it has ended."""
    monkeypatch.setattr(patience, "_LONGEST_SECONDS", 0.25)
    with psycopg.connect(source) as reader, psycopg.connect(source) as writer:
        during(
            "catch_up",
            lambda: writer.execute("UPDATE payments_payment SET amount = 7 WHERE state = 'received'"),
            monkeypatch,
        )
        reader.execute("SELECT count(*) FROM payments_payment")

        with pytest.raises(CommandError) as refusal:
            shop.split(to=target, patience=0.5)

        assert f"pid {writer.info.backend_pid} (in a transaction for" in str(refusal.value)
        assert "UPDATE payments_payment SET amount = 7" in str(refusal.value)
        assert Payment.objects.filter(state="declined").update(currency="USD") == 1  # the gate is open again

    shop.split(to=target)
    assert writers.checksum(target) == writers.checksum(source)


def test_context_works_on_after_a_pause_that_failed(
    source: str, target: str, on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.execute(
        "ALTER TABLE inventory_reservationline ADD parent bigint REFERENCES inventory_reservationline ON DELETE CASCADE",
        "UPDATE inventory_reservationline SET parent = (SELECT max(id) FROM inventory_reservationline)",
    )
    with on(target):
        shop.execute(
            "ALTER TABLE inventory_reservationline ADD parent bigint REFERENCES inventory_reservationline ON DELETE CASCADE"
        )
    with monkeypatch.context() as patch:

        def fail(*args: object) -> None:
            raise DatabaseError("the disk is full")

        patch.setattr(tables, "unfinished", fail)
        with pytest.raises(CommandError, match="the disk is full"):
            shop.split("inventory", to=target)

    changed = "UPDATE inventory_reservationline SET sku = 'NEW' WHERE id = parent"
    shop.execute(changed)
    shop.split("inventory", to=target)

    table = "inventory_reservationline"
    assert writers.checksum(target, table) == writers.checksum(source, table)
    with on(target):
        assert shop.texts("SELECT sku FROM inventory_reservationline WHERE id = parent") == ["NEW"]


# The ways back


@pytest.mark.parametrize("step", [*map(_slow, ("capture", "copy", "catch_up", "pause", "drain")), "switch"])
def test_move_that_is_given_up_leaves_nothing_behind(source: str, target: str, step: str, on: On) -> None:
    before = shop.kept()
    shop.stop_before(step, to=target)

    shop.split(to=target, abort=True)

    assert shop.left_behind() == []
    assert shop.kept() == before
    assert shop.move() is None
    with on(target):
        assert Payment.objects.count() == 0


def test_abort_that_a_reader_holds_up_makes_no_writer_wait_and_is_done_again(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_LONGEST_SECONDS", 0.25)
    shop.stop_before("pause", to=target)
    with psycopg.connect(source) as reader, writers.writing(source, pause=0.02) as done:
        reader.execute("SELECT FROM payments_payment")
        with pytest.raises(
            CommandError, match=r"Others have used payments_payment .*pid .*SELECT FROM payments"
        ):
            shop.split(to=target, abort=True, patience=2)
        assert (
            done.written.total() > 10
        )  # to drop a trigger takes the table for itself, and waits for the reader
        assert not done.ends
        assert isinstance(shop.move(), ContextMove)

    shop.split(to=target, abort=True)

    assert shop.left_behind() == []


@pytest.mark.usefixtures("small_chunks")
def test_context_moves_back_while_it_works(source: str, target: str, on: On) -> None:
    shop.execute(writers.MORE.format(500))
    shop.split(to=target)

    with on(target), writers.writing(target) as done:
        shop.split(to=source)

    assert writers.refused(done), done.ends
    assert writers.checksum(source) == writers.checksum(target)
    assert shop.left_behind() == []


@pytest.mark.slow
@pytest.mark.soak
def test_pause_does_not_grow_with_the_rows(
    source: str, target: str, empty: str, on: On, kill: Kill, soaked: Report
) -> None:
    """Many rows (``SOAK=100``: ten million) move while others write them: given up once, killed in each step, and back."""
    number, long = min(soaking.times(100_000), 10_000_000), 0.3 * soaking.times(1)
    with writers.writing(source, pause=0.005):
        shop.split(to=target)
    few = shop.paused_seconds()
    with on(target):
        shop.split(to=source)
    writers.add(source, number)

    with writers.writing(source, pause=0.005) as there:
        kill("copy", database=source, to=empty, seconds=long)
        shop.split(to=empty, abort=True)
        assert shop.left_behind() == []
        for step in ("prepare", "capture", "copy", "catch_up"):
            kill(step, database=source, to=empty, seconds=long)
        assert not there.ends
        shop.split(to=empty)
    many, took = shop.paused_seconds(), shop.move_seconds()
    assert writers.refused(there), there.ends
    assert (rows := writers.checksum(empty)) == writers.checksum(source)

    with on(empty), writers.writing(empty, pause=0.005) as back:
        for step in STEPS:
            kill(step, database=empty, to=source, seconds=long if step == "copy" else 0.05)
        shop.split(to=source)
        killed, took_back = shop.paused_seconds(), shop.move_seconds()
    assert writers.refused(back), back.ends
    assert writers.checksum(source) == writers.checksum(empty) != rows
    assert shop.left_behind() == []

    soaked(
        rows=number,
        writes_meanwhile=there.written.total(),
        seconds_of_the_move=took,
        pause_of_few=few,
        pause_of_many=many,
        writes_on_the_way_back=back.written.total(),
        seconds_of_the_way_back=took_back,
        pause_killed_in_each_step=killed,
    )
    assert many < few + 2
