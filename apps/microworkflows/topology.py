"""What the kit declares at the broker: one topic exchange, and for each context a queue and its dead letters."""

from kombu import Exchange, Queue, binding
from kombu.transport.base import StdChannel

from microworkflows import conf, registry
from microworkflows.stamps import BY_MONOLITH, MONOLITH, Stamp

DELIVERY_LIMIT = 20
"""How often RabbitMQ delivers a message whose worker dies on it before it becomes a dead letter.

RabbitMQ 4 has this default and then *drops* the message; here it always has somewhere to go.
"""

DELIVERY_COUNT = "x-delivery-count"
"""The header in which the broker says how often it delivered a message before, in vain."""


def exchange() -> Exchange:
    """Return the exchange that every event is published to, with its type as the routing key."""
    return Exchange(conf.current().exchange, type="topic", durable=True)


def feeds() -> list[str]:
    """Return the names of the queues that events are consumed from: each context's own, sorted.

    While a monolith is being cut over, its own worker has one too.
    """
    return [*registry.contexts(), *([MONOLITH] if conf.current().cutover else [])]


def contexts_of(feed: str) -> list[str]:
    """Return the contexts whose steps are done from a queue: one, or all that a monolith is handing over."""
    return list(conf.current().cutover) if feed == MONOLITH else [feed]


def feed(context: str, stamp: Stamp) -> str:
    """Return the queue from which a context's steps are done in a flow that bears this stamp."""
    return MONOLITH if stamp.mode(context) in BY_MONOLITH else context


def queue(context: str) -> Queue:
    """Return the queue of a context: durable, replicated (quorum), bound to the types that it listens to.

    It is bound to its own name as well: that is how a message to be retried comes back to this context alone.
    """
    types = {key for listening in contexts_of(context) for key in registry.subscriptions(listening)}
    bound = Queue(
        context,
        bindings=[binding(exchange(), routing_key=key) for key in (context, *sorted(types))],
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-overflow": "reject-publish",
            "x-dead-letter-strategy": "at-least-once",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead_letter_name(context),
        },
    )
    # Kombu takes an exchange or bindings, not both; without one, Celery would put its default exchange here.
    bound.exchange, bound.routing_key = exchange(), context
    return bound


def dead_letter_name(context: str) -> str:
    """Return the name of the queue that keeps what a context's worker could not read."""
    return f"{context}.dead"


def dead_letters(context: str) -> Queue:
    """Return the dead-letter queue of a context."""
    return Queue(
        dead_letter_name(context),
        exchange=exchange(),
        routing_key=dead_letter_name(context),
        durable=True,
        # Looking at a dead letter gives it back, and RabbitMQ 4 drops what was given back 20 times.
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000},
    )


def declare(channel: StdChannel) -> None:
    """Declare all of it, dead letters first; what exists already stays as it is.

    Declaring the queues of every installed context before the first publish is what keeps an event for a worker
    that has not started yet.
    """
    exchange()(channel).declare()
    for context in feeds():
        dead_letters(context)(channel).declare()
        queue(context)(channel).declare()
