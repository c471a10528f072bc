"""The names of queues at the broker: a prefix before each, and labels wherever people and the kit name a queue."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker.consumer import Consumer
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection, Message
from pytest_django import Settings

from microworkflows import conf, definitions, embedded, topology, worker
from microworkflows.checks import surroundings
from microworkflows.cloudevents import ATTEMPT_HEADER, CONTENT_TYPE
from microworkflows.errors import ForeignQueueError, InvalidCloudEventError
from microworkflows.ids import uuid7
from microworkflows.relay import publisher
from microworkflows.worker import admission
from microworkflows.worker.consumer import EventConsumer

ACCEPTED = "orders.order_accepted.v1"


@pytest.fixture
def prefixed(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"PREFIX": "shop."}


def test_names_are_labels_without_a_prefix() -> None:
    assert topology.by_name() == {label: label for label in topology.queues()}
    assert topology.exchange().name == "microworkflows"
    assert topology.dead_letter_name("payments") == "payments.dead"


@pytest.mark.usefixtures("prefixed")
def test_prefix_stands_before_every_name_and_in_every_key_of_a_queue() -> None:
    queue, dead = topology.queue("payments"), topology.dead_letters("payments")

    assert (queue.name, dead.name) == ("shop.payments", "shop.payments.dead")
    assert topology.exchange().name == "shop.microworkflows"
    assert topology.owner("payments").name == "shop.payments.owner"
    bindings: list[Any] = [*queue.bindings, *dead.bindings]
    assert {bound.exchange.name for bound in bindings} == {"shop.microworkflows"}
    own_keys = {bound.routing_key for bound in bindings if not bound.routing_key.endswith(".v1")}
    assert own_keys == {"shop.payments", "shop.payments.dead"}
    assert (queue.queue_arguments or {})["x-dead-letter-routing-key"] == "shop.payments.dead"


@pytest.mark.parametrize("prefix", ["shop/", "shöp.", "a,b", "a b", "#", "x" * 101, None])
def test_prefix_of_other_characters_or_length_is_refused(settings: Settings, prefix: object) -> None:
    settings.MICROWORKFLOWS = {"PREFIX": prefix}

    with pytest.raises(ImproperlyConfigured, match="PREFIX"):
        conf.current()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"PREFIX": "amq."}, r"'amq\.\w+\.?\w+': it begins with 'amq\.'"),
        ({"EXCHANGE": "x" * 256}, "256 bytes, and AMQP allows 255"),
    ],
    ids=["reserved", "too long"],
)
def test_name_that_the_broker_would_refuse_is_found(
    settings: Settings, given: dict[str, str], why: str
) -> None:
    settings.MICROWORKFLOWS = given

    (problem,) = surroundings.check_names()

    assert problem.id == "microworkflows.E060"
    assert re.search(why, problem.msg)
    with pytest.raises(SystemExit, match="E060"):
        surroundings.guard_worker(SimpleNamespace(app=_app("-Q", "payments")))


def _app(option: str = "", names: str = "") -> Celery:
    """Return the app of a worker that starts with an option of its queues."""
    app = Celery("own", set_as_current=False, broker="amqp://")
    worker.setup(app)
    worker._declare_queues(SimpleNamespace(app=app))
    queues: Any = app.amqp.queues
    if option == "-Q":
        queues.select(names.split(","))
    if option == "-X":
        queues.deselect(names.split(","))
    return app


@pytest.mark.usefixtures("prefixed")
@pytest.mark.parametrize(
    ("typed", "consumed"),
    [
        ("payments", ["shop.payments"]),
        ("shop.payments", ["shop.payments"]),
        ("payments,shop.payments,celery", ["shop.payments", "celery"]),
        ("paymentz", ["paymentz"]),
    ],
)
def test_worker_takes_labels_and_names_and_leaves_others_to_celery(typed: str, consumed: list[str]) -> None:
    queues: Any = _app("-Q", typed).amqp.queues

    assert [queue.name for queue in queues.consume_from.values()] == consumed
    assert topology.among(queues.consume_from) == ["payments"] * ("shop.payments" in consumed)


@pytest.mark.usefixtures("prefixed")
def test_worker_leaves_out_a_queue_by_its_label() -> None:
    queues: Any = _app("-X", "payments").amqp.queues

    assert "shop.payments" not in queues.consume_from
    assert "shop.orders" in queues.consume_from


@pytest.mark.usefixtures("prefixed")
@pytest.mark.parametrize("command", ["add_task_queue", "cancel_task_queue"])
def test_worker_is_told_by_label_to_consume_a_queue_or_to_stop(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Consumer, command, lambda self, queue, *args, **kwargs: asked.append(queue))
    consumer = EventConsumer.__new__(EventConsumer)

    for typed in ("payments", "shop.payments", "celery"):
        getattr(consumer, command)(typed)

    assert asked == ["shop.payments", "shop.payments", "celery"]


@pytest.mark.usefixtures("prefixed")
@pytest.mark.parametrize("queue", ["payments", "shop.payments"])
def test_own_task_at_a_contexts_queue_is_found_by_label_and_name(
    monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    app = _app()
    app.conf.task_routes = {"own.task": {"queue": queue}}
    monkeypatch.setattr("microworkflows.celery_app.get", lambda: app)

    (problem,) = surroundings.check_routes()

    assert problem.id == "microworkflows.E037"
    assert "the context 'payments'" in problem.msg


@pytest.mark.usefixtures("prefixed")
def test_message_that_is_brought_back_comes_by_the_queues_name_at_the_broker() -> None:
    came = [_came(by=key) for key in (ACCEPTED, "shop.payments")]

    for message in came:
        admission.admit(message, queue="payments")

    assert [message.payload["kwargs"] for message in came] == [
        {"queue": "payments", "attempt": None},
        {"queue": "payments", "attempt": 2},
    ]
    with pytest.raises(InvalidCloudEventError, match=r"'shop\.payments'"):
        admission.admit(_came(by="payments"), queue="payments")


def _came(*, by: str) -> Message:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid7()),
        "source": "/orders",
        "type": ACCEPTED,
        "correlationid": "A-1",
        "data": {},
    }
    headers: Any = {ATTEMPT_HEADER: 2}
    return Message(
        body=json.dumps(event),
        content_type=CONTENT_TYPE,
        headers=headers,
        delivery_info={"routing_key": by, "redelivered": False},
    )


@pytest.mark.usefixtures("prefixed")
def test_definitions_for_the_broker_bear_the_prefix() -> None:
    found = definitions.definitions(vhost="/")

    names = [one["name"] for kind in ("exchanges", "queues") for one in found[kind]]
    assert all(name.startswith("shop.") for name in names)
    (may,) = [one for one in found["permissions"] if one["user"] == "payments"]
    for name in ("shop.payments.owner", "shop.payments.pidbox", "shop.payments.celeryev"):
        assert re.search(may["configure"], name)
    for name in ("shop.payments", "shop.payments.dead", "shop.microworkflows"):
        assert re.search(may["write"], name)
        assert re.search(may["read"], name)
        assert not re.search(may["configure"], name)
    for name in ("payments", "payments.dead", "payments.owner", "microworkflows", "inn.payments"):
        assert not any(re.search(may[right], name) for right in ("configure", "write", "read"))
    (keys,) = [one for one in found["topic_permissions"] if one["user"] == "payments"]
    written = ["shop.payments", "shop.payments.dead", "payments.payment_received.v1"]
    for key in (*written, "payments", "shop.orders", "shop.payments.x", "orders.order_accepted.v1"):
        assert bool(re.search(keys["write"], key)) == (key in written)


# Two projects in one folder of the embedded broker


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Any]:
    embedded.register()
    with Connection(f"embedded://{tmp_path / 'broker'}") as connection:
        channel: Any = connection.channel()
        topology.declare(channel)
        yield channel


def _publish(channel: Any) -> None:
    made, _ = publisher.connect(channel.connection.client.clone(), name="orders", waits=lambda: True)
    outcome = made.settle(made.send([publisher.Message(uuid7(), ACCEPTED, "{}")]))
    made.close()
    assert len(outcome.confirmed) == 1


def test_projects_with_a_prefix_each_get_their_own_events_in_one_folder(
    channel: Any, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"PREFIX": "inn."}
    topology.declare(channel)

    _publish(channel)

    assert (channel._size("inn.payments"), channel._size("payments")) == (1, 0)
    settings.MICROWORKFLOWS = {}
    _publish(channel)
    assert (channel._size("inn.payments"), channel._size("payments")) == (1, 1)


def test_queue_of_another_project_is_refused_in_one_folder(channel: Any, settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"EXCHANGE": "another"}

    with pytest.raises(
        ForeignQueueError, match=r"'\w+' belongs to another project.*'another'.*'microworkflows'"
    ):
        topology.declare(channel)
    with pytest.raises(ForeignQueueError):
        publisher.connect(channel.connection.client.clone(), name="orders", waits=lambda: True)

    assert "another" not in channel.get_exchanges()


def test_folder_of_an_earlier_version_belongs_to_the_first_who_comes(
    channel: Any, settings: Settings
) -> None:
    for label in topology.queues():
        channel.exchange_delete(topology.owner_name(label))

    topology.declare(channel)

    settings.MICROWORKFLOWS = {"EXCHANGE": "another"}
    with pytest.raises(ForeignQueueError):
        topology.declare(channel)
