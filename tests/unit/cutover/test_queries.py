"""Flows under way, counted by who is to do a context's steps in them."""

from uuid import uuid4

import pytest
from pytest_django import Settings

from microworkflows import failures, microworkflow, registry
from microworkflows.cloudevents import MARK, CloudEvent
from microworkflows.cutover import queries
from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.queries import Flows
from microworkflows.cutover.stamps import MONOLITH
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders import operations
from payments.events import OrderAccepted
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


def test_flow_does_not_wait_for_a_dismissed_message(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    operations.place_order(order=draft())
    InboxEvent.objects.filter(msg_id__startswith="payments.").update(status=InboxEvent.Status.PARKED)
    assert queries.in_flight("payments") == Flows(inline=1)

    InboxEvent.objects.parked().dismiss(by="clerk", why="paid in cash")

    assert queries.in_flight("payments") == Flows()


def test_parked_step_of_the_monolith_counts_though_its_event_was_purged(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    go("orders", "live")
    operations.place_order(order=draft())
    flow.run()
    InboxEvent.objects.filter(msg_id__startswith="payments.take_payment:").update(
        status=InboxEvent.Status.PARKED
    )
    OutboxEvent.objects.all().delete()

    assert queries.in_flight("payments") == queries.unsettled("payments") == Flows(inline=1)
    assert queries.unsettled("orders") == Flows(live=1)  # payments' step may lead to one of orders
    assert queries.in_flight("orders") == Flows()
    assert queries.left_to_monolith("payments") == 1


def test_flow_is_counted_once_by_its_events_and_its_messages(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    go("payments", "live")
    operations.place_order(order=draft())
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    (accepted,) = OutboxEvent.objects.filter(destination="orders.order_accepted.v1")
    failures.keep("payments.take_payment", CloudEvent.from_dict(accepted.body), ValueError("no answer"))

    assert queries.in_flight("payments") == Flows(live=1)
    assert queries.left_to_monolith("payments") == 0


def test_step_that_the_monolith_keeps_for_a_context_that_has_moved_counts(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    operations.place_order(order=draft())
    (paid,) = OutboxEvent.objects.filter(destination="payments.payment_received.v1")
    failures.keep(MONOLITH, CloudEvent.from_dict(paid.body), PermanentError("inventory has moved"))

    assert queries.in_flight("inventory") == queries.unsettled("shipping") == Flows(inline=1)
    assert queries.in_flight("shipping") == Flows()  # it does not listen to that event


def test_mark_that_a_foreign_event_bears_counts_for_nothing(monolith: None, db: None) -> None:
    foreign = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/elsewhere",
        "type": "orders.order_accepted.v1",
        MARK: "payments=inline",
        "data": {},
    }
    failures.keep("payments.take_payment", CloudEvent.from_dict(foreign), PermanentError("what is this?"))
    failures.keep(
        "payments.take_payment",
        CloudEvent.from_dict(foreign | {"id": "2", MARK: "no stamp"}),
        PermanentError(),
    )

    assert queries.in_flight("payments") == Flows(live=2)
    assert queries.left_to_monolith("payments") == 0


def test_flows_that_the_monolith_would_have_to_go_on_with_are_forsaken(
    monolith: None, draft: Draft, flow: Flow, go: Switch, settings: Settings
) -> None:
    go("orders", "live")
    operations.place_order(order=draft())
    flow.run()
    (row,) = InboxEvent.objects.filter(msg_id__startswith="payments.")
    assert queries.forsaken(newest=100) == {}
    settings.MICROWORKFLOWS = {"CUTOVER": ["orders", "inventory", "shipping"]}
    assert queries.forsaken(newest=100) == {}

    row.status = InboxEvent.Status.PARKED
    row.save()

    assert queries.forsaken(newest=100) == {"payments": 1}


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


def test_microworkflow_of_today_waits_for_nothing_that_was_recorded_before(
    monolith: None, draft: Draft, flow: Flow, go: Switch
) -> None:
    operations.place_order(order=draft())
    flow.run()
    with registry.isolated():
        microworkflow(on=OrderAccepted, context="payments")(lambda event: None)

        assert queries.in_flight("payments") == queries.unsettled("payments") == Flows()

        OutboxEvent.objects.update(status=OutboxEvent.Status.PENDING)
        assert queries.in_flight("payments") == Flows(inline=1)  # it will hear what is pending
        OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED, headers={"microworkflow": None})
        assert queries.in_flight("payments") == Flows(inline=1)  # of an earlier version nobody can tell
