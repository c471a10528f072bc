"""Inline: the monolith does the steps where and when it did the direct calls, and each one once."""

import contextlib
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from inventory.models import Reservation
from microworkflows import Later, failures, inbox, outbox
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover import direct_calls, legacy_steps
from microworkflows.cutover.models import ContextMove
from microworkflows.cutover.stamps import MONOLITH
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders import operations
from orders.events import OrderAccepted
from orders.models import Order
from payments.events import PaymentDeclined, PaymentReceived
from payments.gateway import GatewayUnavailableError
from payments.models import Payment
from payments.workflows import take_payment
from shipping.models import Shipment
from tests.unit.cutover.conftest import CONTEXTS, Switch
from tests.unit.shop.conftest import Draft
from tests.unit.shop.test_ways import ANNOUNCED, WAYS, ending


@pytest.mark.parametrize(("wish", "end"), WAYS)
def test_order_ends_in_the_transaction_that_places_it(
    monolith: None, draft: Draft, wish: dict[str, object], end: str
) -> None:
    order = operations.place_order(order=draft(**wish))

    assert ending(order) == end
    assert sorted(OutboxEvent.objects.values_list("destination", flat=True)) == sorted(ANNOUNCED[end])


def test_copies_that_are_delivered_later_change_nothing(monolith: None, draft: Draft, flow: Flow) -> None:
    order = operations.place_order(order=draft())
    handled = InboxEvent.objects.count()

    flow.run(times=2)

    assert InboxEvent.objects.count() == handled
    assert (ending(order), Payment.objects.count(), Shipment.objects.count()) == ("shipped", 1, 1)
    assert flow.types() == ANNOUNCED["shipped"]


def test_step_that_follows_from_a_timer_is_done_when_it_is_due_and_not_when_it_is_recorded(
    monolith: None, flow: Flow
) -> None:
    order = Order.objects.create(
        state=Order.State.ACCEPTED, placed_at=timezone.now(), total=7, currency="EUR"
    )
    declined = PaymentDeclined(order_id=order.pk, reason="too late")

    flow.record(Later(declined, timedelta(minutes=15)), correlation_id=order.pk)
    flow.run()
    order.refresh_from_db()
    before = order.state
    flow.wait(timedelta(minutes=15))
    flow.run(times=2)

    order.refresh_from_db()
    assert (before, order.state) == (Order.State.ACCEPTED, Order.State.CANCELLED)
    assert InboxEvent.objects.filter(msg_id__startswith="orders.cancel_declined:").count() == 1


def test_exception_rolls_all_of_it_back(monolith: None, draft: Draft) -> None:
    order = draft(payment_token="tok_slow_bank")

    with pytest.raises(GatewayUnavailableError):
        operations.place_order(order=order)

    order.refresh_from_db()
    assert order.state == Order.State.DRAFT
    assert not OutboxEvent.objects.exists()
    assert not InboxEvent.objects.exists()
    assert not Reservation.objects.exists()


def test_legacy_step_runs_in_the_place_of_the_microworkflow(monolith: None, draft: Draft) -> None:
    asked = []

    @legacy_steps.legacy(take_payment)
    def charge_as_before(event: OrderAccepted) -> PaymentReceived:
        asked.append(event.order_id)
        return PaymentReceived(
            order_id=event.order_id, amount=event.total, currency=event.currency, payment_reference="old"
        )

    order = operations.place_order(order=draft())

    assert asked == [order.pk]
    assert not Payment.objects.exists()
    assert ending(order) == "shipped"
    (event,) = OutboxEvent.objects.filter(destination=PaymentReceived.event_type)
    assert event.body["data"]["payment_reference"] == "old"
    assert event.workflow == "payments.take_payment"


def test_second_legacy_step_is_refused(monolith: None) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)

    with pytest.raises(ValueError, match=r"payments.take_payment has the legacy step .* already"):
        legacy_steps.legacy(take_payment)(lambda event: None)


def test_live_context_is_left_to_its_worker(go: Switch, draft: Draft, flow: Flow) -> None:
    go("payments", "live")

    order = operations.place_order(order=draft())

    assert ending(order) == "accepted"
    assert not Payment.objects.exists()
    flow.run()
    assert ending(order) == "shipped"
    assert flow.types() == ANNOUNCED["shipped"]


def test_what_follows_a_live_context_is_done_by_the_worker_of_the_monolith(
    go: Switch, draft: Draft, flow: Flow
) -> None:
    go("payments", "live")
    order = operations.place_order(order=draft())

    flow.run(contexts=["payments", "inventory", "orders", "shipping"])

    assert ending(order) == "accepted"
    (paid,) = OutboxEvent.objects.filter(destination=PaymentReceived.event_type)
    flow.deliver(paid, contexts=[MONOLITH])
    assert ending(order) == "shipped"
    assert Payment.objects.count() == 1


def test_what_fails_in_the_worker_of_the_monolith_is_retried_there(
    go: Switch, draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("payments", "live")
    order = operations.place_order(order=draft())
    flow.run(contexts=["payments"])
    (paid,) = OutboxEvent.objects.filter(destination=PaymentReceived.event_type)

    with monkeypatch.context() as broken:
        broken.setattr("inventory.operations.note_payments", _fail)
        flow.deliver(paid, contexts=[MONOLITH])
    assert [row.label for row in flow.waiting] == ["inventory.reserve_items"]
    assert flow.waiting[0].headers["mode"] == "inline"
    flow.retry()

    assert ending(order) == "shipped"
    assert flow.waiting == []


def test_retry_in_the_worker_of_the_monolith_is_for_one_step_alone(
    go: Switch, draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("payments", "live")
    order = operations.place_order(order=draft())
    flow.run(contexts=["payments"])
    (paid,) = OutboxEvent.objects.filter(destination=PaymentReceived.event_type)
    with monkeypatch.context() as broken:
        broken.setattr("inventory.operations.note_payments", _fail)
        flow.deliver(paid, contexts=[MONOLITH])
    others = InboxEvent.objects.filter(msg_id__endswith=str(paid.pk)).exclude(pk=flow.waiting[0].pk)
    assert others.delete()[0]

    flow.retry()

    assert ending(order) == "shipped"
    assert not others.exists()


def test_failure_of_what_follows_fails_the_step_that_it_follows(
    go: Switch, draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("payments", "live")
    order = operations.place_order(order=draft())
    flow.run(contexts=["payments"])
    (paid,) = OutboxEvent.objects.filter(destination=PaymentReceived.event_type)

    with monkeypatch.context() as broken:
        broken.setattr("shipping.operations.note_items", _fail)
        flow.deliver(paid, contexts=[MONOLITH])

    assert [row.label for row in flow.waiting] == ["inventory.reserve_items"]
    assert Reservation.objects.get(order_id=order.pk).state == "waiting"
    flow.retry()
    assert ending(order) == "shipped"


@pytest.mark.parametrize("live", [["inventory"], ["orders"], ["shipping", "orders"], CONTEXTS])
def test_any_mixture_comes_to_the_same_end(go: Switch, draft: Draft, flow: Flow, live: list[str]) -> None:
    for context in live:
        go(context, "live")

    order = operations.place_order(order=draft())
    flow.run(times=2)

    assert ending(order) == "shipped"
    assert sorted(flow.types()) == sorted(ANNOUNCED["shipped"])


def test_switch_concerns_the_flows_that_begin_afterwards(go: Switch, draft: Draft, flow: Flow) -> None:
    go("payments", "live")
    before = operations.place_order(order=draft())
    go("payments", "inline")
    after = operations.place_order(order=draft())

    assert (ending(before), ending(after)) == ("accepted", "shipped")
    flow.run()
    assert (ending(before), ending(after)) == ("shipped", "shipped")
    assert Payment.objects.count() == 2


def test_event_recorded_beside_direct_calls_is_never_acted_on(
    monolith: None, draft: Draft, flow: Flow
) -> None:
    order = draft()
    event = _accepted(order)

    with transaction.atomic():
        meta = direct_calls.record_done(event, correlation_id=str(order.pk))
    assert meta is not None
    flow.deliver(meta)

    assert not InboxEvent.objects.exists()
    assert not Payment.objects.exists()
    assert OutboxEvent.objects.get().body["cutover"] == "done"


def _accepted(order: Order) -> OrderAccepted:
    return OrderAccepted.model_validate(
        {
            "order_id": order.pk,
            "number": order.number,
            "total": "12.00",
            "currency": "EUR",
            "payment_token": "tok_visa",
            "lines": [{"sku": "TEA-SENCHA-100", "quantity": 1}],
            "ship_to": {"name": "n", "street": "s", "postcode": "p", "city": "c", "country": "DE"},
        }
    )


def _fail(**_: object) -> None:
    raise ValueError("not today")


def test_recording_as_done_what_a_step_announces_is_refused(monolith: None, draft: Draft) -> None:
    order = draft()

    @legacy_steps.legacy(take_payment)
    def still_records(event: OrderAccepted) -> None:
        direct_calls.record_done(_accepted(order))

    with pytest.raises(direct_calls.RecordedInStepError, match=r"payments.take_payment calls"):
        operations.place_order(order=order)


def test_flow_that_began_beside_direct_calls_is_acted_on_later(monolith: None, draft: Draft) -> None:
    order = draft()
    with transaction.atomic():
        direct_calls.record_done(_accepted(order), correlation_id=str(order.pk))

    operations.place_order(order=order)

    assert ending(order) == "shipped"


def test_step_of_an_event_that_is_rolled_back_is_rolled_back_with_it(monolith: None, draft: Draft) -> None:
    order = draft()

    @legacy_steps.legacy(take_payment)
    def changes_its_mind(event: OrderAccepted) -> PaymentDeclined:
        with contextlib.suppress(ConnectionError), transaction.atomic():
            outbox.record(_received(event))
            raise ConnectionError("the bank took it back")
        return PaymentDeclined(order_id=event.order_id, reason="taken back")

    operations.place_order(order=order)

    assert ending(order) == "payment_declined"
    assert not Reservation.objects.exclude(state="dropped").exists()


def test_late_copy_of_what_the_monolith_recorded_is_not_acted_on_though_the_inbox_forgot_it(
    monolith: None, draft: Draft, flow: Flow
) -> None:
    operations.place_order(order=draft())
    InboxEvent.objects.all().delete()

    flow.run(contexts=[MONOLITH])

    assert not InboxEvent.objects.exists()
    assert Payment.objects.count() == 1


def test_event_that_the_code_of_the_monolith_does_not_know_is_parked(
    monolith: None, db: None, flow: Flow
) -> None:
    body = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/payments",
        "data": {},
        "type": "payments.payment_split.v1",
        "cutover": "inventory=inline",
        "causationid": "1",
    }

    inbox.receive(body, queue=MONOLITH)

    assert [(row.label, row.type) for row in flow.parked] == [("monolith", "payments.payment_split.v1")]
    assert "No microworkflow of the monolith listens" in str(flow.parked[0].error)


def test_step_of_a_context_that_has_moved_is_parked(go: Switch, draft: Draft, flow: Flow) -> None:
    go("payments", "live")
    operations.place_order(order=draft())
    flow.run(contexts=["payments"])
    now = timezone.now()
    ContextMove.objects.create(
        context="inventory", target="postgres://there/it", step="moved", started_at=now, changed_at=now
    )

    (paid,) = OutboxEvent.objects.filter(destination=PaymentReceived.event_type)
    flow.deliver(paid, contexts=[MONOLITH])

    assert [row.label for row in flow.parked] == ["monolith"]
    assert "inventory now works in postgres://there/it" in str(flow.parked[0].error)


def _received(event: OrderAccepted) -> PaymentReceived:
    return PaymentReceived(
        order_id=event.order_id, amount=event.total, currency=event.currency, payment_reference="old"
    )


def test_step_of_the_monolith_is_parked_where_nobody_hands_its_context_over(
    go: Switch, draft: Draft, flow: Flow, settings: Settings
) -> None:
    go("orders", "live")
    order = operations.place_order(order=draft())
    flow.run()
    _forget("payments.take_payment", order)
    (accepted,) = OutboxEvent.objects.filter(destination=OrderAccepted.event_type)

    settings.MICROWORKFLOWS = {"CUTOVER": ["orders", "inventory", "shipping"]}
    flow.deliver(accepted, contexts=["payments"])

    (row,) = flow.parked
    assert row.label == "payments.take_payment"
    assert "MICROWORKFLOWS['CUTOVER'] of this process does not name payments" in (row.error or "")
    assert not Payment.objects.exists()

    settings.MICROWORKFLOWS = {"CUTOVER": CONTEXTS}
    InboxEvent.objects.parked().replay(by="clerk")
    flow.retry()

    assert (flow.parked, flow.waiting, Payment.objects.count()) == ([], [], 1)


@pytest.mark.parametrize("named", [[], ["orders", "inventory", "shipping"]])
def test_waiting_step_of_the_monolith_is_parked_and_not_redelivered_for_ever(
    go: Switch,
    draft: Draft,
    flow: Flow,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    named: list[str],
) -> None:
    order = operations.place_order(order=draft())
    flow.run()
    _forget("payments.take_payment", order)
    (accepted,) = OutboxEvent.objects.filter(destination=OrderAccepted.event_type)
    event = CloudEvent.from_dict(accepted.body)
    failures.keep("payments.take_payment", event, GatewayUnavailableError("no answer"))

    settings.MICROWORKFLOWS = {"CUTOVER": named}  # as in a database of the context's own, or deleted too soon
    flow.retry()

    assert [row.label for row in flow.parked] == ["payments.take_payment"]
    assert flow.waiting == []
    assert not Payment.objects.exists()


def test_copies_of_what_the_monolith_did_change_nothing_where_it_is_not_known_any_more(
    go: Switch, draft: Draft, flow: Flow, settings: Settings
) -> None:
    operations.place_order(order=draft())
    settings.MICROWORKFLOWS = {}

    flow.run(times=2)

    assert (flow.parked, flow.waiting, Payment.objects.count()) == ([], [], 1)


def test_reason_of_a_parked_step_is_not_overwritten_by_a_copy(
    go: Switch, draft: Draft, flow: Flow, settings: Settings
) -> None:
    order = operations.place_order(order=draft())
    _forget("payments.take_payment", order)
    (accepted,) = OutboxEvent.objects.filter(destination=OrderAccepted.event_type)
    failures.keep(
        "payments.take_payment", CloudEvent.from_dict(accepted.body), PermanentError("no such card")
    )
    settings.MICROWORKFLOWS = {}

    flow.deliver(accepted)

    (row,) = flow.parked
    assert (row.attempts, row.error) == (1, "PermanentError: no such card")


def _forget(label: str, order: Order) -> None:
    """Do as if a step had not been done."""
    InboxEvent.objects.filter(msg_id__startswith=f"{label}:").delete()
    Payment.objects.filter(order_id=order.pk).delete()
