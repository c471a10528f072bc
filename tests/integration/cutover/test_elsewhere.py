"""Others' tables in a context's own database: whoever reads or writes them is told where they are, and nothing is lost."""

import subprocess
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.db.models import Exists, F, OuterRef

from inventory.models import StockItem
from microworkflows.cutover.models import OwnDatabase
from microworkflows.cutover.splitting import elsewhere, others
from microworkflows.cutover.splitting.databases import address
from microworkflows.cutover.splitting.move import STEPS
from microworkflows.cutover.splitting.steps import MoveStep
from microworkflows.cutover.splitting.underway import Underway
from microworkflows.models import InboxEvent
from orders.models import Order
from payments.models import Payment
from tests.integration.cutover import shop
from tests.integration.cutover.conftest import On
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = pytest.mark.postgres

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.meddling_settings"}


def refused(doing: Callable[[], object]) -> str:
    """Do it, and return the text with which the database refuses."""
    with pytest.raises((DatabaseError, psycopg.Error)) as refusal, transaction.atomic():
        doing()
    return str(refusal.value)


def copy_out() -> None:
    query = "COPY (SELECT * FROM inventory_stockitem) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(query) as giving:
        list(giving)


def copy_in() -> None:
    with connection.cursor() as cursor, cursor.copy("COPY inventory_stockitem (sku) FROM STDIN") as taking:
        taking.write("A-1\n")


def test_reads_and_writes_of_others_tables_are_refused_with_the_place_of_the_rows(
    source: str, target: str, on: On
) -> None:
    where, items = address(connection), StockItem.objects.count()
    shop.split(to=target)
    items_of = StockItem.objects.filter(sku=OuterRef("currency"))
    attempts: dict[str, Callable[[], object]] = {
        "select": lambda: list(StockItem.objects.all()),
        "get": lambda: StockItem.objects.get(pk=1),
        "count": StockItem.objects.count,
        "exists": StockItem.objects.filter(sku="none").exists,
        "aggregate": lambda: Order.objects.values("state").distinct().count(),
        "lock": lambda: list(StockItem.objects.select_for_update(skip_locked=True)),
        "iterator": lambda: list(StockItem.objects.iterator(chunk_size=2)),
        "not exists": lambda: list(Payment.objects.filter(~Exists(items_of))),
        "subquery": lambda: list(Payment.objects.filter(currency__in=StockItem.objects.values("sku"))),
        "join": lambda: shop.execute("SELECT 1 FROM payments_payment p LEFT JOIN orders_order o ON o.id = p.order_id"),
        "copy to": copy_out,
        "update": lambda: StockItem.objects.update(on_hand=F("on_hand") + 1),
        "update of no row": lambda: StockItem.objects.filter(sku="none").update(on_hand=1),
        "delete": lambda: StockItem.objects.all().delete(),
        "delete of no row": lambda: StockItem.objects.filter(sku="none")._raw_delete("default"),
        "insert": lambda: StockItem.objects.create(sku="NEW"),
        "insert or ignore": lambda: StockItem.objects.bulk_create([StockItem(sku="NEW")], ignore_conflicts=True),
        "insert of no row": lambda: shop.execute("INSERT INTO inventory_stockitem (sku) SELECT currency FROM payments_payment WHERE FALSE"),
        "update by payments": lambda: shop.execute("UPDATE inventory_stockitem SET on_hand = 1 FROM payments_payment WHERE FALSE"),
        "copy from": copy_in,
        "with": lambda: shop.execute("WITH gone AS (DELETE FROM orders_order RETURNING 1) SELECT 1"),
    }  # fmt: skip

    with on(target):
        said = {name: refused(attempt) for name, attempt in attempts.items()}
        loud = {
            "truncate": refused(lambda: shop.execute("TRUNCATE inventory_stockitem")),
            "upsert": refused(
                lambda: StockItem.objects.bulk_create(
                    [StockItem(sku="NEW")],
                    update_conflicts=True,
                    unique_fields=["sku"],
                    update_fields=["on_hand"],
                )
            ),
        }
        with pytest.raises(ProgrammingError) as refusal:
            StockItem.objects.count()
        Payment.objects.update(currency="USD")
        User.objects.create_user("somebody")

    for name, text in said.items():
        assert f"rows are in {where}. Nothing was read or written." in text, name
        assert "is not in postgresql://" in text, name
    assert "inventory.StockItem belongs to inventory" in said["update of no row"]
    assert all(loud.values())
    assert getattr(refusal.value.__cause__, "sqlstate", "") == "42MW1"
    assert StockItem.objects.count() == items


@pytest.mark.rabbitmq
@pytest.mark.acceptance
def test_step_that_writes_others_rows_is_parked_with_the_text_and_nothing_is_lost(
    source: str, target: str, on: On, launcher: Launcher
) -> None:
    shop.split(to=target)
    before = list(StockItem.objects.values_list("sku", "on_hand"))
    with transaction.atomic():
        order = shop.place()

    launcher.relay("orders", environment={"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.settings"})
    launcher.worker("payments", environment={**SETTINGS, "DATABASE_URL": target})
    with on(target):
        eventually(lambda: InboxEvent.objects.parked().exists(), what="a parked message", timeout=120)
        (parked,) = InboxEvent.objects.parked()
        paid = Payment.objects.filter(order_id=order.pk).exists()

    assert parked.retry == 1  # at once: no further attempt would end otherwise
    assert "inventory_stockitem is not in" in (parked.error or "")
    assert address(connection) in (parked.error or "")
    assert not paid
    assert list(StockItem.objects.values_list("sku", "on_hand")) == before


@pytest.mark.slow
def test_later_migrations_of_others_are_recorded_and_change_nothing(source: str, target: str, on: On) -> None:
    shop.split(to=target)
    with on(target):
        shop.execute(
            "DELETE FROM django_migrations WHERE app IN ('orders', 'inventory')",
            "DROP VIEW inventory_stockitem",  # as if its model were new
            "DROP VIEW orders_order",
            "CREATE TABLE orders_order (id int)",  # made past Django
            "INSERT INTO orders_order VALUES (1), (2)",
        )

        call_command("migrate", verbosity=0)

        assert "inventory_stockitem is not in" in refused(StockItem.objects.count)
        assert "orders_order is not in" in refused(Order.objects.count)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM microworkflows_set_aside.orders_order")
            assert cursor.fetchone() == (2,)
        call_command("migrate", check_unapplied=True, verbosity=0)
        assert Payment.objects.count() == 3


@pytest.mark.slow
def test_own_database_can_be_dumped_restored_and_flushed(source: str, target: str, on: On) -> None:
    shop.split(to=target)
    dump = subprocess.run(["pg_dump", "--no-owner", target], capture_output=True, text=True, check=True)
    copy = f"{urlsplit(target).path[1:]}_restored"
    shop.execute(f'CREATE DATABASE "{copy}"')
    restored = target.replace(urlsplit(target).path, f"/{copy}")
    try:
        subprocess.run(
            ["psql", "-q", "-v", "ON_ERROR_STOP=1", restored], input=dump.stdout, text=True, check=True
        )
        with on(restored):
            assert Payment.objects.count() == 3
            assert "is not in" in refused(StockItem.objects.count)

            call_command("flush", interactive=False, verbosity=0)

            assert Payment.objects.count() == 0
            assert "is not in" in refused(StockItem.objects.count)
    finally:
        shop.execute(f'DROP DATABASE "{copy}"')


def test_plan_is_said_and_nothing_is_changed(source: str, target: str, on: On) -> None:
    said = shop.split(to=target, check=True)

    assert f"In {target}, " in said
    assert "tables of others will refuse to be read and written" in said
    assert "  inventory: inventory_reservation, inventory_reservationline, inventory_stockitem" in said
    assert "left open, since each database has its own: auth_group" in said
    assert "footprint unknown" in said
    assert shop.move() is None
    with on(target):
        assert connection.introspection.table_names() == []


def test_context_that_moves_back_fences_nothing_off_at_home_even_if_its_mover_is_killed(
    source: str, target: str, on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = StockItem.objects.count()
    shop.split(to=target)
    with on(target):
        with monkeypatch.context() as patch:

            def killed(move: Underway) -> None:
                raise KeyboardInterrupt

            patch.setitem(
                STEPS, MoveStep.TIDY, killed
            )  # the source works again, and the target does not know
            with pytest.raises(CommandError, match="Interrupted"):
                shop.split(to=source)
        shop.split(to=source)
        with pytest.raises(CommandError, match=r"has .* rows in"):
            shop.split(to=source, fence=True)

    assert StockItem.objects.count() == items
    assert not OwnDatabase.objects.exists()
    Payment.objects.update(currency="USD")
    shop.split(to=target)
    with on(target):
        assert "is not in" in refused(StockItem.objects.count)
        assert Payment.objects.filter(currency="USD").count() == 3
        with pytest.raises(CommandError, match=r"was made for payments, and inventory has no tables there"):
            shop.split("inventory", to=source)
    with pytest.raises(CommandError, match="is not empty"):
        shop.split("inventory", to=target)


@pytest.mark.slow
def test_move_stopped_while_it_fences_off_goes_on(
    source: str, target: str, on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = elsewhere._Fence._replace
    left = iter(range(3))

    def stopped(self: elsewhere._Fence, table: elsewhere.Relation, home: set[str]) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        put(self, table, home)

    with monkeypatch.context() as patch:
        patch.setattr(elsewhere._Fence, "_replace", stopped)
        with pytest.raises(CommandError, match="Interrupted"):
            shop.split(to=target)
    shop.split(to=target)

    with on(target):
        for table in others.of_others(["payments"]):
            assert f"{table} is not in" in refused(partial(shop.execute, f'SELECT FROM "{table}"'))


@pytest.mark.slow
def test_move_by_version_0_1_is_fenced_off_later_unless_somebody_has_written_there(
    source: str, target: str, on: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(elsewhere, "mark", lambda *args: None)
        shop.split(to=target)
    with on(target):
        StockItem.objects.create(sku="LOST")

    with pytest.raises(CommandError, match=r"inventory_stockitem has 1 rows in .*take them there"):
        shop.split(to=target, fence=True)

    with on(target):
        StockItem.objects.all().delete()
    shop.split(to=target, fence=True)
    with on(target):
        assert "is not in" in refused(StockItem.objects.count)
    assert StockItem.objects.count() > 0


@pytest.mark.slow
def test_views_and_tables_of_no_model_that_came_by_migrations_are_fenced_off_and_rows_set_aside(
    source: str, target: str, on: On
) -> None:
    with on(target):
        call_command("migrate", verbosity=0)
        shop.execute("CREATE VIEW open_orders AS SELECT id, state FROM orders_order")
        shop.execute("CREATE TABLE nobodys AS SELECT 1 AS a WHERE FALSE")
        shop.execute("CREATE VIEW paid AS SELECT order_id FROM payments_payment")

    shop.split(to=target)

    with on(target):
        assert "belongs to no model" in refused(lambda: shop.execute("SELECT * FROM open_orders"))
        assert "belongs to no model" in refused(lambda: shop.execute("SELECT a FROM nobodys"))
        shop.execute("SELECT order_id FROM paid")


@pytest.mark.slow
def test_apps_that_each_database_has_for_itself_stay_open(
    source: str, target: str, on: On, settings: object
) -> None:
    settings.MICROWORKFLOWS = {"CUTOVER": shop.CONTEXTS, "IN_EVERY_DATABASE": ["inventory.StockItem"]}  # type: ignore[attr-defined]

    shop.split(to=target)

    with on(target):
        assert StockItem.objects.count() == 0
        assert "orders_order is not in" in refused(Order.objects.count)


@pytest.mark.slow
def test_aborted_move_leaves_nothing_fenced_off_in_the_source(source: str, target: str, on: On) -> None:
    shop.stop_before("drain", to=target)

    shop.split(to=target, abort=True)

    assert StockItem.objects.filter(on_hand__gt=0).update(on_hand=5) > 0
    shop.split(to=target)
    with on(target):
        assert "is not in" in refused(StockItem.objects.count)
