"""Events recorded beside direct calls: one that does not fit is missed, by name, and refuses no order."""

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from microworkflows import DomainEvent, Subject
from microworkflows.cutover import record_done
from microworkflows.cutover.models import MissedEvent
from microworkflows.errors import TransactionRequiredError
from microworkflows.models import OutboxEvent
from orders.models import Product
from payments.events import PaymentDeclined, PaymentReceived
from tests.unit.shop.conftest import admin_user  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db

SECRET = "tok_4711"


def received(currency: str = "EUR") -> PaymentReceived:
    return PaymentReceived(order_id=uuid4(), amount="1.00", currency=currency, payment_reference="r")


CALLED_WRONGLY: Any = received


def of_no_product() -> PaymentReceived:
    Product.objects.create(sku="NEW", name="made by the way", price="1.00")
    raise LookupError("no payment")


def by_broken_sql() -> PaymentReceived:
    with connection.cursor() as cursor:
        cursor.execute("SELECT no_such_column")
    raise AssertionError


def test_event_that_fits_is_recorded_by_the_function_that_makes_it(monolith: None) -> None:
    with transaction.atomic():
        meta = record_done(received, correlation_id="a-flow")

    assert meta is not None
    assert OutboxEvent.objects.get().body["cutover"] == "done"
    assert not MissedEvent.objects.exists()


@pytest.mark.parametrize(
    ("make", "name", "error"),
    [
        (lambda: received(currency=SECRET), "PaymentReceived", "ValidationError"),
        (of_no_product, "tests.unit.cutover.test_direct_calls.of_no_product", "LookupError: no payment"),
        (partial(CALLED_WRONGLY, 1, 2), "tests.unit.cutover.test_direct_calls.received", "TypeError"),
        (by_broken_sql, "tests.unit.cutover.test_direct_calls.by_broken_sql", "Error: "),
        (
            PaymentDeclined(order_id=uuid4(), reason="x" * 10_000_000),
            "payments.payment_declined.v1",
            "UnrecordableEventError",
        ),
    ],
)
def test_event_that_does_not_fit_is_missed_by_name_and_the_order_goes_on(
    monolith: None,
    caplog: pytest.LogCaptureFixture,
    make: DomainEvent | Callable[[], DomainEvent],
    name: str,
    error: str,
) -> None:
    with caplog.at_level(logging.ERROR), transaction.atomic():
        Product.objects.create(sku="OLD", name="the order", price="1.00")
        assert record_done(make, about=Subject(kind="order", key=7)) is None

    assert list(Product.objects.values_list("sku", flat=True)) == ["OLD"]
    assert not OutboxEvent.objects.exists()
    missed = MissedEvent.objects.get()
    assert (missed.event, missed.correlation_id) == (name, "order:7")
    assert error in missed.error
    assert SECRET not in missed.error + caplog.text
    assert f"missed {name}" in caplog.text


def test_what_is_missed_and_cannot_be_kept_either_is_logged(
    monolith: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**fields: object) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(MissedEvent.objects, "create", full)

    with transaction.atomic():
        record_done(of_no_product)
        Product.objects.create(sku="OLD", name="the order", price="1.00")

    assert "could not keep that either: DatabaseError: disk full" in caplog.text
    assert Product.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_mistake_of_the_caller_is_still_raised(monolith: None) -> None:
    with pytest.raises(TransactionRequiredError):
        record_done(received)


def test_page_command_and_list_count_what_was_missed(
    monolith: None, admin_client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    for make in (of_no_product, of_no_product, lambda: received("x")):
        with transaction.atomic():
            record_done(make)
    with transaction.atomic():
        Product.objects.all().delete()

    page = admin_client.get(reverse("admin:microworkflows_cutover_contextmode_changelist")).content.decode()
    rows = admin_client.get(reverse("admin:microworkflows_cutover_missedevent_changelist")).context["cl"]
    call_command("cutover")

    assert "2 × <code>tests.unit.cutover.test_direct_calls.of_no_product</code>" in page
    assert "1 × <code>PaymentReceived</code>" in page
    assert "LookupError: no payment" in page
    assert len(rows.queryset) == 3
    assert "1 × PaymentReceived could not be recorded beside the direct calls" in capsys.readouterr().out


def test_old_notes_are_purged(monolith: None, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction.atomic():
        record_done(of_no_product)
    MissedEvent.objects.update(missed_at=timezone.now() - timedelta(days=40))

    call_command("purge_events")

    assert not MissedEvent.objects.exists()
    assert "Deleted 1 notes of missed events." in capsys.readouterr().out
