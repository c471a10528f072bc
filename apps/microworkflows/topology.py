"""The kit's declarations at the broker: one topic exchange, and for each context a queue and its dead letters."""

from collections.abc import Callable
from contextlib import suppress

from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Queue, binding
from kombu.transport.base import StdChannel

from microworkflows import conf, flows, registry
from microworkflows.errors import TopologyError, UnreadableMarkError

DELIVERY_LIMIT = 20
"""Number of deliveries, the worker dying at each, after which RabbitMQ makes a message a dead letter.

RabbitMQ 4 has this default and then *drops* the message; here it goes to the dead letters of its queue.
"""

DELIVERY_COUNT = "x-delivery-count"
"""Header in which the broker counts the unsuccessful deliveries of a message."""

_NOT_FOUND = 404
_WHAT_TO_DO = (
    "An administrator of the broker must import what `manage.py broker_definitions` writes for all contexts, by "
    "`rabbitmqctl import_definitions`."
)


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
        bindings=[binding(exchange(), routing_key=dead_letter_name(queue))],
        durable=True,
        # Each look at a dead letter gives it back, and RabbitMQ 4 drops a message that was given back 20 times.
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000},
    )


def declare(channel: StdChannel, *, after_each: Callable[[], object] = lambda: None) -> None:
    """Declare exchange and queues, dead letters first; existing ones stay as they are.

    ``after_each`` is called after each queue.

    The queue of every installed context exists before the first publish, so that an event waits there for a worker
    that has not started yet.

    A user without the right to declare looks whether all is there, and binds the queues. Where ``MICROWORKFLOWS["USERS"]``
    is set, every user does: the broker logs what it refuses, and nobody shall get used to that.

    Raises:
        PreconditionFailed: an exchange or queue of the name exists with other arguments.
        TopologyError: something is missing, and this user may not declare it.
    """
    connection: Connection = channel.connection.client  # type: ignore[attr-defined]  # the stubs leave it out
    if not conf.current().users:
        with suppress(AccessRefused), connection.channel() as own:  # a refusal closes it
            _declare_all(own, after_each)
            return
    _find_all(connection, after_each)


def _declare_all(channel: StdChannel, after_each: Callable[[], object]) -> None:
    exchange()(channel).declare()
    for name in queues():
        dead_letters(name)(channel).declare()
        queue(name)(channel).declare()
        after_each()


def _find_all(connection: Connection, after_each: Callable[[], object]) -> None:
    """Look whether everything exists, and bind the queues that are no other user's; declare what is missing, if possible."""
    users, me = conf.current().users, connection.userid
    _find(exchange(), connection)
    for name in queues():
        is_anothers = me in users.values() and users.get(name, me) != me
        for wanted in (dead_letters(name), queue(name)):
            _find(wanted, connection)
            for bound in () if is_anothers else wanted.bindings:
                _bind(wanted, bound, connection)
        after_each()


def _bind(wanted: Queue, bound: binding, connection: Connection) -> None:
    try:
        with connection.channel() as channel:
            bound.bind(wanted, channel=channel)
    except AccessRefused as error:
        raise TopologyError(
            f"The queue {wanted.name!r} may not be bound to {bound.routing_key!r}, so nobody knows whether it is: "
            f"{error}. {_WHAT_TO_DO}"
        ) from error


def _find(wanted: Exchange | Queue, connection: Connection) -> None:
    kind = "exchange" if isinstance(wanted, Exchange) else "queue"
    try:
        with connection.channel() as channel:
            _declare_alone(wanted(channel), passive=True)
    except connection.channel_errors as error:
        if getattr(error, "reply_code", None) != _NOT_FOUND:
            raise
    else:
        return
    try:
        with connection.channel() as channel:
            _declare_alone(wanted(channel), passive=False)
    except AccessRefused as error:
        raise TopologyError(
            f"The {kind} {wanted.name!r} is missing, and this user may not declare it: {error}. {_WHAT_TO_DO}"
        ) from error


def _declare_alone(wanted: Exchange | Queue, *, passive: bool) -> None:
    """Declare an exchange, or a queue without its exchange and bindings."""
    if isinstance(wanted, Exchange):
        wanted.declare(passive=passive)
    else:
        wanted.queue_declare(passive=passive)
