"""A compromised service: what it tries with its rights at the broker, and what becomes of it. Nothing here is simulated.

Payments is the attacker, inventory the victim: it must not set goods aside for an order that orders never accepted.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import amqp
import pytest
from amqp.spec import Basic
from celery import Celery
from kombu import Connection

from microworkflows import dead_letters, trust
from microworkflows.cloudevents import CONTENT_TYPE
from tests import servers
from tests.acceptance import services
from tests.acceptance.services import Services
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.postgres, pytest.mark.rabbitmq]

ACCEPTED, RECEIVED = "orders.order_accepted.v1", "payments.payment_received.v1"
OWN = "evil.payments.pidbox"
"""A name that payments may use for queues and exchanges: so are those called by which its workers are controlled."""

Attack = Callable[[Any, amqp.Message], object]


@pytest.fixture(scope="module")
def brokers() -> Iterator[dict[str, str]]:
    with services.broker_users() as urls:
        yield urls


@pytest.fixture(scope="module")
def inventory(brokers: dict[str, str]) -> Iterator[Services]:
    """Yield inventory as a service, with a worker that runs."""
    folder = servers.SCRATCH / "trust"
    folder.mkdir()
    with services.databases(["inventory"]) as databases:
        running = Services(folder, databases=databases, brokers=brokers)
        running.prepare()
        try:
            running.start_workers()
            yield running
        finally:
            running.end()


@pytest.fixture
def payments(brokers: dict[str, str]) -> Iterator[Any]:
    """Yield a channel with all the rights that payments has."""
    with Connection(brokers["payments"]) as connection:
        yield connection.channel()
        channel: Any = connection.channel()
        channel.queue_delete(OWN)
        channel.exchange_delete(OWN)


def order(order_id: str, **attributes: Any) -> str:
    """Return the text of an event that only orders may announce."""
    lines = [{"sku": "TEA-SENCHA-100", "quantity": 1}]
    event = {"specversion": "1.0", "id": str(uuid4()), "source": "/orders", "type": ACCEPTED}
    return json.dumps({**event, "data": {"order_id": order_id, "lines": lines}, **attributes})


def message(body: str | bytes, *, headers: dict[str, Any] | None = None, **properties: Any) -> amqp.Message:
    return amqp.Message(
        body, content_type=CONTENT_TYPE, delivery_mode=2, application_headers=headers or {}, **properties
    )


def publish(channel: Any, sent: amqp.Message, routing_key: str, *, exchange: str = "microworkflows") -> None:
    """Publish, and wait for the broker's answer."""
    channel.confirm_select()
    channel.basic_publish(sent, exchange=exchange, routing_key=routing_key)
    channel.wait(Basic.Ack)


def user_of(url: str) -> str:
    return str(Connection(url).userid)


def reserved(inventory: Services, order_id: str) -> bool:
    return bool(
        inventory.ask("inventory", "SELECT 1 FROM inventory_reservation WHERE order_id = %s", order_id)
    )


def dead_letter(brokers: dict[str, str]) -> amqp.Message:
    """Take the one dead letter that inventory has, as soon as it is there."""
    with Connection(brokers["inventory"]) as connection:
        channel: Any = connection.channel()
        letter: amqp.Message = eventually(
            lambda: channel.basic_get("inventory.dead", no_ack=True), what="a dead letter"
        )
        assert channel.basic_get("inventory.dead", no_ack=True) is None
        return letter


def count_dead_letters(brokers: dict[str, str]) -> int:
    """Return how many dead letters inventory has."""
    with Connection(brokers["inventory"]) as connection:
        channel: Any = connection.channel()
        return int(channel.queue_declare("inventory.dead", passive=True).message_count)


# Ways of a forged event to inventory's queue


def under_its_own_key(channel: Any, forged: amqp.Message) -> None:
    publish(channel, forged, RECEIVED)


def with_copies(header: str, key: str) -> Attack:
    def attack(channel: Any, forged: amqp.Message) -> None:
        publish(channel, message(forged.body, headers={header: [key]}), "payments.of_no_interest.v1")

    return attack


def by_a_dead_letter_exchange(key: str) -> Attack:
    def attack(channel: Any, forged: amqp.Message) -> None:
        channel.exchange_declare(OWN, "fanout", auto_delete=False)
        dead = {"x-dead-letter-exchange": "microworkflows", "x-dead-letter-routing-key": key}
        channel.queue_declare(OWN, arguments={**dead, "x-message-ttl": 0}, auto_delete=False)
        channel.queue_bind(OWN, OWN)
        publish(channel, forged, "", exchange=OWN)

    return attack


def by_an_exchange_that_is_bound(key: str) -> Attack:
    def attack(channel: Any, forged: amqp.Message) -> None:
        channel.exchange_declare(OWN, "topic", auto_delete=False)
        channel.exchange_bind("microworkflows", OWN, "#")
        publish(channel, forged, key, exchange=OWN)

    return attack


def by_an_alternate_exchange(channel: Any, forged: amqp.Message) -> None:
    channel.exchange_declare(
        OWN, "topic", auto_delete=False, arguments={"alternate-exchange": "microworkflows"}
    )
    publish(channel, forged, ACCEPTED, exchange=OWN)


WAYS: dict[str, Attack] = {
    "under its own key": under_its_own_key,
    "with CC": with_copies("CC", ACCEPTED),
    "with BCC": with_copies("BCC", ACCEPTED),
    "with CC, as if to be retried": with_copies("CC", "inventory"),
    "with BCC, as if to be retried": with_copies("BCC", "inventory"),
    "by a dead-letter exchange": by_a_dead_letter_exchange(ACCEPTED),
    "by a dead-letter exchange, as if to be retried": by_a_dead_letter_exchange("inventory"),
    "by an exchange that is bound": by_an_exchange_that_is_bound(ACCEPTED),
    "by an exchange that is bound, as if to be retried": by_an_exchange_that_is_bound("inventory"),
    "by an alternate exchange": by_an_alternate_exchange,
}


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(False, id="naming nobody"),
        pytest.param(True, id="naming itself", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_service_cannot_announce_what_is_anothers(
    way: str, named: bool, inventory: Services, brokers: dict[str, str], payments: Any
) -> None:
    order_id = str(uuid4())
    user: dict[str, Any] = {"user_id": user_of(brokers["payments"])} if named else {}

    try:
        WAYS[way](payments, message(order(order_id), **user))
    except amqp.AccessRefused:
        pass  # RabbitMQ checks more in some versions than in others
    else:
        letter = dead_letter(brokers)
        assert json.loads(letter.body)["data"]["order_id"] == order_id
        assert re.match(
            r"The routing key is|.* was published by", (letter.headers or {})[dead_letters.REASON]
        )
    assert not reserved(inventory, order_id)


def test_same_event_is_believed_from_its_own_announcer(inventory: Services, brokers: dict[str, str]) -> None:
    order_id = str(uuid4())

    with Connection(brokers["orders"]) as connection:
        publish(connection.channel(), message(order(order_id), user_id=user_of(brokers["orders"])), ACCEPTED)

    eventually(lambda: reserved(inventory, order_id), what="the effect of a genuine event")


def test_service_cannot_name_anothers_user(brokers: dict[str, str], payments: Any) -> None:
    with pytest.raises(amqp.PreconditionFailed, match="user_id"):
        publish(payments, message(order(str(uuid4())), user_id=user_of(brokers["orders"])), RECEIVED)


def test_service_cannot_speak_in_anothers_name(inventory: Services, brokers: dict[str, str]) -> None:
    """Its own type and key, and the source of another."""
    order_id = str(uuid4())
    body = order(order_id, type=RECEIVED)

    with Connection(brokers["payments"]) as connection:
        publish(connection.channel(), message(body, user_id=user_of(brokers["payments"])), RECEIVED)

    assert json.loads(dead_letter(brokers).body)["data"]["order_id"] == order_id
    assert f"{RECEIVED} of /orders with the routing key {RECEIVED} was published by" in inventory.said()


@pytest.mark.parametrize("key", [ACCEPTED, "inventory"])
def test_genuine_event_that_a_service_sends_on_takes_effect_once(
    key: str, inventory: Services, brokers: dict[str, str], payments: Any
) -> None:
    """What it may hear it may send on, unchanged: by its type it is a duplicate, as if to be retried it is refused."""
    order_id, duplicates = str(uuid4()), inventory.said().count("is a duplicate")
    dead = {"x-dead-letter-exchange": "microworkflows", "x-dead-letter-routing-key": key}
    payments.queue_declare(OWN, arguments={**dead, "x-message-ttl": 0}, auto_delete=False)
    payments.queue_bind(OWN, "microworkflows", ACCEPTED)

    with Connection(brokers["orders"]) as connection:
        sent = message(order(order_id), user_id=user_of(brokers["orders"]))
        publish(connection.channel(), sent, ACCEPTED)

    eventually(lambda: reserved(inventory, order_id), what="the effect of a genuine event")
    if key == "inventory":
        assert json.loads(dead_letter(brokers).body)["data"]["order_id"] == order_id
    else:
        eventually(lambda: inventory.said().count("is a duplicate") > duplicates, what="the duplicate")


@pytest.mark.parametrize(
    "key", [pytest.param(ACCEPTED, id="refused"), pytest.param("inventory.dead", id="planted")]
)
def test_forged_event_is_not_believed_because_it_was_requeued(
    key: str, inventory: Services, brokers: dict[str, str], payments: Any
) -> None:
    order_id = str(uuid4())
    forged = message(order(order_id), headers={trust.PUBLISHER: user_of(brokers["orders"])})
    by_an_exchange_that_is_bound(key)(payments, forged)
    eventually(lambda: count_dead_letters(brokers) == 1)
    refused = inventory.said().count("dead letter in inventory.dead")

    inventory.run("inventory", "python manage.py dead_letters --requeue --all")

    eventually(lambda: inventory.said().count("dead letter in inventory.dead") == refused + 1)
    assert json.loads(dead_letter(brokers).body)["data"]["order_id"] == order_id
    assert not reserved(inventory, order_id)


@pytest.mark.slow
def test_genuine_event_is_believed_when_it_is_requeued(inventory: Services, brokers: dict[str, str]) -> None:
    order_id = str(uuid4())
    celery = Celery(broker=brokers["inventory"], set_as_current=False)
    celery.conf.control_exchange = "inventory"
    celery.control.cancel_consumer("inventory", reply=True, timeout=20, limit=1)
    with Connection(brokers["orders"]) as connection:
        sent = message(order(order_id), user_id=user_of(brokers["orders"]))
        publish(connection.channel(), sent, ACCEPTED)
    with Connection(brokers["inventory"]) as connection:  # as the broker does after 20 deaths of a process
        channel: Any = connection.channel()
        channel.basic_reject(channel.basic_get("inventory").delivery_tag, requeue=False)
    eventually(lambda: count_dead_letters(brokers) == 1)

    inventory.run("inventory", "python manage.py dead_letters --requeue --all")
    celery.control.add_consumer("inventory", reply=True, timeout=20, limit=1)
    celery.close()

    eventually(lambda: reserved(inventory, order_id), what="the effect of a genuine event")
