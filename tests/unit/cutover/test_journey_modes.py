"""Journeys of flows that a monolith takes part in: who did a step, who will do it, and what nobody will."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from microworkflows import flows, journeys
from microworkflows.cutover import direct_calls, legacy_steps
from microworkflows.cutover.models import ContextMove
from microworkflows.journeys import DeliveryStatus, Journey
from microworkflows.models import InboxEvent
from microworkflows.testing import Flow
from orders import operations
from orders.events import ItemsReserved
from orders.models import Order
from orders.workflows import mark_reserved
from payments.events import PaymentDeclined
from payments.models import Payment
from payments.workflows import take_payment
from tests.unit.cutover.conftest import Switch
from tests.unit.shop.conftest import Draft, admin_user  # noqa: F401  (a fixture)


def modes(journey: Journey) -> dict[str, str]:
    return {delivery.label: delivery.mode for delivery in journey.deliveries}


def test_journey_tells_who_did_each_step_and_who_will(go: Switch, draft: Draft, flow: Flow) -> None:
    payments_of = lambda event: [Payment.objects.filter(order_id=event.order_id)]  # noqa: E731
    noise = ["payments.Payment.taken_at"]
    legacy_steps.legacy(take_payment, observe=payments_of, noise=noise)(take_payment.function)
    go("payments", "shadow")
    go("shipping", "live")

    order = operations.place_order(order=draft())
    before = journeys.journey(str(order.pk))
    flow.run()
    after = journeys.journey(str(order.pk))

    expected = {d.label for d in before.deliveries if d.status is DeliveryStatus.EXPECTED}
    assert {label.partition(".")[0] for label in expected} == {"shipping"}
    assert modes(after) | modes(before) == modes(after)
    assert {label.partition(".")[0]: mode for label, mode in modes(after).items()} == {
        "orders": "inline",
        "payments": "shadow",
        "inventory": "inline",
        "shipping": "",
    }
    assert after.settled


def test_page_marks_what_is_not_live(admin_client: Client, go: Switch, draft: Draft) -> None:
    go("shipping", "live")
    order = operations.place_order(order=draft())

    html = admin_client.get(reverse("admin:microworkflows_journey", args=[str(order.pk)])).content.decode()

    assert '<span class="mw-badge mw-badge--idle">inline</span>' in html
    assert ">live</span>" not in html


def test_step_that_disagreed_is_shown_as_such_and_leads_to_the_comparison(
    admin_client: Client,
    go: Switch,
    draft: Draft,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    told: dict[str, str] = {}
    monkeypatch.setattr(flows, "handled", lambda done, emitted: told.update({done.consumer: done.mode}))
    legacy_steps.legacy(take_payment)(
        lambda event: PaymentDeclined(order_id=event.order_id, reason="the old code's")
    )
    go("payments", "shadow")
    with django_capture_on_commit_callbacks(execute=True):
        order = operations.place_order(order=draft())

    journey = journeys.journey(str(order.pk))
    html = admin_client.get(reverse("admin:microworkflows_journey", args=[str(order.pk)])).content.decode()
    comparisons = reverse("admin:microworkflows_cutover_shadowcomparison_changelist")

    assert modes(journey)["payments.take_payment"] == told["payments.take_payment"] == "shadow disagreed"
    badge = '<span class="mw-badge mw-badge--bad">shadow disagreed</span>'
    assert f'<a href="{comparisons}?q={order.pk}">{badge}</a>' in html
    found = admin_client.get(f"{comparisons}?q={order.pk}").context["cl"].queryset
    assert [row.outcome for row in found] == ["differs"]


def test_step_that_disagreed_at_a_later_attempt_is_shown_as_such(
    go: Switch, draft: Draft, flow: Flow
) -> None:
    tries = iter([ConnectionError("no answer")])

    def later(event: ItemsReserved) -> None:
        for error in tries:
            raise error

    cannot_look = lambda event: [Order.objects.filter(pk="no uuid")]  # noqa: E731
    legacy_steps.legacy(mark_reserved, observe=cannot_look)(later)
    go("orders", "shadow")
    for context in ("payments", "inventory", "shipping"):
        go(context, "live")
    order = operations.place_order(order=draft())
    flow.run(keep_failures=True)
    failed = modes(journeys.journey(str(order.pk)))["orders.mark_reserved"]
    InboxEvent.objects.waiting().replay(by="somebody")
    flow.retry()

    assert failed == "shadow"
    assert modes(journeys.journey(str(order.pk)))["orders.mark_reserved"] == "shadow disagreed"


def test_nothing_is_expected_of_what_was_done_by_direct_calls(admin_client: Client, monolith: None) -> None:
    event = PaymentDeclined(order_id=uuid4(), reason="card declined")
    with transaction.atomic():
        meta = direct_calls.record_done(event, correlation_id="done")
    assert meta is not None

    journey = journeys.journey("done")
    html = admin_client.get(reverse("admin:microworkflows_journey", args=["done"])).content.decode()

    assert [(step.id, step.done, step.deliveries) for step in journey.steps] == [(meta.id, True, ())]
    assert not journey.failed
    assert "Direct calls beside it did everything that follows" in html


def test_of_a_context_that_has_moved_away_nobody_can_tell(
    admin_client: Client, go: Switch, draft: Draft, flow: Flow
) -> None:
    go("payments", "live")
    order = operations.place_order(order=draft())
    flow.run()
    assert journeys.journey(str(order.pk)).settled
    InboxEvent.objects.of_context("payments").delete()
    moved = {
        "target": "elsewhere",
        "step": "moved",
        "started_at": order.placed_at,
        "changed_at": order.placed_at,
    }
    ContextMove.objects.create(context="payments", **moved)

    journey = journeys.journey(str(order.pk))
    html = admin_client.get(reverse("admin:microworkflows_journey", args=[str(order.pk)])).content.decode()

    assert {d.label: d.status for d in journey.deliveries if d.status is not DeliveryStatus.HANDLED} == {
        "payments.take_payment": DeliveryStatus.ELSEWHERE
    }
    assert not journey.settled
    assert '<span class="mw-badge mw-badge--idle">elsewhere</span>' in html
    assert "expected" not in html
