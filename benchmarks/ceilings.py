"""Ceilings: what RabbitMQ and py-amqp, or PostgreSQL, do at best when nothing else is asked of them.

``python -m benchmarks.ceilings KIND COUNT`` publishes to the queue ``QUEUE`` of ``BROKER_URL``, or claims and marks rows.
"""

import os
import sys
import time
from itertools import takewhile
from typing import Any
from uuid import UUID

import amqp
import psycopg
from kombu import Connection

from microworkflows.relay import frames

_BATCH = 500
_ID = UUID(int=0)
_BODY = '{"marker": "m%09dm", "filler": "' + "x" * 550 + '"}'


class Publishing:
    """Publishes bodies of an event's size, all of them made of a number alone."""

    def __init__(self) -> None:
        self._queue = os.environ["QUEUE"]
        self._connection = Connection(os.environ["BROKER_URL"])
        self._channel: Any = self._connection.channel()
        self._tag = 0
        self._unconfirmed: dict[int, None] = {}

    def without_confirms(self, count: int) -> None:
        """Trust that what was written to the socket arrives."""
        for number in range(count):
            self._publish(number)
        self._channel.queue_declare(self._queue, passive=True)  # answers once everything before it was taken

    def confirming_each(self, count: int) -> None:
        """Wait for each message's confirm before the next is published."""
        for number in range(count):
            self._channel.basic_publish_confirm(_message(number), routing_key=self._queue, mandatory=True)

    def pipelined(self, count: int) -> None:
        """Publish, and wait only while 500 messages are unconfirmed."""
        self._confirm()
        for number in range(count):
            self._publish(number)
            self._unconfirmed[number + 1] = None
            self._await(fewer_than=_BATCH)
        self._await(fewer_than=1)

    def pipelined_by_hand(self, count: int) -> None:
        """The same with frames assembled by hand, 64 messages in one write."""
        self._confirm()
        connection = self._channel.connection
        assemble = frames.publish(
            channel=self._channel.channel_id,
            exchange="",
            content_type="application/json",
            frame_max=connection.frame_max,
        )
        for first in range(0, count, 64):
            numbers = range(first, min(first + 64, count))
            pieces = [
                assemble(body=_BODY % number, routing_key=self._queue, message_id=_ID, headers={})
                for number in numbers
            ]
            connection.transport.write(b"".join(pieces))
            self._unconfirmed.update(dict.fromkeys(number + 1 for number in numbers))
            self._await(fewer_than=2 * _BATCH)
        self._await(fewer_than=1)

    def _publish(self, number: int) -> None:
        self._channel.basic_publish(_message(number), routing_key=self._queue, mandatory=True)

    def _confirm(self) -> None:
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._on_ack)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        told = list(takewhile(lambda sent: sent <= tag, self._unconfirmed)) if multiple else [tag]
        for each in told:
            self._unconfirmed.pop(each, None)

    def _await(self, *, fewer_than: int) -> None:
        while len(self._unconfirmed) >= fewer_than:
            self._connection.drain_events()


def claim_and_mark(count: int) -> None:
    """Claim pending rows of the outbox in batches and mark them relayed; print how many a second."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        began = time.monotonic()
        for _ in range(0, count, _BATCH):
            rows = connection.execute(
                "SELECT id, destination, body::text FROM published WHERE split_part(destination, '.', 1) = 'probe'"
                " AND status + 0 = 1 ORDER BY id LIMIT %s",
                [_BATCH],
            ).fetchall()
            connection.execute(
                "UPDATE published SET status = 2 WHERE id = ANY(%s)", [[row[0] for row in rows]]
            )
        print(count / (time.monotonic() - began))


def _message(number: int) -> amqp.Message:
    return amqp.Message(_BODY % number, content_type="application/json", delivery_mode=2, message_id=str(_ID))


KINDS: dict[str, str] = {
    "ceiling: py-amqp, no confirms": "without_confirms",
    "ceiling: py-amqp, confirm each": "confirming_each",
    "ceiling: py-amqp, pipelined confirms": "pipelined",
    "ceiling: frames by hand, pipelined confirms": "pipelined_by_hand",
}
"""What is published in which way."""

if __name__ == "__main__":
    _kind, _count = sys.argv[1], int(sys.argv[2])
    if _kind == "claim_and_mark":
        claim_and_mark(_count)
    else:
        getattr(Publishing(), _kind)(_count)
