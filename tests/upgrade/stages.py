"""The stages at which orders are frozen. Each order is brought to one by the code that relays and workers run.

An order bears the name of its stage as the name of its customer, so that the tests find it again.
"""

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from kombu import Connection, Message

from inventory import operations as operations_of_inventory
from inventory.models import StockItem
from microworkflows import DomainEvent, PermanentError, heartbeats, inbox, outbox
from microworkflows.cutover import record_done
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay.loop import Relay
from orders import operations
from orders.events import Address, Line, OrderAccepted
from orders.models import Order
from payments.events import PaymentRefunded
from tests.upgrade.brokers import Broker

CONTEXTS = ["orders", "payments", "inventory", "shipping"]
MUG, SOLD_OUT = "MUG-STONE-350", "CUP-RAKU-LTD"
VISA, DECLINED, SLOW_BANK = "tok_visa", "tok_declined", "tok_slow_bank"
SHIPPED, UNPAID, UNFILLED = "shipped", "payment_declined", "out_of_stock"
BY_DIRECT_CALLS = "shipped by direct calls"

DELIVERY_COUNT, ATTEMPT = "x-delivery-count", "microworkflows-attempt"
LAST_DELIVERY = 20
_FAR = timedelta(days=365)


class OrderArchived(DomainEvent, type="orders.order_archived.v1"):
    """Something that nobody in the shop listens to."""

    order_id: UUID


class Stages:
    """A shop on the database and broker of this process, in which orders are left at one stage after the other."""

    def __init__(self, broker: Broker, *, queues: list[str]) -> None:
        self._broker = broker
        self._queues = queues
        self._due: list[tuple[OutboxEvent | InboxEvent, datetime]] = []
        self._ends: dict[str, str] = {}
        self._parked: Counter[str] = Counter()
        self._parked_for_good: Counter[str] = Counter()
        self._dead_letters: Counter[str] = Counter()
        call_command("dead_letters", stdout=io.StringIO())  # which declares all there is
        call_command("seed_catalogue", stdout=io.StringIO())
        call_command("seed_stock", stdout=io.StringIO())
        self._stock = dict(StockItem.objects.values_list("sku", "on_hand"))

    def expectations(self) -> dict[str, Any]:
        """Let the database be as each stage left it; return what is to come of it all, for the tests."""
        for row, due_at in self._due:
            type(row).objects.filter(pk=row.pk).update(expires_at=due_at)
        return {
            "ends": self._ends,
            "parked": self._parked,
            "parked for good": self._parked_for_good,
            "unheard": Counter(OutboxEvent.objects.unheard().values_list("destination", flat=True)),
            "dead letters": self._dead_letters,
            "stock": self._stock,
        }

    # A stage

    @contextmanager
    def stage(
        self,
        name: str,
        *,
        ends: str = SHIPPED,
        pays: str = VISA,
        sku: str = MUG,
        parks: str = "",
        parks_for_good: str = "",
    ) -> Iterator[Order]:
        """Place an order; at the end of the block leave it as it is, out of reach of later blocks.

        Args:
            name: Of the stage.
            ends: How the order ends once it is finished, parked messages replayed.
            pays: Payment token.
            sku: Of the one piece that is ordered.
            parks: Label of a step that is parked, or will be, and that a replay finishes.
            parks_for_good: Label of one that a replay parks again.
        """
        order = _draft(name, pays=pays, sku=sku)
        operations.place_order(order=order)
        with self.left_behind(parks=parks, parks_for_good=parks_for_good):
            yield order
        self._ends[name] = ends

    @contextmanager
    def done_by_direct_calls(self, name: str) -> Iterator[None]:
        """Ship an order as the monolith did before any switch, with no payment here; its event is recorded beside."""
        order = _draft(name, pays=VISA, sku=MUG)
        with transaction.atomic():
            order.state, order.placed_at = Order.State.SHIPPED, timezone.now()
            order.total, order.currency = Decimal("14.50"), "EUR"
            order.save()
            record_done(_accepted(order), correlation_id=str(order.pk))
        with self.left_behind():
            yield
        self._ends[name] = BY_DIRECT_CALLS

    @contextmanager
    def left_behind(self, *, parks: str = "", parks_for_good: str = "") -> Iterator[None]:
        """Put what lies in the queues aside at the end of the block, and let no relay find what is due."""
        yield
        self._broker.put_aside()
        now = timezone.now()
        for row in [*OutboxEvent.objects.pending(), *InboxEvent.objects.waiting()]:
            if row.due_at < now + _FAR / 2:
                self._due.append((row, row.due_at))
                type(row).objects.filter(pk=row.pk).update(expires_at=now + _FAR)
        self._parked += Counter(filter(None, [parks, parks_for_good]))
        self._parked_for_good += Counter(filter(None, [parks_for_good]))

    # What is done at it

    def relay(self) -> None:
        """Let relays bring away what is due."""
        stop = threading.Event()
        relays = [
            threading.Thread(target=Relay(queue, broker=_connection, stop=stop).run) for queue in self._queues
        ]
        for thread in relays:
            thread.start()
        _until(lambda: not _due_now(), what="everything relayed")
        stop.set()
        for thread in relays:
            thread.join()

    def receive(self, *queues: str) -> None:
        """Handle what lies in the queues, as a worker does."""
        for queue in queues:
            with self._taken(queue) as messages:
                for message in messages:
                    headers: dict[str, Any] = message.headers
                    inbox.receive(
                        json.loads(message.body or ""),
                        queue=queue,
                        attempt=headers.get(ATTEMPT),
                        last_delivery=headers.get(DELIVERY_COUNT, 0) >= LAST_DELIVERY,
                    )
                    message.ack()

    def finish(self) -> None:
        """Let the orders travel to their ends."""
        self.relay()
        while any(map(self._broker.count, self._queues)):
            self.receive(*self._queues)
            self.relay()

    def fail(self, queue: str, *, times: int) -> None:
        """Handle the one message of a queue so many times, without waiting between the attempts."""
        with self._taken(queue) as (message,):
            for attempt in range(times):
                inbox.receive(json.loads(message.body or ""), queue=queue, attempt=attempt or None)
            message.ack()

    def die(self, queue: str, *, times: int) -> None:
        """Take the first message of a queue and die with it in hand, so many times."""
        for _ in range(times):
            with _connection() as connection:
                channel: Any = connection.channel()
                _until(partial(channel.basic_get, queue), what="a message")

    def put(self, queue: str, body: str, *, content_type: str, headers: dict[str, Any]) -> None:
        """Publish what no worker can read."""
        with _connection() as connection:
            connection.Producer().publish(
                body,
                routing_key=queue,
                content_type=content_type,
                content_encoding="utf-8",
                headers=headers,
                delivery_mode=2,
            )
            _until(partial(self._broker.count, queue), what="the message")

    def reject(self, queue: str) -> None:
        """Make the one message of a queue a dead letter, as a worker does with what it cannot read."""
        with self._taken(queue) as (message,):
            message.reject()
            _until(partial(self._broker.count, f"{queue}.dead"), what="the dead letter")
        self._dead_letters[f"{queue}.dead"] += 1

    @contextmanager
    def _taken(self, queue: str) -> Iterator[list[Message]]:
        with _connection() as connection:
            channel: Any = connection.channel()
            taken = iter(lambda: channel.basic_get(queue), None)
            yield [channel.message_to_python(message) for message in taken]


def shop(broker: Broker) -> dict[str, Any]:
    """Leave orders at every stage of a shop that is live; return what is to come of them."""
    stages = Stages(broker, queues=CONTEXTS)
    with stages.stage("shipped"):
        stages.finish()
    with stages.stage("declined", pays=DECLINED, ends=UNPAID):
        stages.finish()
    with stages.stage("out of stock", sku=SOLD_OUT, ends=UNFILLED):
        stages.finish()
    with stages.stage("shipped, every message delivered again") as order:
        stages.finish()
        OutboxEvent.objects.of_flow(str(order.pk)).update(status=OutboxEvent.Status.PENDING)
        stages.relay()
    with stages.stage("placed"):
        pass
    with stages.stage("relayed"):
        stages.relay()
    with stages.stage("relayed, not marked") as order:
        stages.relay()
        OutboxEvent.objects.of_flow(str(order.pk)).update(status=OutboxEvent.Status.PENDING)
    with stages.stage("paid, nothing relayed"):
        stages.relay()
        stages.receive("payments")
    with stages.stage("paid, not reserved"):
        stages.relay()
        stages.receive("payments", "shipping")
        stages.relay()
        stages.receive("orders")
    with stages.stage("reserved, not relayed"):
        stages.relay()
        stages.receive("payments")
        stages.relay()
        stages.receive("orders", "inventory", "shipping")
    with stages.stage("reserved"):
        stages.relay()
        stages.receive("payments")
        stages.relay()
        stages.receive("orders", "inventory", "shipping")
        stages.relay()
    with stages.stage("sent, not issued"):
        stages.relay()
        for queues in (["payments"], ["orders", "inventory", "shipping"], ["shipping"]):
            stages.receive(*queues)
            stages.relay()
    with stages.stage("declined, not cancelled", pays=DECLINED, ends=UNPAID):
        stages.relay()
        stages.receive("payments")
        stages.relay()
    with stages.stage("out of stock, not refunded", sku=SOLD_OUT, ends=UNFILLED):
        stages.relay()
        for queues in (["payments"], ["orders", "inventory"]):
            stages.receive(*queues)
            stages.relay()
    with stages.stage("refunded, not cancelled", sku=SOLD_OUT, ends=UNFILLED):
        stages.relay()
        for queues in (["payments"], ["orders", "inventory"], ["payments", "shipping"]):
            stages.receive(*queues)
            stages.relay()
    _failures(stages)
    _odd_messages(stages)
    return stages.expectations()


def _failures(stages: Stages) -> None:
    """Steps that failed: to be tried again, on their way back, parked, or about to be given up by the broker."""
    with stages.stage("waiting to be tried again", pays=SLOW_BANK):
        stages.relay()
        stages.receive("payments")
    with stages.stage("on its way to be tried again", pays=SLOW_BANK):
        stages.relay()
        stages.receive("payments")
        _until(lambda: _due_now() != [], what="the retry due")
        stages.relay()
    earlier = "payments.collect_payment"
    with stages.stage(
        "waiting for a step of an earlier name", pays=SLOW_BANK, parks_for_good=earlier
    ) as order:
        stages.relay()
        stages.receive("payments")
        row = InboxEvent.objects.waiting().get(headers__correlation_id=str(order.pk))
        InboxEvent.objects.filter(pk=row.pk).update(msg_id=f"{earlier}:{row.event_id}")
    with stages.stage("parked after ten attempts", pays=SLOW_BANK, parks="payments.take_payment"):
        stages.relay()
        stages.fail("payments", times=10)
    with stages.stage("given back twice"):
        stages.relay()
        stages.die("payments", times=2)
    with stages.stage("given back twenty times", parks="payments.take_payment"):
        stages.relay()
        stages.die("payments", times=LAST_DELIVERY)
    with stages.stage("refused by the broker") as order:
        # As the relay keeps it: nothing here makes a broker refuse a message.
        (row_out,) = OutboxEvent.objects.of_flow(str(order.pk))
        row_out.retry, row_out.headers = 1, {**row_out.headers, "error": "basic.nack"}
        row_out.expires_at = timezone.now()
        row_out.save()


def _odd_messages(stages: Stages) -> None:
    """Events that nobody listens to or that tell of an unknown order, and what no worker can read."""
    with stages.left_behind(parks_for_good="orders.cancel_refunded"):
        with transaction.atomic():
            outbox.record(
                PaymentRefunded(
                    order_id=uuid4(), amount=Decimal("14.50"), currency="EUR", refund_reference="none"
                )
            )
        stages.relay()
        stages.receive("orders")
    with stages.left_behind():
        with transaction.atomic():
            outbox.record(OrderArchived(order_id=uuid4()))
        stages.relay()
    with stages.left_behind(parks_for_good="payments"):
        event = OutboxEvent.objects.unheard().get()
        inbox.receive(event.body, queue="payments")
    with stages.left_behind():
        stages.put(
            "payments",
            "no event",
            content_type="application/cloudevents+json",
            headers={"origin": "a script"},
        )
        stages.reject("payments")
    with stages.left_behind():
        stages.put("orders", "[[], {}, {}]", content_type="application/json", headers={"task": "orders.tidy"})
        stages.reject("orders")


def monolith(broker: Broker) -> dict[str, Any]:
    """Leave flows of a monolith that hands its contexts over, under every mode; return what is to come of them."""
    stages = Stages(broker, queues=[*CONTEXTS, "monolith"])
    process = heartbeats.Process(worker="monolith@shop-1", host="shop-1", pid=1, started_at=timezone.now())
    heartbeats.note(process, depths={"monolith": 0}, handling=0)
    with stages.stage("inline"):
        pass
    with stages.stage("inline, relayed"):
        stages.relay()
    with stages.done_by_direct_calls("done by direct calls"):
        pass
    with stages.done_by_direct_calls("done by direct calls, relayed"):
        stages.relay()

    _go("payments", "live", 100)
    with stages.stage("payments live"):
        pass
    with stages.stage("payments live, relayed"):
        stages.relay()
    with stages.stage("payments live, paid"):
        stages.relay()
        stages.receive("payments", "monolith")
        stages.relay()
    with stages.stage("payments live, the monolith is to try again"), _counting_stock(RuntimeError):
        stages.relay()
        stages.receive("payments", "monolith")
        stages.relay()
        stages.receive("monolith")
    with (
        stages.stage("payments live, parked by the monolith", parks="inventory.reserve_items"),
        _counting_stock(PermanentError),
    ):
        stages.relay()
        stages.receive("payments", "monolith")
        stages.relay()
        stages.receive("monolith")

    _go("payments", "shadow")
    _go("inventory", "live", 100)
    with stages.stage("payments in shadow"):
        pass
    with stages.stage("payments in shadow, declined", pays=DECLINED, ends=UNPAID):
        stages.relay()
    with stages.stage("payments in shadow, to be refunded", sku=SOLD_OUT, ends=UNFILLED):
        stages.relay()
        stages.receive("inventory")
        stages.relay()

    for context in CONTEXTS:
        _go(context, "live", 100)
    with stages.stage("live"):
        stages.relay()
    _go("shipping", "live", 50)
    _go("payments", "shadow")
    return stages.expectations()


def _draft(name: str, *, pays: str, sku: str) -> Order:
    return operations.create_order(
        customer_name=name,
        street="Kai 4",
        postcode="20457",
        city="Hamburg",
        country="DE",
        payment_token=pays,
        lines={sku: 1},
    )


def _accepted(order: Order) -> OrderAccepted:
    return OrderAccepted(
        order_id=order.pk,
        number=order.number,
        total=Decimal("14.50"),
        currency="EUR",
        payment_token=VISA,
        lines=[Line(sku=MUG, quantity=1)],
        ship_to=Address(
            name=order.customer_name, street="Kai 4", postcode="20457", city="Hamburg", country="DE"
        ),
    )


def _go(context: str, mode: str, percent: int | None = None) -> None:
    """Change the mode of a context, as an operator does."""
    why = f"to be frozen with {context} {mode}"
    options: dict[str, Any] = {
        "mode": mode,
        "percent": percent,
        "why": why,
        "by": "operator",
    }
    if find_spec("microworkflows.cutover.doubts") is not None:
        from microworkflows.cutover.doubts import KINDS

        options["although"] = KINDS
    else:  # earlier versions ask nothing
        options["unseen_worker"] = True
    call_command("cutover", context, stdout=io.StringIO(), **options)


def _counting_stock(error: type[Exception]) -> Any:
    """Let the step that reserves what is paid fail."""
    several = hasattr(operations_of_inventory, "note_payments")  # earlier versions note one at a time
    name = "note_payments" if several else "note_payment"
    return patch.object(operations_of_inventory, name, side_effect=error("The stock is being counted."))


def _connection() -> Connection:
    return Connection(settings.BROKER_URL)


def _due_now() -> list[Any]:
    now = timezone.now()
    return [
        *OutboxEvent.objects.pending().filter(expires_at__lte=now),
        *InboxEvent.objects.waiting().filter(expires_at__lte=now),
    ]


def _until(look: Callable[[], Any], *, what: str) -> None:
    deadline = time.monotonic() + 30
    while not look():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)
