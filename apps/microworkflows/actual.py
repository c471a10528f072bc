"""The topology as it is at the broker, beside what the installed code declares: what is to come, and what is left behind.

AMQP tells of a queue that one names, and lists neither queues nor bindings. So bindings come from RabbitMQ's definitions where
somebody gives them, from the files of the embedded broker, or else from this database's record of what was declared.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from kombu import Connection

from microworkflows import conf, declared, flows, heartbeats, ids, registry, times, topology
from microworkflows.models import OutboxEvent
from microworkflows.topology import Bound

_MOST_COUNTED: Final = 10_000
"""Depth of a queue up to which the outbox is asked for the age of its oldest message."""


class State(StrEnum):
    """How a binding at the broker and the installed code agree."""

    AS_DECLARED = "as declared"
    TO_COME = "to come"
    """The code declares it, and it is not there: a worker or relay that starts binds it."""
    LATE = "late"
    """The same, and it is bound with the first flow in which the context does its own steps."""
    LEFT_BEHIND = "left behind"
    """It is there, and the installed code does not declare it."""
    KEPT = "kept"
    """The same, and a process that lives declares it: other code runs beside this."""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A binding of a queue."""

    exchange: str
    key: str
    state: State
    declared_at: datetime | None
    """Time at which a process of this database declared it last; None if none has."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue."""

    name: str
    context: str
    is_declared: bool
    """True if the installed code declares it."""
    depth: int | None
    """Number of messages that wait; None if the queue does not exist."""
    consumers: int | None
    oldest_at: datetime | None
    """Time at which about the oldest of them was recorded; None if none waits, or nobody can tell."""
    bindings: tuple[Binding, ...]

    @property
    def is_left_behind(self) -> bool:
        """True if it is there, and the installed code does not declare it."""
        return not self.is_declared and self.depth is not None

    @property
    def left_behind(self) -> list[Bound]:
        """The bindings that are left behind, less its own name, which goes with the queue."""
        return [
            Bound(each.exchange, self.name, each.key)
            for each in self.bindings
            if each.state is State.LEFT_BEHIND and each.key != self.name
        ]

    @property
    def is_kept(self) -> bool:
        """True if a process that lives declares it, though the installed code does not."""
        return not self.is_declared and any(each.state is State.KEPT for each in self.bindings)


@dataclass(frozen=True, kw_only=True)
class Topology:
    """All that is known of the queues of one project."""

    exchange: str
    bindings_from: str
    """Source of the bindings, in words."""
    queues: tuple[Queue, ...]
    others: tuple[str, ...]
    """Queues bound to the exchange that nobody here has declared, of other services most likely; empty if nobody can tell."""

    def of(self, contexts: Collection[str]) -> "Topology":
        """Return what belongs to some of the contexts."""
        queues = tuple(queue for queue in self.queues if queue.context in contexts)
        return Topology(
            exchange=self.exchange, bindings_from=self.bindings_from, queues=queues, others=self.others
        )


def look(
    connection: Connection,
    *,
    definitions: Mapping[str, Any] | None = None,
    claimed: Collection[str] = (),
) -> Topology:
    """Look at the broker.

    Args:
        connection: An open one.
        definitions: RabbitMQ's own, as ``rabbitmqctl export_definitions`` and the management API tell them.
        claimed: Contexts whose queues are this project's even if no process is on record to have declared them.

    Raises:
        Exception: one of the connection's errors.
        Error: of the database.
    """
    record = {each.bound: each for each in declared.recorded()}
    exchanges = {topology.exchange_name(), *(each.exchange for each in record)}
    listed, source = _listed(connection, definitions, exchanges), "the broker"
    if listed is None:
        listed = set(record)
        first = min((each.since for each in record.values()), default=None)
        since = f"since {times.shown(first)}" if first else "and is empty"
        source = f"this database's record, which is kept {since}"
    wanted = set(topology.bindings(served=topology.queues()))
    at_once = set(topology.bindings(served=_served()))
    own = {each.queue for each in wanted}
    names = own | {each.queue for each in record}
    names |= {each.queue for each in listed if context_of(each.queue) in claimed}
    found = []
    for name in sorted(names, key=lambda name: (name not in own, name)):
        bindings = tuple(
            Binding(
                exchange=each.exchange,
                key=each.key,
                state=_state(each, wanted=wanted, at_once=at_once, listed=listed, record=record),
                declared_at=record[each].declared_at if each in record else None,
            )
            for each in sorted(wanted | listed)
            if each.queue == name
        )
        queue = _queue(connection, name, bindings, is_declared=name in own)
        if queue.depth is not None or queue.is_declared:
            found.append(queue)
    return Topology(
        exchange=topology.exchange_name(),
        bindings_from=source,
        queues=tuple(found),
        others=tuple(sorted({each.queue for each in listed} - names)),
    )


def context_of(name: str) -> str:
    """Return the label of the context whose queue, or queue of dead letters, has this name at the broker."""
    return name.removeprefix(conf.current().prefix).removesuffix(".dead")


def left_behind() -> list[str]:
    """Return the names of the queues on record that the installed code does not declare; they may be gone meanwhile."""
    wanted = {each.queue for each in topology.bindings()}
    return sorted({each.bound.queue for each in declared.recorded()} - wanted)


def _served() -> list[str]:
    """Return the labels of the queues that are bound to all their types as soon as a process starts."""
    late = set(topology.bound_late())
    return [
        label
        for label in topology.queues()
        if label not in late or label in flows.router.contexts_elsewhere()
    ]


def _state(
    each: Bound,
    *,
    wanted: Collection[Bound],
    at_once: Collection[Bound],
    listed: Collection[Bound],
    record: Mapping[Bound, declared.Recorded],
) -> State:
    if each in wanted:
        if each in listed:
            return State.AS_DECLARED
        return State.TO_COME if each in at_once else State.LATE
    return State.KEPT if each in record and record[each].is_kept else State.LEFT_BEHIND


def _listed(
    connection: Connection, definitions: Mapping[str, Any] | None, exchanges: Collection[str]
) -> set[Bound] | None:
    """Return the bindings of queues to these exchanges, as the broker lists them; None if it does not."""
    if definitions is not None:
        return {
            Bound(each["source"], each["destination"], each["routing_key"])
            for each in definitions["bindings"]
            if each["source"] in exchanges
            and each["destination_type"] == "queue"
            and each.get("vhost", connection.virtual_host) == connection.virtual_host
        }
    if connection.transport.driver_type != "embedded":
        return None
    with connection.channel() as opened:
        channel: Any = opened
        listed = channel.list_bindings()
        return {Bound(exchange, queue, key) for queue, exchange, key in listed if exchange in exchanges}


def _queue(connection: Connection, name: str, bindings: tuple[Binding, ...], *, is_declared: bool) -> Queue:
    depth, consumers = load(connection, name)
    return Queue(
        name=name,
        context=context_of(name),
        is_declared=is_declared,
        depth=depth,
        consumers=consumers,
        oldest_at=_oldest_at({each.key for each in bindings}, depth) if depth else None,
        bindings=bindings,
    )


def load(connection: Connection, name: str) -> tuple[int | None, int | None]:
    """Return the numbers of messages that wait in a queue and of its consumers; None if it does not exist.

    The embedded broker knows no consumers: their heartbeats count.
    """
    try:
        with connection.channel() as opened:
            channel: Any = opened  # whose stubs leave AMQP's verbs out
            told = channel.queue_declare(name, passive=True)
    except connection.channel_errors as error:
        if "NOT_FOUND" not in str(error):
            raise
        return None, None
    if connection.transport.driver_type != "embedded":
        return told.message_count, told.consumer_count
    alive = Counter(seen.queue for seen in heartbeats.workers() if seen.is_alive)
    return told.message_count, 0 if name.endswith(".dead") else alive[context_of(name)]


def _oldest_at(keys: Collection[str], depth: int) -> datetime | None:
    """Return when the oldest of a queue's messages was recorded, if the newest events of its types are those that wait there."""
    if depth > _MOST_COUNTED:
        return None
    rows = OutboxEvent.objects.filter(destination__in=keys, status=OutboxEvent.Status.RELAYED)
    for event in rows.order_by("-pk").values_list("pk", flat=True)[depth - 1 : depth]:
        return ids.timestamp(event)
    return None


def contexts() -> Iterator[str]:
    """Yield the labels of the contexts that are installed, or on record."""
    yield from topology.queues()
    yield from sorted({context_of(name) for name in left_behind()} - set(registry.contexts()))
