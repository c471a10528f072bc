"""Whatever a publisher writes on a message, the worker lives, its neighbours are handled, and the message is found."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any
from uuid import uuid4

import pytest
from amqp import spec
from celery import Celery

from microworkflows.cloudevents import CONTENT_TYPE
from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture(scope="module")
def running(shared_launch: Launcher) -> Process:
    return shared_launch.worker(
        "celery,probe",
        "-c",
        "2",
        CELERY_IMPORTS=["tests.integration.probe.tasks"],
        MICROWORKFLOWS={"RELAY_POLL": 0.1},
    )


@pytest.fixture
def worker(database: str, running: Process, shared_broker: Broker) -> Iterator[Process]:
    """Yield a worker that handles other events before, among and after what the test sends."""
    pid = running.pid
    asked = ask(5)
    yield running
    asked += ask(5)
    eventually(
        lambda: {str(meta.id) for meta in asked} <= set(effects()), what="the neighbours, each handled"
    )
    assert (running.status, running.pid) == (None, pid), running.output[-5000:]
    assert shared_broker.count("probe.dead") == 0, "the test took what it sent, and a neighbour is there"


def empty_of_one(broker: Broker) -> None:
    """Wait for a dead letter that no client can read, and delete it."""
    eventually(lambda: broker.count("probe.dead") == 1, what="one dead letter")
    with broker.channel() as channel:
        channel.queue_purge("probe.dead")


def nested(depth: int) -> str:
    """Return an event whose data nests so many lists."""
    return cloud_event(deep="@@").replace('"@@"', "[" * depth + "]" * depth)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nested(100), id="nested"),
        pytest.param(nested(500), id="nested as deep as JSON readers go"),
        pytest.param(cloud_event(large="x" * 1_100_000), id="large"),
        pytest.param(cloud_event(many="@@").replace('"@@"', f"[{'1e308,' * 4000}1]"), id="long numbers"),
    ],
)
def test_event_beyond_the_bounds_becomes_a_dead_letter(
    worker: Process, shared_broker: Broker, body: str
) -> None:
    shared_broker.publish(body)

    (seen,) = shared_broker.dead()
    assert seen.body.decode() == body


def test_correlation_ids_too_long_for_an_index_stop_nobody(worker: Process, shared_broker: Broker) -> None:
    for _ in range(2):
        event = {**json.loads(cloud_event()), "correlationid": "".join(str(uuid4()) for _ in range(120))}
        shared_broker.publish(json.dumps(event))

    eventually(lambda: shared_broker.count("probe.dead") == 2, what="two dead letters")
    shared_broker.take("probe.dead", 2)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"expires": "2000-01-01T00:00:00+00:00"}, id="expired"),
        pytest.param({"eta": "2099-01-01T00:00:00+00:00"}, id="not due for decades"),
        pytest.param({"eta": "never", "expires": [], "timelimit": "x", "retries": "y"}, id="nonsense"),
        pytest.param({"timelimit": [0.001, 0.001], "id": "1", "root_id": 7, "group": {}}, id="time limits"),
        pytest.param({"x-delivery-count": "abc"}, id="a count that is none"),
        pytest.param({"x-delivery-count": 99}, id="a count that the broker did not write"),
        pytest.param({"microworkflows-attempt": "third"}, id="an attempt that is none"),
        pytest.param({"microworkflows-attempt": 2**62}, id="an attempt beyond a database's integers"),
        pytest.param({"ignore_result": False, "stamps": {"a": 1}, "stamped_headers": ["a"]}, id="stamps"),
        pytest.param({"lang": "xx", "shadow": "y", "argsrepr": "z" * 100_000}, id="words for logs"),
    ],
)
def test_headers_and_properties_of_a_publisher_change_nothing(
    worker: Process, shared_broker: Broker, headers: dict[str, Any]
) -> None:
    body = cloud_event()

    shared_broker.publish(
        body, headers=headers, reply_to="nowhere", correlation_id="other", expiration="600000", type="x"
    )

    eventually(lambda: json.loads(body)["id"] in effects(), what="the effect")
    assert InboxEvent.objects.filter(
        status=InboxEvent.Status.HANDLED, msg_id__contains=json.loads(body)["id"]
    )


def test_bomb_is_not_unpacked(worker: Process, shared_broker: Broker) -> None:
    body = zlib.compress(b" " * 500_000_000, 9)

    shared_broker.publish(body, headers={"compression": "application/x-gzip"})

    (seen,) = shared_broker.dead()
    assert (seen.body, seen.headers["compression"]) == (body, "application/x-gzip")


@pytest.mark.parametrize("encoding", ["punycode", "idna", "utf-16", "unicode_escape", "hex", "nonsense"])
def test_content_encoding_chooses_no_codec(worker: Process, shared_broker: Broker, encoding: str) -> None:
    body = cloud_event(text="ü" * 100_000)

    shared_broker.publish(body.encode(), content_encoding=encoding)

    eventually(lambda: json.loads(body)["id"] in effects(), what="the effect")


def test_properties_that_are_no_text_make_a_dead_letter(worker: Process, shared_broker: Broker) -> None:
    shared_broker.publish(cloud_event(), content_type=b"\xff\xfe")  # type: ignore[arg-type]

    empty_of_one(shared_broker)


def test_headers_nested_without_end_make_a_dead_letter(worker: Process, shared_broker: Broker) -> None:
    table = b""
    for _ in range(15_000):
        table = b"\x00F" + pack(">I", len(table)) + table
    body = cloud_event().encode()
    with shared_broker.channel() as channel:
        publish_raw(channel, routing_key=b"probe", headers=table, body=body)

    empty_of_one(shared_broker)


def test_routing_key_that_is_no_text_makes_a_dead_letter(worker: Process, shared_broker: Broker) -> None:
    cc = b"\x02CCA" + pack(">I", 10) + b"S" + pack(">I", 5) + b"probe"
    with shared_broker.channel() as channel:
        publish_raw(channel, routing_key=b"\xff\xfe", headers=cc, body=cloud_event().encode())

    shared_broker.dead()


def publish_raw(channel: Any, *, routing_key: bytes, headers: bytes, body: bytes) -> None:
    """Publish to the default exchange with a routing key and a table of headers that no client would write."""
    number, connection = channel.channel_id, channel.connection

    def frame(kind: int, payload: bytes) -> bytes:
        return pack(">BHI", kind, number, len(payload)) + payload + b"\xce"

    method = (
        pack(">HHH", *spec.Basic.Publish, 0) + b"\x00" + bytes([len(routing_key)]) + routing_key + b"\x00"
    )
    content_type = CONTENT_TYPE.encode()
    properties = bytes([len(content_type)]) + content_type + pack(">I", len(headers)) + headers + b"\x02"
    header = pack(">HHQH", 60, 0, len(body), 1 << 15 | 1 << 13 | 1 << 12) + properties
    channel.confirm_select()
    confirmed: list[int] = []
    channel.events["basic_ack"].add(lambda tag, multiple: confirmed.append(tag))
    connection.transport.write(frame(1, method) + frame(2, header) + frame(3, body))
    while not confirmed:
        connection.drain_events(timeout=120)  # a busy broker takes long to read what is nested so deep


def test_event_in_the_binary_content_mode_is_handled(worker: Process, shared_broker: Broker) -> None:
    event = json.loads(cloud_event())
    headers = {f"cloudEvents:{name}": value for name, value in event.items() if name != "data"}

    shared_broker.publish(json.dumps(event["data"]), content_type="application/json", headers=headers)

    eventually(lambda: event["id"] in effects(), what="the effect")


def test_two_sources_may_give_two_events_one_id(worker: Process, shared_broker: Broker) -> None:
    event = json.loads(cloud_event())
    for source in ("/probe", "https://elsewhere.example/", "https://third.example/"):
        shared_broker.publish(json.dumps({**event, "source": source}))
        shared_broker.publish(json.dumps({**event, "source": source}))  # and each sends it twice

    eventually(lambda: InboxEvent.objects.filter(body__id=event["id"]).count() == 3, what="three inbox rows")


def test_foreign_attribute_that_looks_like_a_mark_makes_no_event_vanish(
    worker: Process, shared_broker: Broker
) -> None:
    event = {**json.loads(cloud_event()), "source": "https://elsewhere.example/", "cutover": "done"}

    shared_broker.publish(json.dumps(event))

    eventually(
        lambda: InboxEvent.objects.filter(body__id=event["id"], status=InboxEvent.Status.HANDLED).exists(),
        what="the event, handled",
    )


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_own_task_on_the_same_worker_is_unpacked_and_decoded_as_before(
    worker: Process, shared_broker: Broker, tmp_path: Path, compression: str | None
) -> None:
    file = tmp_path / "written"

    with Celery(broker=shared_broker.url, set_as_current=False) as celery:
        celery.send_task("probe.write", [str(file), "grüße" * 1000], compression=compression)

    eventually(lambda: file.exists() and file.read_text() == "grüße" * 1000, what="the task's work")
