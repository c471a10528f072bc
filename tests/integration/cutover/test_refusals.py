"""What stands in the way of a move is said before anything happens, all of it at once."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection, connections, models
from django.utils import timezone
from pytest_django import Settings

from microworkflows import heartbeats
from microworkflows.cloudevents import MARK
from microworkflows.cutover.splitting import databases
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders.models import Order
from payments.models import Payment
from tests.integration.cutover import shop
from tests.integration.cutover.conftest import On

pytestmark = pytest.mark.postgres


@contextmanager
def refused(reason: str) -> Iterator[pytest.ExceptionInfo[CommandError]]:
    """Expect this reason, and that nothing was begun."""
    with pytest.raises(CommandError, match=reason) as refusal:
        yield refusal
    assert shop.move() is None
    assert shop.triggers() == []


@pytest.fixture
def declare() -> Iterator[Callable[..., type[models.Model]]]:
    """Yield what declares a model for the time of the test."""
    before = {app: dict(models) for app, models in apps.all_models.items()}

    def make(name: str, app: str, **fields: Any) -> type[models.Model]:
        meta = type("Meta", (), {"app_label": app, **fields.pop("meta", {})})
        return type(name, (models.Model,), {"__module__": f"{app}.models", "Meta": meta, **fields})

    yield make
    for app, known in apps.all_models.items():
        for name in set(known) - set(before[app]):
            del known[name]
    apps.clear_cache()


# The context


def test_unknown_context(source: str, target: str) -> None:
    with refused(
        r"No such context: peyments\. Do you mean 'payments'\? Known are: inventory, orders, payments, shipping"
    ):
        shop.split("peyments", to=target)


@pytest.mark.parametrize("mode", [("inline", None), ("shadow", None), ("live", 99)])
def test_context_that_is_not_live_for_all_flows(
    source: str, target: str, mode: tuple[str, int | None]
) -> None:
    shop.go("payments", *mode)

    with refused(f"payments is {mode[0]}.*the monolith still does some of its steps"):
        shop.split(to=target)


def test_transaction_that_may_still_begin_a_flow_of_before(source: str, target: str) -> None:
    with psycopg.connect(source) as other:
        other.execute("SELECT 1")
        shop.go("payments", "live", 100)

        with refused("before payments went live are still open"):
            shop.split(to=target)


def test_flow_that_may_still_come_to_the_context_inline(source: str, target: str) -> None:
    shop.go("payments", "inline")
    shop.place()
    shop.go("payments", "live", 100)

    with refused("1 flows began when payments was not live for them"):
        shop.split(to=target)

    Flow().run()
    shop.split(to=target)


def test_parked_step_of_the_monolith(source: str, target: str) -> None:
    shop.go("payments", "shadow")
    shop.place()
    Flow().run()
    InboxEvent.objects.filter(msg_id__startswith="shipping.schedule_shipment:").update(status=-1)
    shop.go("payments", "live", 100)

    with refused("1 flows began when payments was not live"):
        shop.split(to=target)


def test_parked_step_of_the_monolith_whose_event_was_purged(source: str, target: str) -> None:
    shop.go("payments", "inline")
    shop.place()
    Flow().run()
    shop.go("payments", "live", 100)
    parked = InboxEvent.objects.filter(msg_id__startswith="payments.take_payment:", headers__mode="inline")
    parked.update(status=InboxEvent.Status.PARKED)
    OutboxEvent.objects.of_type("orders.order_accepted.v1").delete()  # as purges of earlier versions did

    with refused("(?s)1 flows began when payments was not live.*1 messages of payments wait or are parked"):
        shop.split(to=target)

    parked.update(status=InboxEvent.Status.HANDLED)
    shop.split(to=target)


def test_parked_step_of_the_monolith_when_the_context_has_moved_and_moved_back_before(
    source: str, target: str, on: On
) -> None:
    shop.split(to=target)
    with on(target):
        shop.split(to=source)
    row = InboxEvent.objects.of_context("payments").latest("added")
    row.body |= {MARK: "payments=inline"}
    row.status = InboxEvent.Status.PARKED
    row.save()

    with pytest.raises(CommandError, match="1 messages of payments wait or are parked"):
        shop.split(to=target)


def test_context_may_move_back_to_have_the_monolith_do_its_steps(
    source: str, target: str, on: On, settings: Settings
) -> None:
    shop.split(to=target)
    settings.MICROWORKFLOWS = {}
    with on(target):
        row = InboxEvent.objects.of_context("payments").latest("added")
        row.body |= {MARK: "payments=inline"}
        row.status = InboxEvent.Status.PARKED
        row.save()

        shop.split(to=source)

    assert InboxEvent.objects.parked().get().msg_id == row.msg_id


def test_foreign_keys_of_models_in_both_directions(
    source: str, target: str, declare: Callable[..., type[models.Model]]
) -> None:
    order = models.ForeignKey(Order, models.CASCADE, related_name="+", db_constraint=False)
    declare("Receipt", "payments", order=order)
    declare(
        "Claim", "orders", payments=models.ManyToManyField(Payment, related_name="+", db_constraint=False)
    )

    with refused(
        "(?s)orders.Claim_payments.payment is a foreign key to payments.Payment.*Receipt.order is a"
    ):
        shop.split(to=target)


def test_generic_foreign_key(source: str, target: str, declare: Callable[..., type[models.Model]]) -> None:
    declare(
        "Note",
        "payments",
        content_type=models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+"),
        object_id=models.TextField(),
        subject=GenericForeignKey(),
    )

    with refused(
        r"(?s)foreign key to contenttypes.ContentType.*payments.Note.subject is a GenericForeignKey"
    ):
        shop.split(to=target)


def test_model_whose_table_no_migration_makes(
    source: str, target: str, declare: Callable[..., type[models.Model]]
) -> None:
    declare("Old", "payments", meta={"managed": False, "db_table": "old_payments"})
    declare("Seen", "payments", meta={"managed": False, "db_table": "seen_payments"})
    shop.execute(
        "CREATE TABLE old_payments (id int)", "CREATE VIEW seen_payments AS SELECT * FROM old_payments"
    )

    with refused("no migration makes their tables: old_payments\\."):
        shop.split(to=target)


@pytest.mark.parametrize(
    ("referring", "referred"), [("payments_payment", "orders_order"), ("orders_order", "payments_payment")]
)
def test_foreign_key_of_the_database(source: str, target: str, referring: str, referred: str) -> None:
    shop.execute(f"ALTER TABLE {referring} ADD x uuid CONSTRAINT across REFERENCES {referred} (id)")

    with refused(f"has the foreign key across from {referring} to {referred}"):
        shop.split(to=target)


def test_all_reasons_are_told_at_once(source: str, target: str) -> None:
    shop.go("payments", "inline")
    shop.execute("ALTER TABLE payments_payment ADD x uuid CONSTRAINT across REFERENCES orders_order (id)")

    with refused("(?s)payments is inline.*foreign key across"):
        shop.split(to=target)


def test_migrations_that_are_not_applied(source: str, target: str) -> None:
    shop.execute("DELETE FROM django_migrations WHERE app = 'shipping'")

    with refused("Migrations are not applied in .*: shipping.0001_initial"):
        shop.split(to=target)


def test_mode_that_is_changed_while_the_target_is_prepared(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate = databases.migrate

    def migrate_meanwhile(*args: Any, **kwargs: Any) -> None:
        migrate(*args, **kwargs)
        shop.go("payments", "inline")

    monkeypatch.setattr(databases, "migrate", migrate_meanwhile)

    with pytest.raises(CommandError, match="payments is inline"):
        shop.split(to=target)

    shop.place()  # and payments is charged inline: the gate is open


# The databases


def test_source_that_is_no_postgresql(source: str, target: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(connections["default"]), "vendor", "sqlite")
        with pytest.raises(CommandError, match="moves contexts between PostgreSQL databases; this is sqlite"):
            shop.split(to=target)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///payments",
        "payments",
        "postgresql://user:geheim@host",
        "postgresql://user:ge%heim@host/payments",
        "postgresql://user:geheim@host/payments?sslmöde=1",
    ],
)
def test_target_that_is_no_postgresql(source: str, url: str) -> None:
    with refused("--to is not the URL of a PostgreSQL database") as refusal:
        shop.split(to=url)
    assert "heim" not in str(refusal.value)


def test_target_out_of_reach(source: str) -> None:
    with refused("postgresql://me@127.0.0.1:1/payments cannot be reached.*refused"):
        shop.split(to="postgresql://me:secret@127.0.0.1:1/payments")


def test_target_that_is_the_source_by_another_name(source: str) -> None:
    with refused("is the database that payments is in"):
        shop.split(to=source.replace("127.0.0.1", "localhost"))


def test_target_with_rows(source: str, target: str) -> None:
    with psycopg.connect(target) as other:
        other.execute("CREATE TABLE precious AS SELECT 1")

    with refused("is not empty: there are rows in precious"):
        shop.split(to=target)


def test_target_in_which_a_worker_was_tried_out_is_new_all_the_same(source: str, target: str, on: On) -> None:
    with on(target):
        call_command("migrate", verbosity=0)
        process = heartbeats.Process(worker="payments@here", host="here", pid=1, started_at=timezone.now())
        heartbeats.note(process, depths={"payments": 0}, handling=0)

    shop.split(to=target)


def test_target_in_which_somebody_worked_meanwhile(source: str, target: str, on: On) -> None:
    shop.stop_before("prepare", to=target)
    with on(target):
        call_command("migrate", verbosity=0)
        with psycopg.connect(source) as old, psycopg.connect(target) as new:
            with old.cursor().copy("COPY (SELECT * FROM received LIMIT 1) TO STDOUT") as sent:
                text = b"".join(sent)
            with new.cursor().copy("COPY received FROM STDIN") as taken:
                taken.write(text.replace(b"orders.", b"payments."))
        shop.execute("UPDATE received SET msg_id = 'payments.take_payment:' || id")

    with pytest.raises(CommandError, match=r"(?s)payments has worked in .* already.*--abort"):
        shop.split(to=target)


def test_target_with_other_columns(source: str, target: str, on: On) -> None:
    with on(target):
        call_command("migrate", verbosity=0)
        shop.execute("ALTER TABLE payments_payment ADD surplus int")

    with pytest.raises(CommandError, match="payments_payment: other columns in"):
        shop.split(to=target)


def test_target_in_which_somebody_changes_what_has_arrived(source: str, target: str, on: On) -> None:
    shop.stop_before("catch_up", to=target)
    with on(target):  # past the fence and the triggers
        shop.execute(
            "SET session_replication_role = replica",
            "UPDATE payments_payment SET amount = amount + 1",
            "RESET session_replication_role",
        )

    with pytest.raises(
        CommandError,
        match=r"(?s)The rows that arrived in payments_payment are not those that were sent.*--abort",
    ):
        shop.split(to=target)

    shop.split(to=target, abort=True)
    with on(target):
        assert Payment.objects.count() == 0
    Payment.objects.update(currency="USD")


def test_database_that_the_context_does_not_work_in(source: str, target: str, on: On) -> None:
    shop.stop_before("drain", to=target)

    with on(target), pytest.raises(CommandError, match="is not the database in which payments works"):
        shop.split(to=source)


# A move that is under way, or done


def test_other_target_while_a_move_is_under_way(source: str, target: str) -> None:
    shop.stop_before("drain", to=target)

    with pytest.raises(CommandError, match=f"payments is being moved to {target}, not to .*elsewhere"):
        shop.split(to=f"{target}_elsewhere")
    with pytest.raises(CommandError, match=f"payments is being moved to {target}, not to .*elsewhere"):
        shop.split(to=f"{target}_elsewhere", abort=True)


def test_second_mover(source: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microworkflows.cutover.splitting.databases._PREDECESSOR_SECONDS", 0.1)
    other = connection.copy()
    with closing(other), databases.only_mover(other, "payments"), refused("Another split_database is moving"):
        shop.split(to=target)


def test_move_that_is_done(source: str, target: str) -> None:
    shop.split(to=target)

    assert "there is nothing left to do" in shop.split(to=target)
    with pytest.raises(CommandError, match=r"payments works in .* already, so there is nothing to abort"):
        shop.split(to=target, abort=True)


def test_nothing_to_abort_or_to_drop(source: str, target: str) -> None:
    with refused("No move of payments is under way"):
        shop.split(to=target, abort=True)
    with refused("payments has not moved"):
        shop.split(to=target, drop_source=True)


def test_table_that_is_in_use_for_too_long(source: str, target: str) -> None:
    with psycopg.connect(source) as other:
        other.execute("UPDATE payments_payment SET currency = 'GBP' WHERE state = 'received'")

        with pytest.raises(CommandError) as refusal:
            shop.split(to=target, patience=1)

        assert "Others have used payments_payment without a pause" in str(refusal.value)
        assert f"pid {other.info.backend_pid} (in a transaction for" in str(refusal.value)
        assert (
            Payment.objects.filter(state="declined").update(state="declined") == 1
        )  # the gate is open again
        InboxEvent.objects.update(retry=1)

    shop.split(to=target)
