"""A dead letter tells why it is one, wherever it lies; and whatever fails on its way, it is neither lost nor changed."""

import json
import re
import socket
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import metadata
from struct import pack
from typing import Any

import amqp
import pytest

from microworkflows import dead_letters, trust
from microworkflows.cloudevents import CONTENT_TYPE
from tests.integration.support.brokers import Broker, Seen
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

BAD = "no JSON {"


@pytest.fixture(scope="module")
def running(shared_launch: Launcher) -> Process:
    return shared_launch.worker("probe", "-c", "1", MICROWORKFLOWS={"RELAY_POLL": 0.1})


def without_reason(seen: Seen) -> dict[str, Any]:
    added = (dead_letters.PREFIX, trust.PUBLISHER)
    return {name: value for name, value in seen.headers.items() if not name.startswith(added)}


def test_reason_queue_key_time_and_worker_travel_with_the_message(
    worker: Process, shared_broker: Broker
) -> None:
    before = datetime.now(tz=UTC)
    headers = {"a": 1, "list": ["x", {"y": True}], dead_letters.REASON: "forged"}
    properties: dict[str, Any] = {
        "content_type": "application/json",
        "message_id": "m-1",
        "correlation_id": "c-1",
    }

    shared_broker.publish(BAD, headers=headers, app_id="elsewhere", priority=3, **properties)

    (seen,) = shared_broker.dead()
    assert seen.body == BAD.encode()
    assert without_reason(seen) == {"a": 1, "list": ["x", {"y": True}]}
    assert properties.items() <= seen.properties.items()
    assert (seen.properties["app_id"], seen.properties["priority"]) == ("elsewhere", 3)
    assert "content type is 'application/json'" in seen.headers[dead_letters.REASON]
    assert seen.headers[dead_letters.QUEUE] == "probe"
    assert seen.headers[dead_letters.KEY] == "probe"
    assert (
        timedelta(0) < datetime.fromisoformat(seen.headers[dead_letters.AT]) - before < timedelta(minutes=5)
    )
    version = metadata.version("django-microworkflows")
    assert seen.headers[dead_letters.WORKER] == f"{socket.gethostname()}, django-microworkflows {version}"


def test_orders_to_the_broker_in_a_dead_letter_are_not_obeyed_again(
    worker: Process, shared_broker: Broker
) -> None:
    """They would copy it to further queues, delete it after a while, or close the worker's channel."""
    user = shared_broker.url.partition("//")[2].partition(":")[0]

    shared_broker.publish(
        BAD,
        headers={"CC": ["echo"]},
        expiration="600000",
        user_id=user,
        reply_to="amq.rabbitmq.reply-to.x",
    )

    (seen,) = shared_broker.dead()
    assert not {"expiration", "reply_to"} & seen.properties.keys()
    assert seen.properties["user_id"] == user, "that of the worker"
    assert seen.headers[f"{dead_letters.PREFIX}property-expiration"] == "600000"
    assert seen.headers[f"{dead_letters.PREFIX}property-user-id"] == user
    assert dead_letters.REASON in seen.headers
    copies = [each for each in shared_broker.take("echo", 1) if each.body == BAD.encode()]
    assert len(copies) == 1, "what its first publisher sent there"


@pytest.mark.parametrize(
    "properties",
    [
        {"headers": {"compression": "application/x-gzip"}},
        {"content_encoding": "utf-16", "content_type": "text/plain"},
        {"content_type": None},
    ],
    ids=["compressed", "in another encoding", "without a content type"],
)
def test_body_is_kept_byte_by_byte_on_each_way(
    worker: Process, shared_broker: Broker, shared_launch: Launcher, properties: dict[str, Any]
) -> None:
    body = zlib.compress(b"a" * 1_000, 1) + b"\xff\x00"
    shared_broker.publish(body, **properties)
    eventually(lambda: shared_broker.count("probe.dead") == 1, what="a dead letter")
    dead_before = worker.output.count("dead letter in probe.dead")

    shared_launch.run("dead_letters", "probe", "--requeue", "--all")

    worker.says("dead letter in probe.dead", times=dead_before + 1)  # it met the same door again
    (seen,) = shared_broker.dead()
    assert seen.body == body
    assert without_reason(seen) == properties.get("headers", {})
    assert seen.properties.get("content_encoding") == properties.get("content_encoding")
    assert seen.properties.get("content_type") == properties.get("content_type", CONTENT_TYPE)


class Unreadable(amqp.Message):
    """A message with a header that py-amqp cannot read: a time in the year 36,000,000,000."""

    def _serialize_properties(self) -> bytes:
        header = b"\x01aT" + pack(">Q", 2**60)
        return pack(">HI", 1 << 13, len(header)) + header


def test_message_whose_headers_cannot_be_read_is_found_and_dropped_and_hides_no_other(
    worker: Process, shared_broker: Broker, shared_launch: Launcher
) -> None:
    with shared_broker.channel() as channel:
        channel.basic_publish_confirm(Unreadable("evil"), routing_key="probe")
    eventually(lambda: shared_broker.count("probe.dead") == 1, what="a dead letter")
    shared_broker.publish(BAD)
    eventually(lambda: shared_broker.count("probe.dead") == 2, what="two dead letters")

    lines = listed(shared_launch.run("dead_letters", "probe"))

    (unreadable,) = [words[0] for words in lines if "its properties or headers cannot" in " ".join(words)]
    assert len(lines) == 2
    refused = shared_launch.manage("dead_letters", "probe", "--requeue", "--id", unreadable)
    assert refused.wait(timeout=60) == 1
    assert "cannot be sent again as it was" in refused.output
    shared_launch.run("dead_letters", "probe", "--drop", "--id", unreadable, "--yes")
    (seen,) = shared_broker.dead()
    assert seen.body == BAD.encode()


def test_message_whose_headers_leave_no_room_for_a_reason_is_kept_without(
    worker: Process, shared_broker: Broker
) -> None:
    """The broker would close the connection, deliver the message again, and so on without end."""
    headers = {"x": "y" * 130_900}

    shared_broker.publish(BAD, headers=headers)

    (seen,) = shared_broker.dead()
    assert seen.headers["x"] == headers["x"]
    assert dead_letters.REASON not in seen.headers
    worker.says("goes without its reason: it cannot be written again")
    assert "Connection to broker lost" not in worker.output


def test_letter_that_no_queue_is_bound_for_is_rejected_to_the_brokers_own_way(
    worker: Process, shared_broker: Broker
) -> None:
    with shared_broker.channel() as channel:
        channel.queue_unbind("probe.dead", "microworkflows", "probe.dead")
    try:
        shared_broker.publish(BAD)

        (seen,) = shared_broker.dead()
        assert seen.headers["x-death"][0]["reason"] == "rejected"
        worker.says("goes without its reason: nothing is bound")
    finally:
        shared_broker.declare()


def test_channel_that_the_broker_closes_costs_the_reason_and_neither_message_nor_connection(
    worker: Process, shared_broker: Broker
) -> None:
    with shared_broker.channel() as channel:
        channel.exchange_delete("microworkflows")
    try:
        shared_broker.publish(BAD, times=3)

        seen = shared_broker.dead(3)
        assert [each.body for each in seen] == [BAD.encode()] * 3
        assert all(dead_letters.REASON not in each.headers for each in seen)
        worker.says("goes without its reason: NotFound")
    finally:
        shared_broker.declare()
    shared_broker.publish(BAD)

    (seen_later,) = shared_broker.dead()
    assert dead_letters.REASON in seen_later.headers
    assert "Connection to broker lost" not in worker.output


def test_flood_of_bad_messages_among_good_ones_ends_in_the_dead_letters_each_with_its_reason(
    worker: Process, shared_broker: Broker
) -> None:
    with shared_broker.publishing() as publish:
        for number in range(600):
            publish(cloud_event(number=number) if number % 6 == 0 else f"{BAD}{number}")

    seen = shared_broker.dead(500)
    assert len(seen) == 500
    assert all("not JSON" in each.headers[dead_letters.REASON] for each in seen)
    eventually(lambda: len(effects()) == 100, what="the effects")


def test_line_breaks_and_escape_sequences_reach_neither_log_nor_terminal(
    worker: Process, shared_broker: Broker, shared_launch: Launcher
) -> None:
    evil = "\x1b[2Jevil\n2026-01-01 00:00:00,000 INFO forged"
    event = json.loads(cloud_event())

    shared_broker.publish(json.dumps({**event, "time": evil}))
    shared_broker.publish(BAD, content_type=evil)

    eventually(lambda: shared_broker.count("probe.dead") == 2, what="two dead letters")
    shown = shared_launch.run("dead_letters", "probe", "--show")
    for text in (shown, worker.output):
        assert "\x1b" not in text
        assert "\n2026-01-01 00:00:00,000 INFO forged" not in text
    shared_broker.take("probe.dead", 2)


# The command


def listed(output: str) -> list[list[str]]:
    """Return the words of each line that begins with an id, without the age at its end."""
    lines = [re.sub(r"  [\d.]+ \w+ old$", "", line).split() for line in output.splitlines()]
    return [words for words in lines if words and len(words[0]) == 12 and words[0].isalnum()]


@pytest.fixture
def letters(worker: Process, shared_broker: Broker) -> Iterator[list[str]]:
    """Make three dead letters; return their bodies."""
    bodies = [cloud_event(number=number) for number in range(3)]
    for body, content_type in zip(bodies, ["text/one", "text/two", "text/three"], strict=True):
        shared_broker.publish(body, content_type=content_type)
        eventually(lambda: shared_broker.count("probe.dead") >= 1)
    eventually(lambda: shared_broker.count("probe.dead") == 3, what="three dead letters")
    yield bodies
    with shared_broker.channel() as channel:
        channel.queue_purge("probe.dead")


def test_dead_letters_are_listed_with_reasons_and_ids_that_stay(
    letters: list[str], shared_launch: Launcher, shared_broker: Broker
) -> None:
    first, second = (listed(shared_launch.run("dead_letters")) for _ in range(2))

    assert first == second
    assert ["text/one" in " ".join(words) for words in first] == [True, False, False]
    shown = shared_launch.run("dead_letters", "probe", "--show", "--id", first[1][0])
    assert letters[1] in shown
    assert letters[0] not in shown
    assert "came by the routing key probe" in shown
    assert f"refused by {socket.gethostname()}" in shown
    assert shared_broker.count("probe.dead") == 3


def test_one_dead_letter_is_requeued_by_its_id_and_others_dropped_by_their_reason(
    letters: list[str], shared_launch: Launcher, shared_broker: Broker
) -> None:
    one, two, three = (words[0] for words in listed(shared_launch.run("dead_letters")))

    requeued = shared_launch.run("dead_letters", "probe", "--requeue", "--id", two)
    dropped = shared_launch.run("dead_letters", "probe", "--drop", "--reason-contains", "text/one", "--yes")

    assert f"brought back to probe: {two}" in requeued
    assert f"dropped: {one}" in dropped
    eventually(lambda: shared_broker.count("probe.dead") == 2, what="the one that met the same door again")
    left = {each.body.decode(): each for each in shared_broker.take("probe.dead", 2)}
    assert left.keys() == {letters[1], letters[2]}
    assert all(dead_letters.REASON in each.headers for each in left.values())
    assert three


def test_dropping_asks_and_nothing_is_dropped_unless_the_answer_is_yes(
    letters: list[str], shared_launch: Launcher, shared_broker: Broker
) -> None:
    command = shared_launch.manage("dead_letters", "probe", "--drop", "--all")

    assert command.wait(timeout=60) == 1
    assert "Delete these 3 messages of probe.dead for good?" in command.output
    assert "Nothing was dropped." in command.output
    assert shared_broker.count("probe.dead") == 3
