"""Whatever is switched at whatever moment, and however often, late, disordered or in vain events are delivered: each
order comes to its one end, each step is done once, and money and stock add up."""

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.models import ReservationLine, StockItem
from microworkflows import inbox, registry, topology
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover import legacy_steps
from microworkflows.cutover.models import ShadowComparison
from microworkflows.cutover.stamps import Mode, Stamp
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay.late_bindings import LateBindings
from microworkflows.relay.publisher import Message
from orders import operations
from orders.models import Order, OrderLine
from payments.models import Payment
from payments.workflows import refund_payment, take_payment
from shipping.models import Shipment
from tests import soaking
from tests.unit.cutover.conftest import CONTEXTS, Switch
from tests.unit.shop.conftest import Draft
from tests.unit.shop.test_ways import ANNOUNCED, ending

WISHES: list[dict[str, Any]] = [
    {"lines": {"TEA-SENCHA-100": 2, "MUG-STONE-350": 1}},
    {"payment_token": "tok_declined"},
    {"lines": {"CUP-RAKU-LTD": 1}},
]
ENDS = ["shipped", "payment_declined", "out_of_stock"]

place = st.tuples(st.just("place"), st.integers(0, len(WISHES) - 1))
change = st.tuples(
    st.just("change"),
    st.sampled_from(CONTEXTS),
    st.one_of(
        st.just(("inline", None)), st.just(("shadow", None)), st.tuples(st.just("live"), st.integers(1, 100))
    ),
)
relay = st.tuples(st.just("relay"), st.booleans())
deliver = st.tuples(
    st.just("deliver"), st.integers(0, 2**16), st.sampled_from(["", "", "", "before", "after", "fails"])
)
redeliver = st.tuples(st.just("redeliver"))
beginnings = st.tuples(*[st.sampled_from(["inline", "shadow", "live"]) for _ in CONTEXTS])
histories = st.lists(
    st.one_of(place, place, change, relay, deliver, deliver, deliver, redeliver), max_size=30
)


@dataclass
class Broker:
    """Queues as a broker's, from which any message may come next: (queue, body, attempt)."""

    messages: list[tuple[str, Any, int | None]] = field(default_factory=list)
    late: LateBindings = field(default_factory=LateBindings)

    def relay(self, *, crash: bool = False) -> None:
        """Publish what is pending; a relay that crashes has published, but marked nothing."""
        rows = list(OutboxEvent.objects.pending())
        self.late.add([Message(row.pk, row.type, json.dumps(row.body)) for row in rows])
        served = self.late.served()
        for row in rows:
            for queue in topology.queues():
                bindings = topology.queue(queue, late=queue in served).bindings
                if row.type in {bound.routing_key for bound in bindings}:
                    self.messages.append((queue, row.body, None))
        if not crash:
            OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).update(
                status=OutboxEvent.Status.RELAYED
            )

    def redeliver(self) -> None:
        """Publish what waits for another attempt."""
        for row in InboxEvent.objects.waiting():
            queue = topology.queue_for(row.context, CloudEvent.from_dict(row.body).meta.mark)
            self.messages.append((queue, row.body, row.attempts))

    def deliver(self, place: int, how: str = "") -> None:
        """Deliver one message; a worker that crashes does not ack it, so it comes again."""
        if not self.messages:
            return
        feed, body, attempt = self.messages.pop(place % len(self.messages))
        FAILING.append(how == "fails")
        with transaction.atomic():
            inbox.receive(body, queue=feed, attempt=attempt)
            transaction.set_rollback(how == "before")
        FAILING.clear()
        if how in ("before", "after"):
            self.messages.append((feed, body, attempt))

    def settle(self, chance: random.Random) -> None:
        """Run until nothing is left to do; for some rounds with crashes and failures, then without."""
        for round_ in range(60):
            self.relay(crash=round_ < 5 and chance.random() < 0.2)
            self.redeliver()
            chance.shuffle(self.messages)
            if not self.messages and not OutboxEvent.objects.pending().exists():
                return
            for _ in range(len(self.messages)):
                troubled = round_ < 20 and chance.random() < 0.3
                self.deliver(0, chance.choice(["before", "after", "fails"]) if troubled else "")
        raise AssertionError("it does not end")


FAILING: list[bool] = []


@pytest.fixture
def fallible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reservations and shipments fail while ``FAILING`` says so, after they have written."""
    for module, name in (("inventory", "note_payments"), ("shipping", "note_items"), ("orders", "mark_paid")):
        monkeypatch.setattr(f"{module}.operations.{name}", _fallible(module, name))


def _fallible(module: str, name: str) -> Any:
    operation = getattr(__import__(f"{module}.operations", fromlist=[name]), name)

    def run(**arguments: Any) -> Any:
        result = operation(**arguments)
        if FAILING and FAILING[-1]:
            raise ConnectionError(f"{name} failed")
        return result

    return run


@pytest.mark.postgres
@pytest.mark.usefixtures("fallible")
@pytest.mark.parametrize(
    "histories_tried",
    [
        pytest.param(10, id="few"),
        pytest.param(soaking.times(60), marks=[pytest.mark.slow, pytest.mark.soak], id="many"),
    ],
)
def test_no_step_is_skipped_or_done_twice(go: Switch, draft: Draft, histories_tried: int) -> None:
    for workflow in (take_payment, refund_payment):
        legacy_steps.legacy(workflow, observe=_payments)(workflow.handle)
    for context in set(CONTEXTS) - {"payments"}:
        for workflow in registry.workflows():
            if workflow.context == context:
                legacy_steps.legacy(workflow)(workflow.handle)

    @settings(max_examples=histories_tried, database=None)
    @given(beginnings, histories, st.integers(0, 2**32))
    def run(modes: tuple[str, ...], history: list[tuple[Any, ...]], seed: int) -> None:
        with transaction.atomic():
            try:
                for context, mode in zip(CONTEXTS, modes, strict=True):
                    go(context, mode)
                _live_through([("place", 0), *history], random.Random(seed), go, draft)
            finally:
                transaction.set_rollback(True)

    run()


def _payments(event: Any) -> list[Any]:
    return [Payment.objects.filter(order_id=event.order_id)]


def _live_through(history: list[tuple[Any, ...]], chance: random.Random, go: Switch, draft: Draft) -> None:
    broker, placed = Broker(), []
    before = dict(StockItem.objects.values_list("sku", "on_hand"))
    for step, *arguments in history:
        if step == "place":
            (wish,) = arguments
            placed.append((operations.place_order(order=draft(**WISHES[wish])), ENDS[wish]))
        elif step == "change":
            context, (mode, percent) = arguments
            go(context, mode, percent)
        elif step == "relay":
            broker.relay(crash=arguments[0])
        elif step == "deliver":
            broker.deliver(*arguments)
        else:
            broker.redeliver()
    broker.settle(chance)

    assert [ending(order) for order, _ in placed] == [end for _, end in placed]
    assert not InboxEvent.objects.exclude(status=InboxEvent.Status.HANDLED).exists()
    _each_step_was_done_once(placed)
    _books_add_up(before)


def _each_step_was_done_once(placed: list[tuple[Order, str]]) -> None:
    for order, end in placed:
        events = OutboxEvent.objects.of_flow(str(order.pk))
        assert sorted(event.type for event in events) == sorted(ANNOUNCED[end])
        stamps = {event.body.get("cutover") for event in events}
        assert len(stamps) == 1, "a flow ends as it began"
        for event in events:
            done = {row.label for row in InboxEvent.objects.filter(msg_id__endswith=str(event.pk))}
            assert done == {workflow.label for workflow in registry.listeners(event.type)}
            stamp = Stamp.parse(event.body.get("cutover"))
            compared = ShadowComparison.objects.filter(event_id=event.pk).count()
            assert compared == sum(
                stamp.mode(workflow.context) is Mode.SHADOW for workflow in registry.listeners(event.type)
            )


def _books_add_up(before: dict[str, int]) -> None:
    shipped = Order.objects.filter(state=Order.State.SHIPPED)
    assert Shipment.objects.count() == shipped.count()
    kept = Payment.objects.filter(state=Payment.State.RECEIVED).aggregate(sum=Sum("amount"))["sum"]
    assert kept == shipped.aggregate(sum=Sum("total"))["sum"]
    assert not StockItem.objects.exclude(reserved=0).exists()
    issued = ReservationLine.objects.filter(reservation__state="issued").aggregate(sum=Sum("quantity"))["sum"]
    assert issued == OrderLine.objects.filter(order__in=shipped).aggregate(sum=Sum("quantity"))["sum"]
    after = dict(StockItem.objects.values_list("sku", "on_hand"))
    assert sum(before.values()) - sum(after.values()) == (issued or 0)
