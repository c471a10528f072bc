"""A context moves to a database of its own, pauses meanwhile, and moves back."""

import json
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction

from inventory.models import ReservationLine, StockItem
from microworkflows import failures, inbox
from microworkflows.cutover import switch
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders.models import OrderNumber
from payments.models import Payment
from tests.integration.cutover import shop
from tests.integration.cutover.conftest import On

pytestmark = pytest.mark.postgres


@pytest.fixture
def target(prepared: str) -> str:
    """Return the URL of the database that a context moves to: to make its tables takes as long as all else."""
    return prepared


def test_context_moves_with_all_it_has(source: str, empty: str, on: On) -> None:
    for row in InboxEvent.objects.filter(msg_id__regex="^(payments|shipping)"):
        failures.note(row, worker="here")
    before, others = (
        shop.kept(),
        {context: shop.kept(context) for context in ("orders", "inventory", "shipping")},
    )

    said = shop.split(to=empty)

    assert f"payments works in {empty}" in said
    with on(empty):
        assert shop.kept() == before
        assert len(before["payments_payment"]) == 3
        assert len(before["inbox"]) == len(before["history"]) == 4
        assert len(before["outbox"]) == 4
        assert not shop.kept("orders")["outbox"]
        assert shop.triggers() == []
        assert shop.move() is None
    assert {context: shop.kept(context) for context in others} == others
    moved = shop.move()
    assert moved is not None
    assert moved.step == "moved"
    assert moved.counts == {"payments_payment": 3, "received": 4, "microworkflows_history": 4, "published": 4}
    emptied: dict[str, list[object]] = {"inbox": [], "history": [], "outbox": []}
    assert shop.kept() == {"payments_payment": before["payments_payment"], **emptied}


def test_moved_context_works_in_its_database_and_nowhere_else(source: str, target: str, on: On) -> None:
    shop.split(to=target)
    with transaction.atomic():
        order = shop.place()
    (event,) = OutboxEvent.objects.pending()

    with pytest.raises(OperationalError, match="payments was moved to postgresql://"):
        inbox.receive(event.body, queue="payments")
    with on(target):
        inbox.receive(event.body, queue="payments")

        assert Payment.objects.get(order_id=order.pk).state == "received"
        assert OutboxEvent.objects.pending().count() == 1
    assert not Payment.objects.filter(order_id=order.pk).exists()


def test_rows_that_refer_to_each_other_and_sequences_move(source: str, target: str, on: On) -> None:
    line = ReservationLine.objects.earliest("pk")
    gone = ReservationLine.objects.create(reservation=line.reservation, sku="GONE", quantity=1).pk
    ReservationLine.objects.filter(pk=gone).delete()
    failures.note(InboxEvent.objects.of_context("inventory").earliest("pk"), worker="here")
    before = shop.kept("inventory")

    shop.split("inventory", to=target)

    assert all(before.values())
    with on(target):
        assert shop.kept("inventory") == before
        new = ReservationLine.objects.create(reservation=line.reservation, sku="NEW", quantity=1)
        assert new.reservation.lines.count() == 2
        assert new.pk == gone + 1  # a number that was given out once is not given out again


def test_numbers_of_orders_go_on(source: str, target: str, on: On) -> None:
    last = OrderNumber.objects.latest("pk").pk

    shop.split("orders", to=target)

    with on(target):
        assert OrderNumber.objects.create().pk == last + 1


def test_values_of_all_kinds_arrive_as_they_were(source: str, target: str, on: On) -> None:
    kinds = (
        "ALTER TABLE payments_payment ADD f float8, ADD b bytea, ADD j json, ADD i interval, ADD a text[],"
        " ADD doubled numeric GENERATED ALWAYS AS (amount * 2) STORED"
    )
    shop.execute(
        kinds,
        """UPDATE payments_payment SET f = 0.1 + 0.2, b = '\\x00ff5c', j = '{"b":1, "a":"\\\\n"}',
        i = '1 month -3 days', a = ARRAY['a\tb', NULL, '\\N', E'line\\nbreak'], currency = 'EUR'""",
    )
    before = shop.kept()
    with on(target):
        call_command("migrate", verbosity=0)
        shop.execute(kinds)

    shop.split(to=target)

    with on(target):
        assert shop.kept() == before


# The fence


def test_stale_writers_are_told_what_happens(source: str, target: str) -> None:
    event = OutboxEvent.objects.of_type("orders.order_accepted.v1").first()
    payment = Payment.objects.first()
    assert event is not None
    assert payment is not None
    shop.split(to=target)

    writers: dict[str, Callable[[], object]] = {
        "insert": lambda: Payment.objects.bulk_create([payment]),
        "update": lambda: Payment.objects.update(currency="USD"),
        "delete": lambda: Payment.objects.all().delete(),
        "truncate": lambda: shop.execute("TRUNCATE payments_payment"),
        "receive": lambda: inbox.receive(event.body, queue="payments"),
        "record": lambda: shop.execute(
            "INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers) VALUES"
            " (gen_random_uuid(), 'payments.payment_received.v1', '{}', now(), now(), 0, 1, '{\"microworkflow\": null}')"
        ),
    }

    for name, write in writers.items():
        with pytest.raises(OperationalError) as refusal:
            write()
        assert f"payments was moved to {target}" in str(refusal.value), name
        assert "Start this process with the DATABASE_URL of that database" in str(refusal.value)
        assert getattr(refusal.value.__cause__, "sqlstate", "") == "57P03"


def test_other_contexts_work_on_behind_the_fence(source: str, target: str) -> None:
    shop.split(to=target)

    order = shop.place()
    Flow().run(contexts=["orders", "inventory", "shipping"])

    order.refresh_from_db()
    assert order.state == "accepted"
    assert StockItem.objects.filter(on_hand__gt=0).update(on_hand=5) > 0


def test_relay_may_note_what_it_did_while_the_fence_stands(source: str, target: str) -> None:
    shop.stop_before("drain", to=target)
    event = OutboxEvent.objects.of_context("payments").first()
    row = InboxEvent.objects.of_context("payments").first()
    assert event is not None
    assert row is not None

    OutboxEvent.objects.filter(pk=event.pk).update(status=2, retry=1)
    InboxEvent.objects.filter(pk=row.pk).update(expires_at="2030-01-01T00:00:00Z")

    with pytest.raises(OperationalError, match="being moved"):
        OutboxEvent.objects.filter(pk=event.pk).update(status=1)
    with pytest.raises(OperationalError, match="being moved"):
        InboxEvent.objects.filter(pk=row.pk).update(status=1)


# The ways back


def test_move_is_given_up(source: str, target: str, on: On) -> None:
    before = shop.kept()
    shop.stop_before("drain", to=target)
    with pytest.raises(OperationalError, match="payments is being moved to"):
        Payment.objects.update(currency="USD")

    said = shop.split(to=target, abort=True)

    assert "given up" in said
    assert shop.move() is None
    assert shop.triggers() == []
    assert shop.kept() == before
    Payment.objects.update(currency="USD")
    shop.split(to=target)
    with on(target):
        assert Payment.objects.filter(currency="USD").count() == 3


def test_copied_rows_leave_the_target_when_the_move_is_given_up(source: str, target: str, on: On) -> None:
    shop.stop_before("switch", to=target)
    with on(target):
        assert Payment.objects.count() == 3

    shop.split(to=target, abort=True)

    with on(target):
        assert shop.kept() == {"payments_payment": [], "inbox": [], "history": [], "outbox": []}
        with pytest.raises(OperationalError, match="does not work in"):
            Payment.objects.all().delete()


def test_context_moves_back(source: str, target: str, on: On) -> None:
    shop.split(to=target)
    order = shop.place()
    (event,) = OutboxEvent.objects.pending()
    shop.relayed()
    with on(target):
        inbox.receive(event.body, queue="payments")
        Payment.objects.filter(state="declined").delete()
        shop.relayed()
        now = shop.kept()

        shop.split(to=source)

        with pytest.raises(OperationalError, match="payments was moved to"):
            Payment.objects.update(currency="USD")

    assert shop.kept() == now
    assert shop.move() is None
    assert shop.triggers() == []
    assert Payment.objects.get(order_id=order.pk).state == "received"


def test_context_that_moved_back_moves_again(source: str, target: str, on: On) -> None:
    shop.split(to=target)
    with on(target):
        shop.split(to=source)
    Payment.objects.update(currency="USD")

    shop.split(to=target)

    with on(target):
        assert Payment.objects.filter(currency="USD").count() == 3
        assert shop.move() is None


def test_old_tables_are_emptied_later(source: str, target: str, on: On) -> None:
    shop.split(to=target)

    shop.split(to=target, drop_source=True)

    assert Payment.objects.count() == 0
    with pytest.raises(OperationalError, match="was moved"):
        Payment.objects.all().delete()
    with on(target):
        assert Payment.objects.count() == 3
        shop.split(to=source)
    assert Payment.objects.count() == 3


def test_modes_go_with_the_first_move(source: str, target: str, on: On) -> None:
    shop.go("shipping", "live", 40)

    shop.split(to=target)

    with on(target):
        assert str(switch.settings()["shipping"]) == "live 40 %"
        assert str(switch.settings()["payments"]) == "live 100 %"


def test_command_says_nothing_of_the_password(source: str, target: str, on: On) -> None:
    secret = target.replace("postgres@", "postgres:s%40crüt@")

    said = shop.split(to=secret)

    noted = shop.move()
    assert noted is not None
    assert "crüt" not in said
    assert "postgres:***@" in said
    assert "crüt" not in json.dumps([noted.target, noted.counts])
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = 'microworkflows_fence_payments'")
        assert "crüt" not in cursor.fetchone()[0]
