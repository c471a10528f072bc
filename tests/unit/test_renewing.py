"""Copies of messages that came back often: what they keep, and what they leave behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from kombu import Connection, Queue

from microworkflows import embedded, topology
from microworkflows.topology import DELIVERY_COUNT
from microworkflows.worker import deaths, renewing
from microworkflows.worker.renewing import Copy


def message(headers: dict[str, Any] | None = None, **properties: Any) -> Any:
    return SimpleNamespace(
        body=b"{}",
        content_type="application/cloudevents+json",
        content_encoding="utf-8",
        headers=headers,
        properties=properties,
    )


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


def test_copy_keeps_the_publishers_headers_and_leaves_the_brokers() -> None:
    original = message(
        {"attempt": 3, DELIVERY_COUNT: 12, "x-death": [{}], "x-first-death-reason": "rejected"},
        message_id="m",
        expiration="1000",
    )
    connection = mock.Mock(userid="orders")
    channel = connection.channel()

    renewing.publish(connection, [Copy(original, "desk", 2)])

    prepared = channel.prepare_message.call_args
    assert prepared.args == (b"{}",)
    assert prepared.kwargs["headers"] == {"attempt": 3, renewing.HEADER: 2}
    assert prepared.kwargs["properties"] == {"message_id": "m", "delivery_mode": 2}
    published = channel.basic_publish_confirm.call_args.kwargs
    assert (published["exchange"], published["routing_key"]) == ("microworkflows", "desk")
    assert published["mandatory"] is True


def test_copy_is_sent_as_the_user_who_sends_it() -> None:
    connection = mock.Mock(userid="orders")

    renewing.publish(connection, [Copy(message({}, user_id="payments"), "desk", 1)])

    assert connection.channel().prepare_message.call_args.kwargs["properties"]["user_id"] == "orders"


def test_deaths_are_counted_by_message_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "_MOST", 2)
    monkeypatch.setattr(deaths, "_seen", {})

    for each in ("a", "b", "a", "c"):
        deaths.note(each)

    assert [deaths.seen(each) for each in "abc"] == [2, 0, 1]


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
