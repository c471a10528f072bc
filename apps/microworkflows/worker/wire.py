"""The wire: what py-amqp and Kombu do with a message before the door sees it, made harmless for event queues.

The publisher chooses a message's content encoding, compression, headers and routing key. By these, py-amqp decodes the
body with any of Python's codecs, some of which take minutes for a megabyte; Kombu decompresses it, to any size; and
either may raise where a worker expects no exception, and would end.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import amqp
from kombu import Consumer, Message

from microworkflows.relay import amqp_internals
from microworkflows.worker import celery_internals

logger = logging.getLogger(__name__)


def guard(consumer: Consumer, *, is_event_queue: Callable[[str | None], bool]) -> None:
    """Read the messages of event queues as they are; those of other queues as before."""
    channel: Any = consumer.channel
    speaks_amqp = isinstance(channel, amqp.Channel)
    if speaks_amqp:
        channel.auto_decode = False
        amqp_internals.keep_unreadable_properties_from_raising()
        celery_internals.on_unreadable_delivery(channel, _refuse)

    def is_an_events(raw: Any) -> bool:
        """Return True for a message of an event queue; decode the body of any other, as py-amqp would have."""
        if not speaks_amqp:
            return is_event_queue(raw["properties"]["delivery_info"].get("queue"))
        if is_event_queue(celery_internals.queue_of_tag(consumer, raw.delivery_info.get("consumer_tag"))):
            return True
        _decode(raw)
        return False

    channel.Message = amqp_internals.as_it_came(channel.Message, applies=is_an_events)


def strip(message: Message) -> None:
    """Take headers and properties away, which Celery would obey; :func:`restore` puts them back."""
    kept: Any = message
    kept.stripped = message.headers, message.properties
    message.headers, message.properties = {}, {}


def restore(message: Message) -> None:
    """Give a message the headers and properties back that :func:`strip` took, so that it can be published again."""
    kept: Any = message
    message.headers, message.properties = getattr(kept, "stripped", (message.headers, message.properties))


def _decode(raw: Any) -> None:
    """Decode the body of a task's message as py-amqp does."""
    with suppress(Exception):
        raw.body = raw.body.decode(raw.content_encoding)


def _refuse(channel: amqp.Channel, delivery_tag: int, error: Exception) -> None:
    """Make a message a dead letter whose routing key or exchange py-amqp cannot read."""
    logger.error("dead letter: its routing key cannot be read: %s", error)
    channel.basic_reject(delivery_tag, requeue=False)
