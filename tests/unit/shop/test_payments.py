"""Payments: the sandbox gateway, taking a payment once, and giving it back once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.checks import run_checks
from django.db import IntegrityError, transaction
from pytest_django import Settings

from microworkflows import ids
from microworkflows.testing import delivered
from payments import gateway, operations, workflows
from payments.events import (
    OrderAccepted,
    OutOfStock,
    PaymentDeclined,
    PaymentOverdue,
    PaymentReceived,
    PaymentRefunded,
)
from payments.models import Payment
from payments.sandbox import SandboxGateway
from tests.unit.shop import gateways

TOTAL: dict[str, Any] = {"amount": Decimal("12.30"), "currency": "EUR"}


@pytest.fixture
def ledger(settings: Settings) -> Iterator[type[gateways.Ledger]]:
    """Pay through a gateway that keeps what it is asked."""
    settings.PAYMENT_GATEWAY = "tests.unit.shop.gateways.Ledger"
    yield gateways.Ledger
    for asked in (gateways.Ledger.charges, gateways.Ledger.voids, gateways.Ledger.refunds):
        asked.clear()


def accepted(*, order_id: UUID | None = None, token: str = "tok_visa") -> OrderAccepted:
    return delivered(
        OrderAccepted(
            order_id=order_id or uuid4(), total=Decimal("12.30"), currency="EUR", payment_token=token
        )
    )


def out_of_stock(order_id: UUID) -> OutOfStock:
    return delivered(OutOfStock(order_id=order_id))


# The sandbox.


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_declined", "card declined"),
        ("tok_insufficient_funds", "insufficient funds"),
        ("tok_of_another_shop", "unknown payment token"),
    ],
)
def test_sandbox_declines_what_its_documentation_says(token: str, reason: str) -> None:
    answer = SandboxGateway().charge(idempotency_key=ids.uuid7(), **TOTAL, token=token)

    assert answer == gateway.Declined(reason=reason)


def test_same_idempotency_key_gets_the_same_reference() -> None:
    key, other = ids.uuid7(), ids.uuid7()

    answers = [
        SandboxGateway().charge(idempotency_key=asked, **TOTAL, token="tok_visa")
        for asked in (key, key, other)
    ]

    assert answers[0] == answers[1] != answers[2]


def test_refund_has_a_reference_of_its_own() -> None:
    key = ids.uuid7()
    sandbox = SandboxGateway()

    charge = sandbox.charge(idempotency_key=key, **TOTAL, token="tok_visa")
    refunds = [sandbox.refund(idempotency_key=key, reference="sandbox_pay_1", **TOTAL) for _ in range(2)]

    assert refunds[0] == refunds[1] != charge


@pytest.mark.parametrize(("age", "answers"), [(0.0, False), (2.9, False), (3.0, True), (60.0, True)])
def test_slow_bank_answers_after_three_seconds(age: float, answers: bool) -> None:
    key = ids.uuid7()
    sandbox = SandboxGateway(clock=lambda: ids.timestamp(key) + timedelta(seconds=age))

    if answers:
        assert isinstance(
            sandbox.charge(idempotency_key=key, **TOTAL, token="tok_slow_bank"), gateway.Approved
        )
    else:
        with pytest.raises(gateway.GatewayUnavailableError, match="Ask again with the same idempotency key"):
            sandbox.charge(idempotency_key=key, **TOTAL, token="tok_slow_bank")


def test_slow_bank_needs_a_key_that_tells_the_time() -> None:
    with pytest.raises(ValueError, match="not a UUIDv7"):
        SandboxGateway().charge(idempotency_key=uuid4(), **TOTAL, token="tok_slow_bank")


# The setting.


def test_sandbox_is_the_default_gateway(settings: Settings) -> None:
    del settings.PAYMENT_GATEWAY

    assert type(gateway.configured()) is SandboxGateway


def test_setting_chooses_the_gateway(settings: Settings) -> None:
    settings.PAYMENT_GATEWAY = "tests.unit.shop.gateways.TenSecondsLater"

    assert type(gateway.configured()) is gateways.TenSecondsLater
    assert run_checks(tags=["payments"]) == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("no.such.Gateway", "cannot be imported"),
        ("payments.models.Payment", "has no charge and no void and no refund"),
        (None, "cannot be imported"),
    ],
)
def test_check_finds_a_gateway_that_is_none(settings: Settings, path: str | None, problem: str) -> None:
    settings.PAYMENT_GATEWAY = path

    [error] = run_checks(tags=["payments"])

    assert error.id == "payments.E001"
    assert problem in error.msg


@pytest.mark.parametrize("window", [timedelta(), timedelta(minutes=-1), 900])
def test_check_finds_a_time_to_pay_that_is_none(settings: Settings, window: object) -> None:
    settings.PAY_WITHIN = window

    [error] = run_checks(tags=["payments"])

    assert error.id == "payments.E002"
    assert repr(window) in error.msg


# Taking a payment.


def test_accepted_order_is_paid(db: None) -> None:
    event = accepted()

    emitted = workflows.take_payment(event)

    payment = Payment.objects.get()
    assert payment.state == Payment.State.RECEIVED
    assert payment.idempotency_key == event.meta.id
    assert emitted == PaymentReceived(order_id=event.order_id, **TOTAL, payment_reference=payment.reference)


@pytest.mark.parametrize(
    ("token", "reason"), [("tok_declined", "card declined"), ("tok_insufficient_funds", "insufficient funds")]
)
def test_declined_payment_is_kept_and_announced(db: None, token: str, reason: str) -> None:
    event = accepted(token=token)

    emitted = workflows.take_payment(event)

    payment = Payment.objects.get()
    assert (payment.state, payment.decline_reason, payment.reference) == ("declined", reason, "")
    assert emitted == PaymentDeclined(order_id=event.order_id, reason=reason)


@pytest.mark.parametrize("token", ["tok_visa", "tok_declined"])
def test_order_is_charged_once(db: None, ledger: type[gateways.Ledger], token: str) -> None:
    event = accepted(token=token)
    workflows.take_payment(event)

    again = [workflows.take_payment(event), workflows.take_payment(accepted(order_id=event.order_id))]

    assert again == [None, None]
    assert ledger.charges == [event.meta.id]
    assert Payment.objects.count() == 1


def test_slow_bank_leaves_nothing_behind_and_approves_a_later_try(db: None, settings: Settings) -> None:
    event = accepted(token="tok_slow_bank")
    with pytest.raises(gateway.GatewayUnavailableError), transaction.atomic():
        workflows.take_payment(event)
    assert not Payment.objects.exists()

    settings.PAYMENT_GATEWAY = "tests.unit.shop.gateways.TenSecondsLater"
    emitted = workflows.take_payment(event)

    assert isinstance(emitted, PaymentReceived)
    assert Payment.objects.get().idempotency_key == event.meta.id


# Giving it up.


def overdue(event: OrderAccepted) -> PaymentOverdue:
    (later,) = workflows.await_payment([event])
    assert later.when == timedelta(minutes=15)
    assert isinstance(later.event, PaymentOverdue)
    return delivered(later.event)


def test_payment_that_takes_too_long_is_declined_and_voided(db: None, ledger: type[gateways.Ledger]) -> None:
    event = accepted()

    emitted = workflows.give_up_payment(overdue(event))

    assert isinstance(emitted, PaymentDeclined)
    assert emitted.order_id == event.order_id
    payment = Payment.objects.get()
    assert (payment.state, payment.decline_reason) == ("declined", emitted.reason)
    assert ledger.voids == [event.meta.id]


def test_payment_that_was_given_up_is_not_taken_any_more(db: None, ledger: type[gateways.Ledger]) -> None:
    event = accepted()
    workflows.give_up_payment(overdue(event))

    assert workflows.take_payment(event) is None
    assert ledger.charges == []


@pytest.mark.parametrize("token", ["tok_visa", "tok_declined"])
def test_payment_with_an_answer_is_not_given_up(db: None, ledger: type[gateways.Ledger], token: str) -> None:
    event = accepted(token=token)
    workflows.take_payment(event)
    before = Payment.objects.values().get()

    assert workflows.give_up_payment(overdue(event)) is None
    assert Payment.objects.values().get() == before
    assert ledger.voids == []


def test_payment_is_not_given_up_before_the_gateway_knows(db: None, settings: Settings) -> None:
    settings.PAYMENT_GATEWAY = "tests.unit.shop.gateways.Away"

    with pytest.raises(gateway.GatewayAwayError), transaction.atomic():
        workflows.give_up_payment(overdue(accepted()))

    assert not Payment.objects.exists()


# Giving it back.


def test_payment_of_an_unfillable_order_is_refunded(db: None) -> None:
    event = accepted()
    workflows.take_payment(event)

    emitted = workflows.refund_payment(out_of_stock(event.order_id))

    payment = Payment.objects.get()
    assert payment.state == Payment.State.REFUNDED
    assert payment.refunded_at is not None
    assert emitted == PaymentRefunded(
        order_id=event.order_id, **TOTAL, refund_reference=payment.refund_reference
    )


def test_payment_is_refunded_once(db: None, ledger: type[gateways.Ledger]) -> None:
    event = accepted()
    workflows.take_payment(event)
    shortage = out_of_stock(event.order_id)
    workflows.refund_payment(shortage)

    again = [workflows.refund_payment(shortage), workflows.refund_payment(out_of_stock(event.order_id))]

    assert again == [None, None]
    assert ledger.refunds == [shortage.meta.id]


def test_repeated_order_does_not_charge_again_after_the_refund(
    db: None, ledger: type[gateways.Ledger]
) -> None:
    event = accepted()
    workflows.take_payment(event)
    workflows.refund_payment(out_of_stock(event.order_id))

    workflows.take_payment(event)

    assert len(ledger.charges) == 1
    assert Payment.objects.get().state == Payment.State.REFUNDED


def test_declined_payment_has_nothing_to_refund(db: None, ledger: type[gateways.Ledger]) -> None:
    event = accepted(token="tok_declined")
    workflows.take_payment(event)

    emitted = workflows.refund_payment(out_of_stock(event.order_id))

    assert emitted is None
    assert ledger.refunds == []


def test_refund_without_a_payment_is_an_error_that_may_be_retried(db: None) -> None:
    with pytest.raises(operations.PaymentNotFoundError, match="has no payment to refund"):
        workflows.refund_payment(out_of_stock(uuid4()))


# What the database holds.


@pytest.mark.parametrize(
    "values",
    [
        {"amount": Decimal("0.00")},
        {"state": "declined"},
        {"state": "refunded"},
        {"reference": ""},
        {"refund_reference": "sandbox_refund_1"},
        {"decline_reason": "card declined"},
    ],
)
def test_database_refuses_a_payment_without_its_evidence(db: None, values: dict[str, Any]) -> None:
    workflows.take_payment(accepted())

    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.update(**values)


def test_database_refuses_a_second_payment_of_an_order(db: None) -> None:
    event = accepted()
    workflows.take_payment(event)

    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.create(
            order_id=event.order_id,
            idempotency_key=uuid4(),
            **TOTAL,
            taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
