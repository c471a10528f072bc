"""The parent's part of dead letters: which outcome of publishing leads to an ack, and which to a reject."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from unittest import mock

import amqp
import pytest
from amqp import spec
from kombu.message import Message

from microworkflows import dead_letters
from microworkflows.worker.dead_lettering import DeadLettering


class Channel:
    """As much of py-amqp's channel as publishing needs."""

    def __init__(self) -> None:
        self.events: Any = defaultdict(set)
        self._callbacks: Any = {spec.Channel.Close: self._close}
        self.connection = SimpleNamespace(frame_max=131_072)
        self.published: list[amqp.Message] = []
        self.confirm_select = mock.Mock()
        self.before_sending: Any = lambda: None

    def _close(self, *args: Any) -> None:
        raise amqp.NotFound("NOT_FOUND - no exchange")

    def prepare_message(self, body: Any, headers: Any, properties: Any, **options: Any) -> amqp.Message:
        return amqp.Message(body, application_headers=headers, **properties, **options)

    def basic_publish(self, message: amqp.Message, **options: Any) -> None:
        self.before_sending()
        self.published.append(message)

    # What the broker says

    def says_ack(self, tag: int, multiple: bool = False) -> None:
        for told in self.events["basic_ack"]:
            told(tag, multiple)

    def says_nack(self, tag: int, multiple: bool = False) -> None:
        for told in self.events["basic_nack"]:
            told(tag, multiple)

    def returns(self, message: amqp.Message) -> None:
        for told in self.events["basic_return"]:
            told(None, "", "", message)

    def closes(self) -> None:
        self._callbacks[spec.Channel.Close]()


class Timer:
    def __init__(self) -> None:
        self.entries: list[Any] = []

    def call_after(self, seconds: float, function: Any, args: tuple[Any, ...]) -> Any:
        self.entries.append(mock.Mock(run=lambda: function(*args)))
        return self.entries[-1]


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def lettering(channel: Channel, timer: Timer) -> DeadLettering:
    connection = SimpleNamespace(
        transport=SimpleNamespace(driver_type="amqp", default_connection_params={"userid": "guest"}),
        channel=lambda: channel,
        userid="probe",
        login_method="PLAIN",
    )
    consumer = SimpleNamespace(
        connection=connection,
        connection_errors=(OSError,),
        hub=None,
        timer=timer,
        call_soon=lambda function: function(),
    )
    return DeadLettering(consumer)


def refused(lettering: DeadLettering, **headers: Any) -> Any:
    """Refuse a message; return it, with mocks that tell whether it was acked or rejected."""
    message: Any = Message(body="x", headers=headers, delivery_info={"routing_key": "a.key"})
    message.ack_log_error, message.reject_log_error = mock.Mock(), mock.Mock()
    lettering.refuse(message, queue="probe", error=ValueError("bad"))
    return message


def outcome(*messages: Any) -> list[tuple[int, int]]:
    """Return how often each was acked and rejected."""
    return [(each.ack_log_error.call_count, each.reject_log_error.call_count) for each in messages]


def test_message_is_acked_once_its_dead_letter_is_confirmed(
    lettering: DeadLettering, channel: Channel, timer: Timer
) -> None:
    messages = [refused(lettering) for _ in range(4)]
    assert outcome(*messages) == [(0, 0)] * 4

    channel.says_ack(2)
    channel.says_ack(3, multiple=True)
    channel.says_ack(3)

    assert outcome(*messages) == [(1, 0), (1, 0), (1, 0), (0, 0)]
    assert [entry.cancel.called for entry in timer.entries] == [True, True, True, False]
    headers = channel.published[0].properties["application_headers"]
    assert headers[dead_letters.REASON] == "bad"


def test_message_that_is_nacked_or_returned_is_rejected(lettering: DeadLettering, channel: Channel) -> None:
    nacked, returned, taken = (refused(lettering) for _ in range(3))

    channel.says_nack(1)
    channel.returns(channel.published[1])
    channel.says_ack(3, multiple=True)

    assert outcome(nacked, returned, taken) == [(0, 1), (0, 1), (1, 0)]


def test_messages_under_way_are_rejected_when_the_channel_ends_and_tags_begin_anew(
    lettering: DeadLettering, channel: Channel
) -> None:
    before = [refused(lettering) for _ in range(2)]

    channel.closes()
    after = refused(lettering)
    channel.says_ack(1)

    assert outcome(*before, after) == [(0, 1), (0, 1), (1, 0)]
    channel.confirm_select.assert_called_with(nowait=True)


def test_end_of_the_channel_that_is_noticed_while_publishing_shifts_no_tag(
    lettering: DeadLettering, channel: Channel
) -> None:
    first = refused(lettering)

    channel.before_sending = channel.closes
    second = refused(lettering)
    channel.before_sending = lambda: None
    third = refused(lettering)
    channel.says_ack(1)

    assert outcome(first, second, third) == [(0, 1), (1, 0), (0, 0)]


def test_confirm_that_does_not_come_ends_in_a_reject_and_a_late_one_changes_nothing(
    lettering: DeadLettering, channel: Channel, timer: Timer
) -> None:
    late, other = refused(lettering), refused(lettering)

    timer.entries[0].run()
    channel.says_ack(2, multiple=True)

    assert outcome(late, other) == [(0, 1), (1, 0)]


def test_lost_connection_leaves_the_messages_to_the_broker(
    lettering: DeadLettering, channel: Channel, timer: Timer
) -> None:
    message = refused(lettering)

    lettering.clear()
    channel.says_ack(1)

    assert outcome(message) == [(0, 0)]
    assert timer.entries[0].cancel.called


@pytest.mark.parametrize("header", ["y" * 131_000, object()], ids=["too long", "of no known type"])
def test_message_that_cannot_be_published_again_is_rejected_at_once(
    lettering: DeadLettering, channel: Channel, header: object
) -> None:
    message, next_one = refused(lettering, x=header), refused(lettering)

    channel.says_ack(1)

    assert outcome(message, next_one) == [(0, 1), (1, 0)]
    assert len(channel.published) == 1


def test_message_refused_while_the_broker_takes_none_is_rejected_at_once_and_the_next_one_published(
    lettering: DeadLettering, channel: Channel
) -> None:
    lettering._publishing.is_blocked = True
    during = refused(lettering)
    lettering._publishing.is_blocked = False
    after = refused(lettering)
    channel.says_ack(1)

    assert outcome(during, after) == [(0, 1), (1, 0)]
    assert len(channel.published) == 1


def test_messages_under_way_are_rejected_when_their_connection_is_lost_and_tags_begin_anew(
    lettering: DeadLettering, channel: Channel
) -> None:
    before = [refused(lettering) for _ in range(2)]

    lettering._publishing.lose(OSError("reset by peer"))
    after = refused(lettering)
    channel.says_ack(1)

    assert outcome(*before, after) == [(0, 1), (0, 1), (1, 0)]


def test_message_whose_publishing_fails_is_rejected(lettering: DeadLettering, channel: Channel) -> None:
    def break_off() -> None:
        raise BrokenPipeError("gone")

    channel.before_sending = break_off
    failed = refused(lettering)
    channel.before_sending = lambda: None
    after = refused(lettering)
    channel.says_ack(1)

    assert outcome(failed, after) == [(0, 1), (1, 0)]
