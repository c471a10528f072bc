"""The kit's declarations at the broker: one topic exchange, and for each context a queue, its dead letters and its owner.

Everywhere else a queue goes by its label: that of its context, or one of the router's. Only here it gets its name at the
broker, which begins with ``MICROWORKFLOWS["PREFIX"]``.
"""

import logging
from collections.abc import Callable, Collection, Container, Iterable
from contextlib import suppress
from typing import NamedTuple

from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Queue, binding
from kombu.transport.base import StdChannel

from microworkflows import conf, flows, registry
from microworkflows.errors import ForeignQueueError, TopologyError, UnreadableMarkError

logger = logging.getLogger(__name__)

DELIVERY_LIMIT = 20
"""Number of deliveries, the worker dying at each, after which RabbitMQ makes a message a dead letter.

RabbitMQ 4 has this default and then *drops* the message; here it goes to the dead letters of its queue.
"""

DELIVERY_COUNT = "x-delivery-count"
"""Header in which the broker counts the unsuccessful deliveries of a message."""

_NOT_FOUND = 404
_OWNED_OTHERWISE = 406
_unclaimed: set[str] = set()
"""Queues whose owner this process may not declare: it says so once, and the broker logs one refusal."""
_WHAT_TO_DO = (
    "An administrator of the broker must import what `manage.py broker_definitions` writes for all contexts, by "
    "`rabbitmqctl import_definitions`."
)


class Bound(NamedTuple):
    """A binding, by names at the broker."""

    exchange: str
    queue: str
    key: str


def exchange() -> Exchange:
    """Return the exchange that every event is published to, with its type as the routing key."""
    return Exchange(exchange_name(), type="topic", durable=True)


def exchange_name() -> str:
    """Return the name of that exchange."""
    settings = conf.current()
    return f"{settings.prefix}{settings.exchange}"


def queues() -> list[str]:
    """Return the labels of the queues that events are consumed from: each context's own, sorted; then the router's."""
    return [*registry.contexts(), *flows.router.queues()]


def name(queue: str) -> str:
    """Return the name of a queue at the broker."""
    return f"{conf.current().prefix}{queue}"


def resolve(typed: str) -> str:
    """Return the name at the broker of the queue that somebody calls by its label; any other name is returned as it is."""
    return name(typed) if typed in queues() else typed


def by_name() -> dict[str, str]:
    """Return the labels of the queues by their names at the broker."""
    return {name(queue): queue for queue in queues()}


def among(names: Container[str]) -> list[str]:
    """Return the labels of the queues whose names at the broker are among these."""
    return [queue for queue in queues() if name(queue) in names]


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


def queue(label: str, *, late: bool = True) -> Queue:
    """Return a queue: durable, replicated (quorum), bound to the types that the contexts served by it listen to.

    It is also bound to its own name, by which a message to be retried comes back to this queue alone. ``late`` is False to leave
    out the types that the router binds late.
    """
    types = {
        key
        for context in contexts_served_by(label)
        for key in registry.subscriptions(context)
        if late or not _is_bound_late(label, key)
    }
    bound = Queue(
        name(label),
        bindings=[binding(exchange(), routing_key=key) for key in (name(label), *sorted(types))],
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-overflow": "reject-publish",
            "x-dead-letter-strategy": "at-least-once",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead_letter_name(label),
        },
    )
    # Kombu takes an exchange or bindings, not both; without one, Celery would put its default exchange here.
    bound.exchange, bound.routing_key = exchange(), name(label)
    return bound


def bindings(*, served: Collection[str] = ()) -> list[Bound]:
    """Return the bindings that :func:`declare` makes, which takes the same."""
    declared = [
        made for label in queues() for made in (queue(label, late=label in served), dead_letters(label))
    ]
    return [
        Bound(exchange_name(), made.name, each.routing_key) for made in declared for each in made.bindings
    ]


def bound_late() -> list[str]:
    """Return the labels of the queues that the router has bound to some of their types later than to others."""
    return [
        label
        for label in queues()
        if any(_is_bound_late(label, key) for key in registry.subscriptions(label))
    ]


def _is_bound_late(label: str, event_type: str) -> bool:
    """Return False for all where each context has a user: an administrator has bound the queues, and no other user may."""
    if conf.current().users or label in flows.router.queues():
        return False
    return flows.router.is_bound_late(label, event_type)


def dead_letter_name(queue: str) -> str:
    """Return the name at the broker of the queue for the dead letters of a queue."""
    return f"{name(queue)}.dead"


def dead_letters(queue: str) -> Queue:
    """Return the dead-letter queue of a queue."""
    return Queue(
        dead_letter_name(queue),
        bindings=[binding(exchange(), routing_key=dead_letter_name(queue))],
        durable=True,
        # Each look at a dead letter gives it back, and RabbitMQ 4 drops a message that was given back 20 times.
        queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000},
    )


def owner(queue: str) -> Exchange:
    """Return the exchange that says to which project a queue belongs: to the one that publishes to its alternate exchange.

    Nothing is ever published to the owner itself. RabbitMQ lists no bindings to a client and compares no argument of a queue
    that could tell two projects apart; but it refuses to declare an exchange again with another alternate exchange.
    """
    arguments = {"alternate-exchange": exchange().name}
    return Exchange(owner_name(queue), type="direct", durable=True, arguments=arguments)


def owner_name(queue: str) -> str:
    """Return the name of the exchange that says to whom a queue belongs."""
    return f"{name(queue)}.owner"


def declare(
    channel: StdChannel,
    *,
    served: Collection[str] = (),
    after_each: Callable[[], object] = lambda: None,
) -> None:
    """Declare exchange and queues, dead letters first; existing ones stay as they are.

    ``served`` are the labels of the queues to be bound to the types, too, that the router binds late. ``after_each`` is called
    after each queue.

    The queue of every installed context exists before the first publish, so that an event waits there for a worker
    that has not started yet.

    A user without the right to declare looks whether all is there, and binds the queues. Where ``MICROWORKFLOWS["USERS"]``
    is set, every user does: the broker logs what it refuses, and nobody shall get used to that.

    Raises:
        ForeignQueueError: a queue belongs to another project. Nothing was declared or bound.
        PreconditionFailed: an exchange or queue of the name exists with other arguments.
        TopologyError: something is missing, and this user may not declare it.
    """
    connection: Connection = channel.connection.client  # type: ignore[attr-defined]  # the stubs leave it out
    if not conf.current().users:
        with suppress(AccessRefused):
            _claim(queues(), connection)
            with connection.channel() as own:  # a refusal closes it
                _declare_all(own, served, after_each)
            return
    _find_all(connection, served, after_each)


def _declare_all(channel: StdChannel, served: Collection[str], after_each: Callable[[], object]) -> None:
    exchange()(channel).declare()
    for label in queues():
        dead_letters(label)(channel).declare()
        queue(label, late=label in served)(channel).declare()
        after_each()


def _claim(labels: Iterable[str], connection: Connection) -> None:
    """Declare the owners of queues, before anything is bound: a queue without one, as of an earlier version, gets one."""
    with connection.channel() as channel:
        for label in labels:
            try:
                owner(label)(channel).declare()
            except connection.channel_errors as error:
                if getattr(error, "reply_code", None) != _OWNED_OTHERWISE:
                    raise
                raise _foreign(label, error) from error


def _foreign(label: str, error: BaseException) -> ForeignQueueError:
    return ForeignQueueError(
        f"The queue {name(label)!r} belongs to another project, which has another exchange than {exchange().name!r}, so each "
        f"would take the other's events: {error}. Give this project names of its own at the broker by "
        "MICROWORKFLOWS['PREFIX'], or use another virtual host. If it is the same project, whose exchange was renamed: stop "
        "all its workers and relays, then delete what names the old exchange: "
        f"celery -A project amqp exchange.delete {owner_name(label)} false"
    )


def _claim_if_allowed(label: str, connection: Connection) -> None:
    if label in _unclaimed:
        return
    try:
        _claim([label], connection)
    except AccessRefused as error:
        _unclaimed.add(label)
        logger.warning(
            "nobody can tell whether the queue %r belongs to another project, as this user may not declare the exchange %r; "
            "%s (%s)",
            *(name(label), owner_name(label), _WHAT_TO_DO, error),
        )


def _find_all(connection: Connection, served: Collection[str], after_each: Callable[[], object]) -> None:
    """Look whether everything exists, and bind the queues that are no other user's; declare what is missing, if possible."""
    users, me = conf.current().users, connection.userid
    mine = [label for label in queues() if me not in users.values() or users.get(label, me) == me]
    for label in mine:
        _claim_if_allowed(label, connection)
    _find(exchange(), connection)
    for label in queues():
        for wanted in (dead_letters(label), queue(label, late=label in served)):
            _find(wanted, connection)
            for bound in wanted.bindings if label in mine else ():
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
