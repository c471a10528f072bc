"""What is no event ends where somebody finds it: nothing of it runs, nothing of it vanishes, the worker lives on."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from microworkflows import topology
from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker, Seen
from tests.integration.support.node import Node
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

CLOUD_EVENT = "application/cloudevents+json"


@pytest.fixture(scope="module")
def running(shared_launch: Launcher) -> Process:
    return shared_launch.worker(
        "probe",
        "-c",
        "2",
        CELERY_IMPORTS=["tests.integration.probe.tasks"],
        MICROWORKFLOWS={"RELAY_POLL": 0.1},
    )


def dead(broker: Broker) -> Seen:
    (seen,) = broker.dead()
    assert not InboxEvent.objects.exists()
    return seen


def changed(**attributes: Any) -> str:
    return json.dumps({**json.loads(cloud_event()), **attributes})


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        pytest.param("no JSON {", {}, id="no JSON"),
        pytest.param(b"\xff\xfe\x00", {}, id="no text"),
        pytest.param("", {}, id="empty"),
        pytest.param("[]", {}, id="a list"),
        pytest.param("null", {}, id="null"),
        pytest.param("[" * 100_000, {}, id="nested deeply"),
        pytest.param("9" * 5000, {}, id="a number too long"),
        pytest.param('{"hello": "world"}', {}, id="no CloudEvent"),
        pytest.param(changed(specversion="0.3"), {}, id="another version"),
        pytest.param(changed(data="text"), {}, id="data that is no object"),
        pytest.param(changed(id=""), {}, id="no id"),
        pytest.param(changed(id="\ud800"), {}, id="an id that is no text"),
        pytest.param(changed(time="0001-01-01T00:00:00+14:00"), {}, id="a time before the first year"),
        pytest.param(
            changed(data={"number": 1, "behaviour": "\u0000"}), {}, id="a NUL, which jsonb cannot hold"
        ),
        pytest.param(changed(data={"number": 1, "x": float("nan")}), {}, id="NaN, which is no JSON"),
        pytest.param(changed(data={"number": 1, "x": "\ud800"}), {}, id="half a surrogate pair"),
        pytest.param(cloud_event(), {"content_type": "application/json"}, id="another content type"),
        pytest.param(cloud_event(), {"content_type": "application/x-python-serialize"}, id="pickle"),
        pytest.param(cloud_event(), {"content_type": None}, id="no content type"),
        pytest.param(cloud_event(), {"headers": {"compression": "nonsense"}}, id="an unknown compression"),
        pytest.param("garbage", {"headers": {"compression": "application/x-gzip"}}, id="compressed badly"),
        pytest.param(cloud_event(), {"headers": {"task": "probe.write"}}, id="a header that names a task"),
    ],
)
def test_what_is_no_event_becomes_a_dead_letter(
    worker: Process, shared_broker: Broker, body: str | bytes, properties: dict[str, Any]
) -> None:
    if isinstance(body, str):
        body = body.encode()
    shared_broker.publish(body, **properties)

    seen = dead(shared_broker)
    assert seen.body == body
    assert effects() == []


def test_celery_task_sent_to_an_event_queue_does_not_run(
    worker: Process, shared_broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "written"

    shared_broker.publish(
        json.dumps([[str(file), "hello"], {}, {}]),
        content_type="application/json",
        content_encoding="utf-8",
        headers={"lang": "py", "task": "probe.write", "id": "1", "root_id": "1", "retries": 0},
    )

    assert dead(shared_broker).headers["task"] == "probe.write"
    assert not file.exists()


@pytest.mark.parametrize("content_type", ["application/json", CLOUD_EVENT])
def test_task_message_of_protocol_1_does_not_run(
    worker: Process, shared_broker: Broker, tmp_path: Path, content_type: str
) -> None:
    file = tmp_path / "written"
    body = json.dumps({"task": "probe.write", "id": "1", "args": [str(file), "hello"], "kwargs": {}})

    shared_broker.publish(body, content_type=content_type)

    assert json.loads(dead(shared_broker).body)["task"] == "probe.write"
    assert not file.exists()


@pytest.mark.parametrize("content_type", [f"{CLOUD_EVENT}; charset=utf-8", CLOUD_EVENT.upper()])
def test_content_type_may_name_a_charset_and_be_in_any_case(
    worker: Process, shared_broker: Broker, content_type: str
) -> None:
    body = cloud_event()

    shared_broker.publish(body, content_type=content_type)

    eventually(lambda: effects() == [json.loads(body)["id"]], what="the effect")


def test_events_that_come_while_their_queue_is_cancelled_are_kept(
    worker: Process, shared_broker: Broker
) -> None:
    celery = Celery(broker=shared_broker.url, set_as_current=False)
    bodies = [cloud_event(number=number) for number in range(300)]
    with shared_broker.publishing() as publish:
        for number, body in enumerate(bodies):
            publish(body, content_type=f"{CLOUD_EVENT}; charset=utf-8")
            if number % 100 == 50:
                celery.control.cancel_consumer("probe", reply=True, timeout=30, limit=1)
            if number % 100 == 90:
                celery.control.add_consumer("probe", reply=True, timeout=30, limit=1)

    eventually(lambda: len(effects()) == 300, what="the effects")
    assert shared_broker.count("probe.dead") == 0
    celery.close()


def test_commands_that_come_together_are_obeyed_in_their_order(
    worker: Process, shared_broker: Broker
) -> None:
    """Else a queue that was cancelled and added again stays cancelled."""
    celery = Celery(broker=shared_broker.url, set_as_current=False)
    added_before = worker.output.count("Started consuming from probe")

    worker.send(signal.SIGSTOP)
    for _ in range(20):
        celery.control.cancel_consumer("probe")
        celery.control.add_consumer("probe")
    worker.send(signal.SIGCONT)

    worker.says("Started consuming from probe", times=added_before + 20)
    celery.close()


def test_event_of_a_type_that_nobody_here_listens_to_is_parked(
    worker: Process, shared_broker: Broker, shared_launch: Launcher
) -> None:
    body = changed(type="tills.till_closed.v1", id="till-7/2026", source="https://shop.example/tills")

    shared_broker.publish(body, times=2)

    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")
    assert row.label == "probe"
    assert row.error
    assert "No microworkflow of probe listens to tills.till_closed.v1" in row.error
    assert "tills.till_closed.v1" in shared_launch.run("parked")
    assert shared_broker.count("probe.dead") == 0


def test_dead_letters_are_counted_shown_and_brought_back_by_command(
    worker: Process, shared_broker: Broker, shared_launch: Launcher
) -> None:
    bodies = [cloud_event(number=number) for number in range(3)]
    for body in bodies:
        shared_broker.publish(body, content_type="application/json")
    eventually(lambda: shared_broker.count("probe.dead") == 3)

    assert "3  probe.dead" in shared_launch.run("dead_letters")
    shown = shared_launch.run("dead_letters", "probe", "--show")
    assert all(f"application/json: {body}" in shown for body in bodies)
    assert shared_broker.count("probe.dead") == 3

    mended = shared_broker.take("probe.dead", 3)
    for seen in mended:
        shared_broker.publish(seen.body, queue="probe.dead")
    eventually(lambda: shared_broker.count("probe.dead") == 3)
    shared_launch.run("dead_letters", "probe", "--requeue", "--all")

    eventually(lambda: set(effects()) == {json.loads(body)["id"] for body in bodies}, what="the effects")
    assert shared_broker.count("probe.dead") == 0


@pytest.mark.slow
def test_dead_letters_may_be_shown_as_often_as_one_likes(worker: Process, shared_broker: Broker) -> None:
    """RabbitMQ 4 drops what was given back twenty times, unless the queue says otherwise."""
    shared_broker.publish("no JSON")
    eventually(lambda: shared_broker.count("probe.dead") == 1)

    with shared_broker.channel() as channel:
        for _ in range(30):
            message = eventually(lambda: channel.basic_get("probe.dead"))
            channel.basic_reject(message.delivery_tag, requeue=True)

    assert dead(shared_broker).body == b"no JSON"
    assert (topology.dead_letters("probe").queue_arguments or {})["x-delivery-limit"] > 1_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "properties"),
    [
        pytest.param(cloud_event(), {"content_type": None}, id="no content type"),
        pytest.param(b"\xff\xfe\x00", {"content_type": None}, id="no text and no content type"),
        pytest.param(cloud_event(), {"headers": {"compression": "nonsense"}}, id="an unknown compression"),
    ],
)
def test_dead_letter_that_is_brought_back_is_what_it_was(
    worker: Process,
    shared_broker: Broker,
    shared_launch: Launcher,
    body: str | bytes,
    properties: dict[str, Any],
) -> None:
    if isinstance(body, str):
        body = body.encode()
    shared_broker.publish(body, **properties)
    eventually(lambda: shared_broker.count("probe.dead") == 1)
    dead_before = worker.output.count("dead letter in probe.dead")
    assert "1  probe.dead" in shared_launch.run("dead_letters", "probe", "--show")

    shared_launch.run("dead_letters", "probe", "--requeue", "--all")

    worker.says("dead letter in probe.dead", times=dead_before + 1)  # it met the same door again
    seen = dead(shared_broker)
    assert seen.body == body
    assert seen.properties.get("content_type") == properties.get("content_type", CLOUD_EVENT)


@pytest.mark.slow
def test_dead_letter_stays_where_it_is_until_its_queue_confirms_to_have_it(
    database: str, node: Node, tmp_path: Path
) -> None:
    broker = Broker(node.url)
    launcher = Launcher(tmp_path, database=database, broker=node.url)
    node.ctl("set_policy", "small", "^probe$", '{"max-length": 1}', "--apply-to", "queues")
    try:
        for number in range(30):  # a quorum queue takes some more until it says that it is full
            broker.publish(cloud_event(number=number), queue="probe.dead")
        eventually(lambda: broker.count("probe.dead") == 30)

        command = launcher.manage("dead_letters", "probe", "--requeue", "--all")

        assert command.wait() == 1
        assert "does not take the message back" in command.output
        eventually(lambda: broker.count("probe") + broker.count("probe.dead") == 30, what="all of them")
        assert broker.count("probe.dead") > 0
    finally:
        node.ctl("clear_policy", "small")
        launcher.end()
