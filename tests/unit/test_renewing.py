"""Copies of messages that came back often: what they keep, and what they leave behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from kombu import Connection, Queue

from microworkflows import embedded, topology, trust
from microworkflows.topology import DELIVERY_COUNT
from microworkflows.worker import deaths, renewing
from microworkflows.worker.renewing import Copy


def message(headers: dict[str, Any] | None = None, *, redelivered: bool = True, **properties: Any) -> Any:
    return SimpleNamespace(
        body=b"{}",
        content_type="application/cloudevents+json",
        content_encoding="utf-8",
        headers=headers or {},
        properties=properties,
        delivery_info={"redelivered": redelivered},
    )


def broker() -> mock.Mock:
    """Return a stand-in for a connection to RabbitMQ."""
    connection = mock.Mock(userid="orders", login_method=None)
    connection.transport.driver_type = "amqp"
    connection.transport.default_connection_params = {"userid": "guest"}
    return connection


@pytest.mark.parametrize(
    ("headers", "due"),
    [
        (None, False),
        ({DELIVERY_COUNT: 9}, False),
        ({DELIVERY_COUNT: 10}, True),
        ({DELIVERY_COUNT: "99"}, False),
    ],
)
def test_copy_is_due_at_half_of_the_deliveries_that_the_broker_grants(
    headers: dict[str, Any] | None, due: bool
) -> None:
    assert renewing.is_due(message(headers)) is due
    assert not renewing.is_due(message(headers, redelivered=False)), "a count that a publisher wrote"


def test_copy_keeps_the_publishers_headers_and_leaves_the_brokers() -> None:
    original = message(
        {"attempt": 3, DELIVERY_COUNT: 12, "CC": ["other"]},
        message_id="m",
        expiration="1000",
    )
    connection = broker()
    channel = connection.channel()

    renewing.publish(connection, [Copy(original, "desk", 2)])

    prepared = channel.prepare_message.call_args
    assert prepared.args == (b"{}",)
    assert prepared.kwargs["headers"].items() >= {"attempt": 3, renewing.HEADER: 2}.items()
    assert not prepared.kwargs["headers"].keys() & {DELIVERY_COUNT, "CC"}
    assert prepared.kwargs["properties"] == {"message_id": "m", "delivery_mode": 2, "user_id": "orders"}
    published = channel.basic_publish_confirm.call_args.kwargs
    assert (published["exchange"], published["routing_key"]) == ("microworkflows", "desk")
    assert published["mandatory"] is True


def test_copy_is_sent_as_the_user_who_sends_it() -> None:
    connection = broker()

    renewing.publish(connection, [Copy(message({}, user_id="payments"), "desk", 1)])

    sent = connection.channel().prepare_message.call_args.kwargs
    assert sent["properties"]["user_id"] == "orders"
    assert sent["headers"][trust.PUBLISHER] == "payments"


def test_deaths_are_counted_by_message_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "_MOST", 2)
    monkeypatch.setattr(deaths, "_seen", {})

    for each in ("a", "b", "a", "c"):
        deaths.note(each)

    assert [deaths.seen(each) for each in "abc"] == [2, 0, 1]


def test_message_is_deadly_from_its_third_death_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "_seen", {})
    deadly = []

    for _ in range(4):
        deaths.note("a")
        deadly.append(deaths.is_deadly("a"))

    assert deadly == [False, False, True, True]
    assert not deaths.is_deadly("b")


def test_copy_in_the_embedded_broker_is_the_message_anew(tmp_path: Path) -> None:
    embedded.register()
    with Connection(f"embedded://{tmp_path}") as connection:
        channel: Any = connection.channel()
        events = topology.exchange()(channel)
        events.declare()
        Queue("desk", topology.exchange(), routing_key="desk")(channel).declare()
        channel.Producer().publish(
            b'{"caf\xc3\xa9": 1}', exchange=events.name, routing_key="desk", content_type="a/b"
        )
        original = channel.basic_get("desk")

        renewing.publish(connection, [Copy(original, "desk", 1)])
        original.ack()

        copy = channel.basic_get("desk")
        assert (copy.body, copy.content_type, copy.headers) == (original.body, "a/b", {renewing.HEADER: 1})
        assert channel.basic_get("desk") is None
