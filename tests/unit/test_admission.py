"""What an event queue lets in, before anything is called."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import NAMESPACE_URL, uuid5

import pytest
from celery.exceptions import Reject
from cloudevents.core.bindings import amqp, rabbitmq
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as SdkEvent
from django.db import OperationalError
from kombu import Message

from microworkflows import holds, inbox
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import InvalidCloudEventError
from microworkflows.worker import admission, tasks

EVENT = {"specversion": "1.0", "id": "1", "source": "/tills", "type": "tills.closed.v1", "data": {"till": 7}}


@pytest.fixture(autouse=True)
def nothing_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no task look for holds: these tests have no database."""
    monkeypatch.setattr(holds, "look", lambda: None)


def _message(
    body: Any,
    headers: dict[str, Any] | None = None,
    *,
    content_type: str | None = "application/cloudevents+json",
    routing_key: str = "tills.closed.v1",
    redelivered: bool = False,
) -> Message:
    return Message(
        body=body if isinstance(body, bytes) else json.dumps(body),  # type: ignore[arg-type]  # AMQP's are bytes
        content_type=content_type,
        content_encoding="utf-8",
        headers=headers or {},
        properties={"reply_to": "elsewhere", "priority": 9},
        delivery_info={"routing_key": routing_key, "redelivered": redelivered},
    )


def _call(message: Message) -> dict[str, Any]:
    """Return the call that a message is let in as."""
    admission.admit(message, queue="desk")
    call: dict[str, Any] = message.payload
    return call


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        'Application/CloudEvents+JSON;charset="UTF-8"',
    ],
)
def test_cloudevent_becomes_a_call_of_the_receiving_task_for_this_context(content_type: str) -> None:
    call = _call(_message(EVENT, content_type=content_type))

    assert call["task"] == "microworkflows.receive"
    assert call["kwargs"] == {"queue": "desk", "attempt": None}
    assert call["args"][0]["data"] == {"till": 7}
    assert call["id"] == f"desk:{uuid5(NAMESPACE_URL, '/tills#1')}"
    assert call["shadow"] == "tills.closed.v1"


@pytest.mark.parametrize(
    ("redelivered", "deliveries", "last"),
    [
        (True, None, False),
        (True, 19, False),
        (True, 20, True),
        (False, 99, False),
        (True, "abc", False),
        (True, True, False),
        (True, -1, False),
        (True, [20], False),
    ],
)
def test_broker_alone_tells_which_delivery_is_the_last(
    redelivered: bool, deliveries: object, last: bool
) -> None:
    headers = {} if deliveries is None else {"x-delivery-count": deliveries}

    call = _call(_message(EVENT, headers, redelivered=redelivered))

    assert call["kwargs"].get("last_delivery", False) is last


@pytest.mark.parametrize(
    ("routing_key", "header", "attempt"),
    [
        ("desk", 3, 3),
        ("tills.closed.v1", 3, None),
        ("desk", "3", None),
        ("desk", -1, None),
        ("desk", 2**40, None),
    ],
)
def test_attempt_counts_only_if_it_came_by_the_queues_own_key(
    routing_key: str, header: object, attempt: int | None
) -> None:
    headers = {"microworkflows-attempt": header, "microworkflows-label": "desk.close_till"}

    call = _call(_message(EVENT, headers, routing_key=routing_key))

    assert call["kwargs"]["attempt"] == attempt
    assert ("label" in call["kwargs"]) == (attempt is not None)


@pytest.mark.parametrize("label", [None, 7, "", "\x00", "a\nb", "\ud800", "x" * 256, ["desk.close_till"]])
def test_label_that_is_no_name_is_not_believed(label: object) -> None:
    headers = {"microworkflows-attempt": 1, "microworkflows-label": label}

    assert "label" not in _call(_message(EVENT, headers, routing_key="desk"))["kwargs"]


def test_headers_and_properties_stay_outside() -> None:
    message = _message(
        EVENT,
        {"eta": "2099-01-01T00:00:00", "expires": "2000-01-01T00:00:00", "id": "stolen", "timelimit": [1, 1]},
    )

    call = _call(message)

    assert message.headers == message.properties == {}
    assert call.keys() == {"task", "id", "args", "kwargs", "shadow", "argsrepr", "kwargsrepr"}


@pytest.mark.parametrize("prefix", ["ce-", "cloudEvents:", "cloudEvents_"])
def test_binary_mode_is_read(prefix: str) -> None:
    attributes = {name: value for name, value in EVENT.items() if name != "data"}
    when = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  (py-amqp reads AMQP's timestamps so)
    headers = {
        f"{prefix}{name}": value for name, value in {**attributes, "time": when, "tenant": b"north"}.items()
    }

    call = _call(_message({"till": 7}, {"other": "x", **headers}, content_type="application/json"))

    event = CloudEvent.from_dict(call["args"][0])
    assert event.meta.original_id == "1"
    assert event.data == {"till": 7}
    assert event.meta.time == when.replace(tzinfo=UTC)
    assert event.extensions == {"tenant": "north"}


@pytest.mark.parametrize("binding", [rabbitmq, amqp])
@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_messages_of_the_sdk_are_read(binding: Any, mode: str) -> None:
    theirs = SdkEvent(
        {
            "type": "tills.closed.v1",
            "source": "https://tills.example/7",
            "subject": "till 7",
            "time": datetime(2026, 1, 2, tzinfo=UTC),
            "datacontenttype": "application/json",
        },
        {"till": 7},
    )
    write = {"binary": binding.to_binary, "structured": binding.to_structured}[mode]
    sent = write(theirs, JSONFormat())
    headers = getattr(sent, "headers", None) or getattr(sent, "application_properties", {})
    content_type = getattr(sent, "content_type", None) or sent.properties["content-type"]
    body = getattr(sent, "body", None) or sent.application_data

    event = CloudEvent.from_dict(_call(_message(body, dict(headers), content_type=content_type))["args"][0])

    assert (event.meta.original_id, event.meta.source) == (theirs.get_id(), "https://tills.example/7")
    assert (event.meta.type, event.meta.time) == ("tills.closed.v1", datetime(2026, 1, 2, tzinfo=UTC))
    assert (event.data, event.extensions) == ({"till": 7}, {"subject": "till 7"})


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (_message(EVENT, {"task": "shop.delete_everything"}), "A Celery task was sent to an event queue"),
        (_message({"task": "shop.delete_everything"}, content_type="application/json"), "content type"),
        (_message({"task": "shop.delete_everything"}), "specversion is None"),
        (_message([]), "JSON object"),
        (_message({**EVENT, "data": None}), "data is NoneType"),
        (_message(EVENT, {"compression": "application/x-gzip"}), "compressed"),
        (_message(b""), "empty"),
        (_message([EVENT], content_type="application/cloudevents-batch+json"), "batch"),
        (_message(EVENT, content_type="application/cloudevents+json; charset=utf-16"), "charset is 'utf-16'"),
        (_message(EVENT, content_type=None), "content type is None"),
        (_message({}, {"ce-id": "1", "ce-specversion": "1.0"}, content_type="text/xml"), "source is None"),
        (
            _message({}, {"ce-id": "1", "cloudEvents:id": "2"}, content_type="application/json"),
            "'id' twice",
        ),
        (_message({}, {"ce-id": b"\xff"}, content_type="application/json"), "not UTF-8"),
        (_message({}, {"ce-tenant": {"a": 1}}, content_type="application/json"), "tenant is dict"),
        (_message({}, {"ce-DATA": "1"}, content_type="application/json"), "lower-case"),
    ],
)
def test_anything_else_is_refused(message: Message, reason: str) -> None:
    with pytest.raises(InvalidCloudEventError, match=reason):
        admission.admit(message, queue="desk")


def test_task_waits_for_the_database_and_acks_nothing_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    answers: Any = iter([OperationalError("gone"), OperationalError("gone"), None])
    received = mock.Mock(side_effect=lambda *args, **kwargs: _raise_or_return(next(answers)))
    monkeypatch.setattr(inbox, "receive", received)
    monkeypatch.setattr(tasks, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(tasks, "_renew_connections", lambda: None)

    tasks.receive(EVENT, queue="desk")

    assert received.call_count == 3
    assert waits == [0.5, 1.0]


def test_bundle_that_met_a_database_that_is_away_is_received_one_by_one_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of its messages may be what the database cannot bear."""
    bundled = mock.Mock(side_effect=OperationalError("gone"))
    single = mock.Mock()
    monkeypatch.setattr(inbox, "receive_bundle", bundled)
    monkeypatch.setattr(inbox, "receive", single)
    monkeypatch.setattr(tasks, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(tasks, "_renew_connections", lambda: None)

    tasks.receive_bundle([EVENT, {**EVENT, "id": "2"}], queue="desk")

    bundled.assert_called_once()
    assert [call.args[0]["id"] for call in single.call_args_list] == ["1", "2"]


def test_task_gives_its_message_back_when_the_worker_stops_and_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "receive", mock.Mock(side_effect=OperationalError("gone")))
    monkeypatch.setattr(tasks, "_renew_connections", lambda: None)
    monkeypatch.setattr(tasks, "_stopping", bytearray(1))
    tasks._tell_the_pool()

    with pytest.raises(Reject) as given_back:
        tasks.receive(EVENT, queue="desk")

    assert vars(given_back.value)["requeue"] is True


def _raise_or_return(answer: Exception | None) -> None:
    if answer is not None:
        raise answer


def test_receiving_task_is_acked_late_and_never_acked_on_failure() -> None:
    assert tasks.receive.acks_late is True
    assert tasks.receive.reject_on_worker_lost is True
    assert tasks.receive.acks_on_failure_or_timeout is False
