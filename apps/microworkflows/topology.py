"""The kit's declarations at the broker: one topic exchange, and for each context a queue and its dead letters."""

from collections.abc import Callable

from kombu import Exchange, Queue, binding
from kombu.transport.base import StdChannel

from microworkflows import conf, flows, registry
from microworkflows.errors import UnreadableMarkError

DELIVERY_LIMIT = 20
"""Number of deliveries, the worker dying at each, after which RabbitMQ makes a message a dead letter.

RabbitMQ 4 has this default and then *drops* the message; here it goes to the dead letters of its queue.
"""

DELIVERY_COUNT = "x-delivery-count"
"""Header in which the broker counts the unsuccessful deliveries of a message."""


def exchange() -> Exchange:
    """Return the exchange that every event is published to, with its type as the routing key."""
    return Exchange(conf.current().exchange, type="topic", durable=True)


def queues() -> list[str]:
    """Return the names of the queues that events are consumed from: each context's own, sorted; then the router's."""
    return [*registry.contexts(), *flows.router.queues()]


def contexts_served_by(queue: str) -> list[str]:
    """Return the contexts whose steps are done from a queue: its own, or those that the router names."""
    return list(flows.router.contexts_served_by(queue)) if queue in flows.router.queues() else [queue]


def queue_for(context: str, mark: str | None) -> str:
    """Return the queue to which a message for a context is redelivered, in a flow with this mark.

    It is the context's own queue if nobody does its steps, or nobody known here, or if nobody can read the mark: its worker
    says so and handles nothing.
    """
    if mark is None or not (others := flows.router.queues()):
        return context
    try:
        queue = flows.queue_for(context, mark)
    except UnreadableMarkError:
        return context
    return queue if queue is not None and queue in others else context


def queue(name: str) -> Queue:
    """Return a queue: durable, replicated (quorum), bound to the types that the contexts served by it listen to.

    It is also bound to its own name, by which a message to be retried comes back to this queue alone.
    """
    types = {key for context in contexts_served_by(name) for key in registry.subscriptions(context)}
    bound = Queue(
        name,
        bindings=[binding(exchange(), routing_key=key) for key in (name, *sorted(types))],
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-overflow": "reject-publish",
            "x-dead-letter-strategy": "at-least-once",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead_letter_name(name),
        },
    )
    # Kombu takes an exchange or bindings, not both; without one, Celery would put its default exchange here.
    bound.exchange, bound.routing_key = exchange(), name
    return bound


def dead_letter_name(queue: str) -> str:
    """Return the name of the queue for the dead letters of a queue."""
    return f"{queue}.dead"


def dead_letters(queue: str) -> Queue:
    """Return the dead-letter queue of a queue."""
    return Queue(
        dead_letter_name(queue),
        exchange=exchange(),
        routing_key=dead_letter_name(queue),
        durable=True,
        # Each look at a dead letter gives it back, and RabbitMQ 4 drops a message that was given back 20 times.
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000},
    )


def declare(channel: StdChannel, *, after_each: Callable[[], object] = lambda: None) -> None:
    """Declare exchange and queues, dead letters first; existing ones stay as they are.

    ``after_each`` is called after each queue.

    The queue of every installed context exists before the first publish, so that an event waits there for a worker
    that has not started yet.
    """
    exchange()(channel).declare()
    for name in queues():
        dead_letters(name)(channel).declare()
        queue(name)(channel).declare()
        after_each()
