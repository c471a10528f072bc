"""What an event queue lets in, before anything is called."""

import json
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import Reject
from django.db import OperationalError
from kombu import Message

from microworkflows import inbox
from microworkflows.errors import InvalidCloudEventError
from microworkflows.worker import admission, serializer, tasks

EVENT = {"specversion": "1.0", "id": "1", "source": "/tills", "type": "tills.closed.v1", "data": {"till": 7}}


def _message(body: Any, *, content_type: str = "application/cloudevents+json", **headers: Any) -> Message:
    return Message(
        body=json.dumps(body),
        content_type=content_type,
        content_encoding="utf-8",
        headers=headers,
        delivery_info={"routing_key": "desk"},
        accept={"application/cloudevents+json", "application/json"},
    )


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8"]
)
def test_cloudevent_becomes_a_call_of_the_receiving_task_for_this_context(content_type: str) -> None:
    message = _message(EVENT, content_type=content_type)

    admission.admit(message, queue="desk")

    call = message.payload
    assert call["task"] == "microworkflows.receive"
    assert call["kwargs"] == {"queue": "desk", "attempt": None}
    assert call["args"][0]["data"] == {"till": 7}
    assert call["id"] == f"desk:{call['args'][0]['id']}"
    assert call["shadow"] == "tills.closed.v1"


@pytest.mark.parametrize(("deliveries", "last"), [(None, False), (19, False), (20, True)])
def test_last_delivery_is_told_to_the_task(deliveries: int | None, last: bool) -> None:
    headers: dict[str, Any] = {} if deliveries is None else {"x-delivery-count": deliveries}
    message = _message(EVENT, **headers)

    admission.admit(message, queue="desk")

    assert message.payload["kwargs"].get("last_delivery", False) is last


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (_message(EVENT, task="shop.delete_everything"), "A Celery task was sent to an event queue"),
        (_message({"task": "shop.delete_everything"}, content_type="application/json"), "content type"),
        (_message({"task": "shop.delete_everything"}), "specversion is None"),
        (_message([]), "JSON object"),
        (_message({**EVENT, "data": None}), "data is NoneType"),
    ],
)
def test_anything_else_is_refused(message: Message, reason: str) -> None:
    with pytest.raises(InvalidCloudEventError, match=reason):
        admission.admit(message, queue="desk")


def test_serializer_is_known_to_kombu_under_the_content_type() -> None:
    from kombu.serialization import loads

    call = loads(
        json.dumps(EVENT), "application/cloudevents+json", "utf-8", accept=["application/cloudevents+json"]
    )

    assert call["task"] == serializer.TASK


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
