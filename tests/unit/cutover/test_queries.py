"""Flows under way, counted by who is to do a context's steps in them."""

import pytest
from pytest_django import Settings

from microworkflows.cutover import queries
from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.queries import Flows
from microworkflows.models import InboxEvent
from microworkflows.testing import Flow
from orders import operations
from tests.unit.cutover.conftest import Switch
from tests.unit.shop.conftest import Draft

pytestmark = pytest.mark.django_db


def test_nothing_is_in_flight_where_nothing_was_recorded() -> None:
    assert queries.in_flight("payments") == queries.unsettled("payments") == Flows()


def test_context_without_microworkflows_is_waited_for_by_nobody() -> None:
    assert queries.in_flight("nobody") == Flows()


def test_flow_is_in_flight_until_the_context_has_handled_it(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    for context in ("orders", "payments", "inventory", "shipping"):
        go(context, "live")
    operations.place_order(order=draft())
    operations.place_order(order=draft())
    assert queries.in_flight("payments") == Flows(live=2)

    flow.run()

    assert queries.in_flight("payments") == Flows()


def test_flow_is_counted_once_however_much_of_it_waits(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    go("inventory", "live")
    go("shipping", "live")
    operations.place_order(order=draft())

    assert queries.in_flight("inventory") == Flows(
        live=1
    )  # it waits for OrderAccepted and for PaymentReceived
    assert InboxEvent.objects.of_context("inventory").count() == 0


def test_flow_of_before_is_unsettled_while_others_may_lead_back_to_the_context(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    go("inventory", "live")
    operations.place_order(order=draft())
    go("payments", "live")

    assert queries.in_flight("payments") == Flows()
    assert queries.unsettled("payments") == Flows(inline=1)

    flow.run()
    assert queries.unsettled("payments") == Flows()


def test_parked_step_of_the_monolith_is_in_flight(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    operations.place_order(order=draft())
    assert queries.in_flight("payments") == Flows()

    InboxEvent.objects.filter(msg_id__startswith="payments.").update(status=InboxEvent.Status.PARKED)

    assert queries.in_flight("payments") == Flows(inline=1)


def test_what_waits_in_another_database_is_not_known(monolith: None, draft: Draft, go: Switch) -> None:
    go("inventory", "live")
    operations.place_order(order=draft())
    ContextMove.objects.create(
        context="inventory",
        target="elsewhere",
        step="moved",
        started_at="2026-01-01T00:00Z",
        changed_at="2026-01-01T00:00Z",
    )

    assert queries.unsettled("payments") == Flows()


def test_inboxes_of_others_are_not_missed_in_a_database_of_the_contexts_own(
    monolith: None, draft: Draft, settings: Settings
) -> None:
    operations.place_order(order=draft())
    InboxEvent.objects.exclude(msg_id__startswith="payments.").delete()
    assert queries.unsettled("payments") == Flows(inline=1)

    settings.MICROWORKFLOWS = {}

    assert queries.unsettled("payments") == Flows()
