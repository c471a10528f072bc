"""Each context a service of its own: four databases, one RabbitMQ, and nothing else in common."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest
from amqp.spec import Basic
from kombu import Connection, Exchange

from migrations_guide.engine.shop import USER, Order, Shop
from project.service import CONTEXTS
from tests import servers
from tests.acceptance import services
from tests.acceptance.running import wait_until
from tests.acceptance.services import Services, ends

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.slow,
]


@pytest.fixture
def four() -> Iterator[Services]:
    """Yield the four services, prepared; nothing runs yet."""
    folder = servers.SCRATCH / "services"
    folder.mkdir()
    with services.prepared(folder) as running:
        yield running


def test_order_travels_through_four_services(four: Services) -> None:
    four.run("orders", f"python manage.py createsuperuser --noinput --username={USER} --email=")
    site = four.start_web("orders")
    shop = Shop({"orders": site})
    # Before any worker ever ran: what was announced waits for its listeners.
    shipped = shop.place(pays="tok_visa", lines={"TEA-SENCHA-100": 2, "MUG-STONE-350": 1})
    four.start_workers()
    declined = shop.place(pays="tok_declined", lines={"TEA-SENCHA-100": 1})
    unfilled = shop.place(pays="tok_visa", lines={"CUP-RAKU-LTD": 1})

    ends(shop, shipped, "Shipped")
    ends(shop, declined, "Cancelled: payment declined")
    ends(shop, unfilled, "Cancelled: out of stock")

    assert states(four, "payments", "payments_payment", shipped) == ["received"]
    assert states(four, "payments", "payments_payment", declined) == ["declined"]
    assert states(four, "payments", "payments_payment", unfilled) == ["refunded"]
    wait_until(
        "what was reserved has left the shelves",
        lambda: states(four, "inventory", "inventory_reservation", shipped) == ["issued"],
        seconds=20,
    )
    assert four.ask("shipping", "SELECT order_id::text FROM shipping_shipment") == [(shipped.id,)]
    expected = ["Order accepted", "Payment received", "Items reserved", "Shipment scheduled"]
    wait_until(
        "the journal tells the journey", lambda: len(journey(shop, shipped)) >= len(expected), seconds=20
    )
    assert journey(shop, shipped) == expected
    for name in CONTEXTS:
        assert_only_its_own_tables(four, name)
        assert four.ask(name, "SELECT body FROM published WHERE status = 3") == [], "somebody heard it all"
    four.stop()
    assert "ACCESS_REFUSED" not in four.said()


def journey(shop: Shop, order: Order) -> list[str]:
    """Return the steps on the order's page; three of them other services recorded."""
    page = shop._browser("orders").get(f"/admin/orders/order/{order.id}/change/")
    return re.findall(r'<text class="mwj-e"[^>]*>(?:<a [^>]*>)?([^<]*)', page.html)


def states(four: Services, name: str, table: str, order: Order) -> list[str]:
    return [state for (state,) in four.ask(name, f"SELECT state FROM {table} WHERE order_id = %s", order.id)]


def assert_only_its_own_tables(four: Services, name: str) -> None:
    rows = four.ask(name, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    contexts = {table.partition("_")[0] for (table,) in rows} & set(CONTEXTS)
    assert contexts == {name}


REFUSED: dict[str, Callable[[Any], Any]] = {
    "announce what is another's": lambda channel: publish(channel, "orders.order_accepted.v1"),
    "send another a message to be retried": lambda channel: publish(channel, "orders"),
    "put a message into another's queue": lambda channel: publish(channel, "orders", exchange=""),
    "take another's messages": lambda channel: channel.basic_get("orders"),
    "look into another's dead letters": lambda channel: channel.basic_get("orders.dead"),
    "delete another's queue": lambda channel: channel.queue_delete("orders"),
    "empty another's queue": lambda channel: channel.queue_purge("orders"),
    "hear what it has no use for": lambda channel: channel.queue_bind(
        "payments", "microworkflows", "shipping.shipment_scheduled.v1"
    ),
    "hear everything": lambda channel: channel.queue_bind("payments", "microworkflows", "#"),
    "hear everything by an exchange of its own": lambda channel: (
        channel.exchange_declare("spy.payments.pidbox", "fanout"),
        channel.exchange_bind("spy.payments.pidbox", "microworkflows", "#"),
    ),
    "delete what all share": lambda channel: channel.exchange_delete("microworkflows"),
    "declare what all share": lambda channel: channel.exchange_declare(
        "microworkflows", "topic", durable=True
    ),
    "free its own queue of its limits": lambda channel: channel.queue_delete("payments"),
    "delete its own dead letters": lambda channel: channel.queue_delete("payments.dead"),
    "put a message into another's dead letters": lambda channel: publish(channel, "orders.dead"),
    "stop another's workers": lambda channel: publish(channel, "", exchange="orders.pidbox"),
    "make a queue of another name": lambda channel: channel.queue_declare("ledger"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_broker_lets_no_service_do_more_than_it_must(what: str, users: dict[str, str]) -> None:
    with Connection(users["orders"]) as connection:
        # What a worker of orders makes, to be controlled by.
        Exchange("orders.pidbox", type="fanout", durable=False)(connection.channel()).declare()

    with Connection(users["payments"]) as connection, pytest.raises(amqp.AccessRefused):
        REFUSED[what](connection.channel())


def test_broker_lets_a_service_do_what_it_must(users: dict[str, str]) -> None:
    with Connection(users["payments"]) as connection:
        channel: Any = connection.channel()

        publish(channel, "payments.payment_received.v1")
        publish(channel, "payments")
        publish(channel, "payments.dead")
        channel.exchange_declare("microworkflows", "topic", passive=True)
        for queue in ("payments", "payments.dead"):
            channel.queue_declare(queue, passive=True)
        channel.queue_bind("payments", "microworkflows", "orders.order_accepted.v1")

        assert channel.basic_get("payments") is not None
        assert channel.basic_get("payments.dead") is not None


@pytest.fixture(scope="module")
def users() -> Iterator[dict[str, str]]:
    """Yield the URL of each service's user, in a virtual host of this module's own."""
    with services.broker_users() as brokers:
        yield brokers


def publish(channel: Any, routing_key: str, *, exchange: str = "microworkflows") -> None:
    """Publish, and wait for the broker's answer."""
    channel.confirm_select()
    channel.basic_publish(amqp.Message("{}"), exchange=exchange, routing_key=routing_key)
    channel.wait(Basic.Ack)
