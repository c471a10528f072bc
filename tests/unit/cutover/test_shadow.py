"""Shadow: the new is compared with the old, leaves nothing behind, and cannot harm it."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import IntegrityError, transaction

from inventory.workflows import note_order
from microworkflows.cutover import comparing, legacy_steps
from microworkflows.cutover.models import ShadowComparison
from microworkflows.cutover.shadow import in_shadow, refuse_in_shadow
from microworkflows.models import OutboxEvent
from microworkflows.testing import Flow
from microworkflows.worker.tasks import receive
from orders import operations
from payments import operations as payments
from payments.events import OrderAccepted, PaymentDeclined, PaymentReceived
from payments.models import Payment
from payments.workflows import take_payment
from tests.unit.cutover.conftest import Switch
from tests.unit.shop.conftest import Draft
from tests.unit.shop.test_ways import ending

NOISE = ["payments.Payment.taken_at"]


@pytest.fixture
def shadow(go: Switch) -> Callable[..., None]:
    """Return a function that registers payments' legacy step, here a copy of the new, and puts payments in shadow."""

    def begin(legacy: Callable[[Any], Any] | None = None, **options: Any) -> None:
        options = {"observe": _payments, "noise": NOISE, **options}
        legacy_steps.legacy(take_payment, **options)(legacy or take_payment.function)
        go("payments", "shadow")

    return begin


def _payments(event: OrderAccepted) -> list[Any]:
    return [Payment.objects.filter(order_id=event.order_id)]


def _charged(event: OrderAccepted, **changed: Any) -> Any:
    """What the new microworkflow does, with something changed."""
    given: dict[str, Any] = {
        "amount": event.total,
        "currency": event.currency,
        "token": event.payment_token,
    } | changed
    return payments.take_payment(
        order_id=event.order_id, idempotency_key=event.meta.id, at=event.meta.time, **given
    )


def _connect() -> None:
    with socket.socket() as connection:
        connection.connect(("127.0.0.1", 9))


def _differences() -> list[dict[str, Any]]:
    differences: list[dict[str, Any]] = ShadowComparison.objects.get().differences
    return differences


def test_two_that_do_the_same_agree(shadow: Callable[..., None], draft: Draft) -> None:
    shadow()

    order = operations.place_order(order=draft())

    comparison = ShadowComparison.objects.get()
    assert (comparison.outcome, comparison.differences) == ("agreed", [])
    assert (comparison.workflow, comparison.correlation_id) == ("payments.take_payment", str(order.pk))
    assert comparison.legacy_microseconds > 0
    assert comparison.shadow_microseconds > 0


def test_shadow_run_leaves_nothing_behind(shadow: Callable[..., None], draft: Draft, flow: Flow) -> None:
    shadow()

    order = operations.place_order(order=draft())
    flow.run()

    assert ending(order) == "shipped"
    assert Payment.objects.count() == 1
    assert OutboxEvent.objects.filter(destination=PaymentReceived.event_type).count() == 1


def test_other_values_are_named_side_by_side(shadow: Callable[..., None], draft: Draft) -> None:
    shadow(lambda event: _charged(event, currency="USD"))

    operations.place_order(order=draft())

    assert ShadowComparison.objects.get().outcome == "differs"
    assert _differences() == [
        {"what": "event payments.payment_received.v1: currency", "legacy": "USD", "shadow": "EUR"},
        {"what": "row payments.Payment created: currency", "legacy": "USD", "shadow": "EUR"},
    ]


def test_another_event_is_a_difference(shadow: Callable[..., None], draft: Draft) -> None:
    shadow(lambda event: _charged(event, token="tok_declined"))

    operations.place_order(order=draft())

    whats = [difference["what"] for difference in _differences()]
    assert "event payments.payment_declined.v1" in whats
    assert "event payments.payment_received.v1" in whats
    assert "row payments.Payment created: state" in whats


def test_noise_is_no_difference(shadow: Callable[..., None], draft: Draft) -> None:
    shadow(
        lambda event: _charged(event, currency="USD"),
        noise=[*NOISE, "payments.Payment.currency", "payments.payment_received.v1.currency"],
    )

    operations.place_order(order=draft())

    assert ShadowComparison.objects.get().outcome == "agreed"


def test_table_that_nobody_looks_at_is_a_difference(shadow: Callable[..., None], draft: Draft) -> None:
    shadow(observe=lambda event: [])

    operations.place_order(order=draft())

    assert _differences() == [
        {"what": "table payments_payment is written and not observed", "legacy": True, "shadow": True}
    ]


def _without_a_payment(event: OrderAccepted) -> PaymentReceived:
    """What a monolith does that keeps no payments."""
    return PaymentReceived(
        order_id=event.order_id, amount=event.total, currency=event.currency, payment_reference="none"
    )


@pytest.mark.parametrize("looks", [_payments, lambda event: []])
def test_table_that_only_the_new_writes_is_no_difference_once_it_is_declared(
    shadow: Callable[..., None], draft: Draft, looks: Callable[[Any], list[Any]]
) -> None:
    reference = "payments.payment_received.v1.payment_reference"
    shadow(_without_a_payment, observe=looks, noise=[*NOISE, reference], new_tables=[Payment])

    operations.place_order(order=draft())

    assert (ShadowComparison.objects.get().outcome, _differences()) == ("agreed", [])


@pytest.mark.parametrize(
    ("looks", "what"),
    [
        (_payments, "row payments.Payment created: currency"),
        (lambda event: [], "table payments_payment is written and not observed"),
    ],
)
def test_declared_table_that_the_old_writes_too_is_a_difference(
    shadow: Callable[..., None], draft: Draft, looks: Callable[[Any], list[Any]], what: str
) -> None:
    received = "payments.payment_received.v1.currency"
    shadow(
        lambda event: _charged(event, currency="USD"),
        observe=looks,
        noise=[*NOISE, received],
        new_tables=[Payment],
    )

    operations.place_order(order=draft())

    assert what in [difference["what"] for difference in _differences()]


@pytest.mark.parametrize("looks", [_payments, lambda event: []])
@pytest.mark.parametrize("legacy", [_without_a_payment, _charged])
def test_whole_rows_may_be_noise(
    shadow: Callable[..., None],
    draft: Draft,
    looks: Callable[[Any], list[Any]],
    legacy: Callable[[Any], Any],
) -> None:
    shadow(
        legacy, observe=looks, noise=["payments.Payment", "payments.payment_received.v1.payment_reference"]
    )

    operations.place_order(order=draft())

    assert (ShadowComparison.objects.get().outcome, _differences()) == ("agreed", [])


def test_failure_of_the_new_does_not_touch_the_old(
    shadow: Callable[..., None], draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow(_charged)
    monkeypatch.setattr(take_payment, "function", _break_the_transaction)

    order = operations.place_order(order=draft())

    assert ending(order) == "shipped"
    comparison = ShadowComparison.objects.get()
    assert comparison.outcome == "failed"
    assert comparison.differences[0]["legacy"] is None
    assert comparison.differences[0]["shadow"].startswith("TransactionManagementError: ")


def test_look_that_fails_does_not_touch_the_old(shadow: Callable[..., None], draft: Draft) -> None:
    shadow(observe=lambda event: [Payment.objects.filter(order_id="no uuid")])

    order = operations.place_order(order=draft())

    assert ending(order) == "shipped"
    assert ShadowComparison.objects.get().outcome == "failed"


def test_what_the_old_raises_is_raised(shadow: Callable[..., None], draft: Draft) -> None:
    def fail(event: OrderAccepted) -> None:
        raise ValueError("the till is closed")

    shadow(fail)

    with pytest.raises(ValueError, match="the till is closed"), transaction.atomic():
        operations.place_order(order=draft())

    assert not ShadowComparison.objects.exists()


@pytest.mark.parametrize(
    ("reach_out", "refused"),
    [
        (lambda: refuse_in_shadow("payment gateway: charge"), "payment gateway: charge"),
        (_connect, "socket.connect: (('127.0.0.1', 9),)"),
        (lambda: subprocess.run(["true"], check=True), "subprocess.Popen"),
    ],
)
def test_side_effect_is_refused_even_where_the_error_is_swallowed(
    shadow: Callable[..., None],
    draft: Draft,
    monkeypatch: pytest.MonkeyPatch,
    reach_out: Callable[[], object],
    refused: str,
) -> None:
    def swallow(event: OrderAccepted) -> PaymentDeclined:
        try:
            reach_out()
        except Exception:
            assert in_shadow()
        return PaymentDeclined(order_id=event.order_id, reason="no answer")

    shadow(_charged)
    monkeypatch.setattr(take_payment, "function", swallow)

    order = operations.place_order(order=draft())

    assert ending(order) == "shipped"
    comparison = ShadowComparison.objects.get()
    assert comparison.outcome == "refused"
    assert comparison.differences[0]["what"] == "side effect"
    assert comparison.differences[0]["shadow"].startswith(refused)


def test_outside_of_a_shadow_run_nothing_is_refused(monolith: None) -> None:
    refuse_in_shadow("payment gateway: charge")

    assert not in_shadow()


def test_reference_to_a_row_of_the_same_run_is_no_difference(go: Switch, draft: Draft) -> None:
    from inventory.models import Reservation, ReservationLine

    def observe(event: Any) -> list[Any]:
        return [
            Reservation.objects.filter(order_id=event.order_id),
            ReservationLine.objects.filter(reservation__order_id=event.order_id),
        ]

    legacy_steps.legacy(note_order, observe=observe)(note_order.handle)
    go("inventory", "shadow")

    operations.place_order(order=draft())

    assert [(one.workflow, one.outcome, one.differences) for one in ShadowComparison.objects.all()] == [
        ("inventory.note_order", "agreed", [])
    ]


def _break_the_transaction(event: OrderAccepted) -> None:
    _charged(event)
    with contextlib.suppress(IntegrityError):
        Payment.objects.update(amount=0)
    Payment.objects.count()


def test_shadow_run_has_a_reading_of_its_own(
    shadow: Callable[..., None], go: Switch, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def new(events: Any) -> None:
        events[0].lines.clear()

    def old(event: Any) -> Any:
        seen.append(len(event.lines))
        return plain([event])[0]

    plain = note_order.function
    legacy_steps.legacy(note_order)(old)
    monkeypatch.setattr(note_order, "function", new)
    go("inventory", "shadow")

    operations.place_order(order=draft())

    assert seen == [2]


@pytest.mark.parametrize("value", [b"\x00\xff", float("nan"), "a\x00b", "\udcff", object()])
def test_whatever_a_row_holds_can_be_compared(
    shadow: Callable[..., None], draft: Draft, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    shadow(lambda event: _charged(event, currency="USD"))
    monkeypatch.setattr(comparing, "_fields", lambda model, row, new: {"reference": value, **row})

    order = operations.place_order(order=draft())

    assert ending(order) == "shipped"
    assert ShadowComparison.objects.get().outcome == "differs"


def test_comparison_that_cannot_be_kept_does_not_touch_the_old(
    shadow: Callable[..., None], draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow()
    monkeypatch.setattr(comparing, "differences", lambda *_, **__: [{"what": float("nan")}])

    order = operations.place_order(order=draft())

    assert ending(order) == "shipped"
    assert ShadowComparison.objects.get().differences[0]["what"] == "comparing"


@pytest.mark.parametrize(
    "reach_out",
    [
        lambda: receive.delay({}, queue="payments"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
    ],
    ids=["task", "process"],
)
def test_what_would_escape_the_shadow_run_is_refused(
    shadow: Callable[..., None],
    draft: Draft,
    monkeypatch: pytest.MonkeyPatch,
    reach_out: Callable[[], object],
) -> None:
    def escape(event: OrderAccepted) -> None:
        reach_out()

    shadow(_charged)
    monkeypatch.setattr(take_payment, "function", escape)

    operations.place_order(order=draft())

    assert ShadowComparison.objects.get().outcome == "refused"


def test_soft_time_limit_is_not_taken_for_a_difference(
    shadow: Callable[..., None], draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(event: OrderAccepted) -> None:
        raise SoftTimeLimitExceeded

    shadow(_charged)
    monkeypatch.setattr(take_payment, "function", slow)

    with pytest.raises(SoftTimeLimitExceeded), transaction.atomic():
        operations.place_order(order=draft())
