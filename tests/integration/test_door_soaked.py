"""Thousands of messages, valid, mutated and hostile, among valid orders: each is handled once, or in one visible place."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from microworkflows.cloudevents import CONTENT_TYPE, CloudEvent
from microworkflows.errors import InvalidCloudEventError
from microworkflows.models import InboxEvent
from tests import soaking
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher, pool_of
from tests.integration.support.waiting import eventually
from tests.soaking import Report

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.slow, pytest.mark.soak]

SEED = 20_261_126
MESSAGES = soaking.times(5_000)
AT_ONCE = 500
QUEUES = ["probe", "echo"]

Sent = tuple[bytes, dict[str, Any]]
"""Body and properties of a message."""


def valid(chance: random.Random) -> Sent:
    return cloud_event(
        number=chance.randrange(1000), text="".join(chance.choices("aé☕\n", k=20))
    ).encode(), {}


def mutated(chance: random.Random) -> Sent:
    """Return a valid event of which some bytes were changed, doubled or left out."""
    body = bytearray(valid(chance)[0])
    for _ in range(chance.choice([1, 1, 2, 5, 30])):
        at = chance.randrange(len(body))
        match chance.randrange(4):
            case 0:
                body[at] = chance.randrange(256)
            case 1:
                del body[at : at + chance.randrange(1, 20)]
            case 2:
                body[at:at] = body[at : at + chance.randrange(1, 200)]
            case 3:
                body[at:at] = chance.choice([b"\\u0000", b"1e999", b"[[[[", b"null", b'"', b"\xff", b"NaN"])
    return bytes(body), {}


def hostile(chance: random.Random) -> Sent:
    """Return one that is made to hurt."""
    body, depth = valid(chance)[0], chance.choice([60, 100, 300, 480, 600, 900, 5_000])
    at_depth = body.replace(b'"text":', b'"deep": ' + b"[" * depth + b"]" * depth + b', "text":')
    long_id = json.dumps({**json.loads(body), chance.choice(["id", "correlationid"]): random_text(chance)})
    headers: dict[str, Any] = chance.choice(
        [
            {"expires": "2000-01-01T00:00:00+00:00"},
            {"eta": "2099-01-01T00:00:00+00:00"},
            {"x-delivery-count": chance.choice(["abc", 99, -1, {"a": []}])},
            {"microworkflows-attempt": chance.choice(["x", 2**62, -5, 3])},
            {"task": "probe.write", "id": "1"},
            {"compression": chance.choice(["application/x-gzip", "nonsense", 7])},
            {"timelimit": [0.0001, 0.0001], "retries": "x", "group": {}, "stamps": 7},
            {"ce-id": "2", "ce-specversion": "1.0"},
        ]
    )
    content_type = chance.choice(
        [
            "application/json",
            "application/x-python-serialize",
            "application/cloudevents-batch+json",
            "",
            "x/y",
        ]
    )
    encoding = chance.choice(["punycode", "utf-16", "hex", "nonsense", "utf-7"])
    messages: list[Sent] = [
        (at_depth, {}),
        (long_id.encode(), {}),
        (body, {"application_headers": headers}),
        (body, {"content_type": content_type}),
        (body, {"content_encoding": encoding, "reply_to": "nowhere", "correlation_id": "x"}),
        (chance.randbytes(chance.randrange(2_000)), {}),
        (body.replace(b'"text"', b'"' + b"x" * 1_100_000 + b'"'), {}),
    ]
    return chance.choice(messages)


def random_text(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefgh\n\x1b☕", k=chance.choice([300, 4_000, 200_000])))


def generated(chance: random.Random) -> Iterator[Sent]:
    makers: list[Callable[[random.Random], Sent]] = [valid, mutated, mutated, hostile]
    while True:
        yield chance.choice(makers)(chance)


def expected(sent: Sent) -> UUID | None:
    """Return the id under which the inbox must have a message; None if it must be a dead letter."""
    body, properties = sent
    headers = properties.get("application_headers", {})
    if {"task", "compression"} & headers.keys() or properties.get(
        "content_type", CONTENT_TYPE
    ) != CONTENT_TYPE:
        return None
    try:
        return CloudEvent.from_json(body).meta.id if body else None
    except InvalidCloudEventError:
        return None


def test_every_message_is_handled_once_or_in_one_visible_place(
    launch: Launcher, broker: Broker, soaked: Report
) -> None:
    chance = random.Random(SEED)
    worker = launch.worker("probe,echo", "-c", "2", MICROWORKFLOWS={"MAX_ATTEMPTS": 1})
    messages = generated(chance)
    asked, dead, to_keep = [], Counter[str](), set[UUID]()
    first_pool = set(pool_of(worker.pid))

    for start in range(0, MESSAGES, AT_ONCE):
        to_die = set()
        with broker.publishing() as publish:
            for _ in range(AT_ONCE):
                sent, queue, name = next(messages), chance.choice(QUEUES), str(uuid4())
                body, properties = sent
                publish(body, queue=queue, message_id=name, **properties)
                if (event_id := expected(sent)) is None:
                    to_die.add(name)
                else:
                    to_keep.add(event_id)
        asked += ask(20, start=start)
        seen: set[str] = set()
        while len(seen) < len(to_die):
            seen |= eventually(partial(taken, broker, dead), what="the next dead letters")
        assert seen == to_die

    orders = {str(meta.id) for meta in asked}
    kept = {str(event_id) for event_id in to_keep}
    eventually(
        lambda: orders <= set(effects()) and orders <= set(effects("echo.hear")) and kept <= received(),
        what="all orders handled, and every event in an inbox",
        progress=lambda: (len(effects()), len(received())),
    )
    assert received() == orders | kept
    assert all(row.error for row in InboxEvent.objects.parked())
    assert not InboxEvent.objects.waiting().exists()
    assert set(dead.values()) == {1}
    assert worker.status is None, worker.output[-5000:]
    assert set(pool_of(worker.pid)) == first_pool, "no process of the pool died either"
    soaked(messages=MESSAGES, dead_letters=len(dead), kept=len(kept), orders=len(orders))


def taken(broker: Broker, count: Counter[str]) -> set[str]:
    """Take the dead letters that are there; return their names."""
    names = []
    with broker.channel() as channel:
        for queue in QUEUES:
            while (message := channel.basic_get(f"{queue}.dead", no_ack=True)) is not None:
                names.append(message.properties["message_id"])
    count.update(names)
    return set(names)


def received() -> set[str]:
    """Return the ids of the events in the inboxes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT split_part(msg_id, ':', 2) FROM received")
        return {event_id for (event_id,) in cursor.fetchall()}
