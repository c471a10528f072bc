"""The delivery protocol's world: the kit's own functions on PostgreSQL, a clock, and a stand-in for the broker's queues."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import Error, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import DomainEvent, IncomingEvent, PermanentError, inbox, outbox, purging, registry
from microworkflows.models import DUE_AT_ONCE, InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.relay.leadership import Leadership, leadership
from microworkflows.relay.publisher import Message, Outcome
from microworkflows.workflows import Microworkflow

RETENTION = timedelta(days=30)
LOCK_TIMEOUT = "150ms"
"""Relay and purge wait for nobody; a wait that lasts so long is one for a handler, which lasts until it is told to end."""
EFFECTS = "model_effect"
_PATIENCE_SECONDS = 60
OUTCOMES = ("ok", "fail", "permanent", "die")

DESK, ARCHIVE, LETTERS = "desk", "archive", "letters"
CONTEXTS = (LETTERS, DESK, ARCHIVE)
WRITTEN, STAMPED = "letters.letter_written.v1", "desk.letter_stamped.v1"
DEPLOYMENTS: tuple[tuple[str, ...], ...] = (
    ("desk.stamp", "desk.weigh", "archive.file"),
    ("desk.stamp", "archive.file"),  # one is removed,
    ("desk.stamp", "desk.weigh_again", "archive.file"),  # or renamed,
    ("desk.stamp", "desk.weigh", "desk.count", "archive.file"),  # or added
    ("desk.stamp", "desk.weigh"),  # nobody listens in the archive, whose queue is still bound
)


class DiedError(BaseException):
    """The process of a handler dies: its transaction rolls back, and nothing is acknowledged."""


class WaitedError(AssertionError):
    """Who must wait for nobody waited for a row that a handler holds."""


class Clock:
    """Tells a time of its own, later at each look; it stands in for the kit's."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


@dataclass(eq=False)
class Copy:
    """A message in a queue."""

    queue: str
    message: Message

    def __post_init__(self) -> None:
        self.body: Any = json.loads(self.message.body)
        self.event = UUID(self.body["id"])
        self.heard_by: list[str] = []
        """Labels of the microworkflows that it was for when it was delivered last."""

    def listeners(self) -> list[str]:
        """Return the labels of the microworkflows that it is for now."""
        labels = [each.label for each in registry.listeners(self.body["type"], contexts=[self.queue])]
        return [label for label in labels if self.message.label in (None, label)]


class Broker:
    """Queues in memory: what is published stays until it is acknowledged, in any order, perhaps twice."""

    def __init__(self) -> None:
        self.ready: list[Copy] = []
        self.unacked: list[Copy] = []
        """Copies that were received, and not acknowledged yet."""
        self.in_hand: list[Copy] = []
        """Copies whose handler is at work."""
        self.reached: dict[UUID, set[str]] = {}
        """Queues that each event reached by its type."""
        self._bindings = {(context, context) for context in CONTEXTS}

    def bind(self) -> None:
        """Bind the queues to what is listened to now; no binding is ever removed."""
        self._bindings |= {(name, key) for name in CONTEXTS for key in registry.subscriptions(name)}

    def publish(self, message: Message) -> bool:
        """Route a message; return False if no queue is bound."""
        queues = [name for name, key in sorted(self._bindings) if key == message.routing_key]
        for name in queues:
            copy = Copy(name, message)
            self.ready.append(copy)
            if message.attempt is None:
                self.reached.setdefault(copy.event, set()).add(name)
        return bool(queues)

    def copies(self) -> list[Copy]:
        """Return every copy that the broker still holds."""
        return [*self.ready, *self.unacked, *self.in_hand]


@dataclass(kw_only=True)
class Sending:
    """A relay's batch: claimed, sent up to a point, and not marked yet."""

    context: str
    messages: list[Message]
    found_at: datetime | None
    """Time at which retries were found due; None for events."""
    sent: int = 0
    outcome: Outcome = field(default_factory=Outcome)


class Relay:
    """A relay with a session of its own, which leads a context once it holds its lock."""

    def __init__(self) -> None:
        self.session: BaseDatabaseWrapper = connections.create_connection("default")
        self.sendings: list[Sending] = []
        self._pid: int | None = None
        self._locks: dict[str, Leadership] = {}

    def leads(self, context: str) -> bool:
        """Try to lead."""
        if self.session.connection is None:
            with self.session.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
                cursor.execute("SELECT pg_backend_pid()")
                (self._pid,) = cursor.fetchone()
        return self._locks.setdefault(context, leadership(self.session, context)).acquire()

    def restart(self) -> None:
        """Forget what is under way, as after a crash, and leave the session."""
        self.end_session()
        self.sendings.clear()
        self._locks.clear()
        self.session.close()

    def end_session(self) -> None:
        """End the session, as another relay does after a silence; once this returns, its locks are free."""
        if self._pid is not None:
            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [self._pid])
            self._pid = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run a statement of the kit in this relay's session; if that is lost, begin anew.

        Raises:
            WaitedError: the statement waited for a lock.
        """
        others, connections["default"] = connections["default"], self.session
        is_lost = False
        try:
            with waits_for_nobody("relay"):
                yield
        except Error:
            is_lost = True
        finally:
            connections["default"] = others
        if is_lost:
            self.restart()


@contextmanager
def waits_for_nobody(who: str) -> Iterator[None]:
    """Take a lock timeout for the error that it is."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == "55P03":
            raise WaitedError(f"the {who} waited for a row that a handler holds") from error
        raise


class Held(threading.Thread):
    """A delivery in a process of its own, which stops in a handler, its transaction open, and before a failure is kept."""

    def __init__(self, copy: Copy, receive: Callable[[Copy], None], *, label: str) -> None:
        super().__init__(daemon=True)
        self.copy = copy
        self.error: BaseException | None = None
        self.state = ""
        """Where it stopped: *holds* the row of its handler, *failed* and holds nothing, or *over*."""
        self._receive = receive
        self._label = label
        self._states: queue.Queue[str] = queue.Queue()
        self._orders: queue.Queue[str] = queue.Queue()

    def begin(self) -> None:
        """Start, and wait until it stops for the first time."""
        self.start()
        self.state = self._states.get(timeout=_PATIENCE_SECONDS)

    def go_on(self, order: str) -> None:
        """Tell it how the handler ends, or to keep its failure, or to die, and wait until it stops again."""
        self._orders.put(order)
        self.state = self._states.get(timeout=_PATIENCE_SECONDS)

    def stop(self, state: str) -> str:
        """Stop here until it is told to go on; return the order."""
        self._states.put(state)
        return self._orders.get(timeout=10 * _PATIENCE_SECONDS)

    def run(self) -> None:
        _here.held, _here.plan = self, {self._label: "hold"}
        try:
            self._receive(self.copy)
        except BaseException as error:  # it is looked at by who takes its message back
            self.error = error
        finally:
            connections.close_all()
            self._states.put("over")


def stopping(keep: Callable[..., None]) -> Callable[..., None]:
    """Return the kit's function that keeps a failure, with a stop before it, since others may come between."""

    def stop_and_keep(*arguments: Any, **options: Any) -> None:
        if _here.held is not None and _here.held.stop("failed") == "die":
            raise DiedError
        keep(*arguments, **options)

    return stop_and_keep


_here = threading.local()
"""The plan of this thread's delivery, and the held delivery itself."""


class LetterWritten(DomainEvent):
    """The event with which everything begins."""

    number: int


class LetterStamped(DomainEvent):
    """The event that the desk emits."""

    number: int


class WrittenAtDesk(IncomingEvent):
    """The desk's reading."""

    number: int


class StampedAtArchive(IncomingEvent):
    """The archive's reading."""

    number: int


# Set here and not in their declarations, which would register them for all tests of this process.
LetterWritten.event_type = WrittenAtDesk.event_type = WRITTEN
LetterStamped.event_type = StampedAtArchive.event_type = STAMPED


def _declared(label: str) -> Microworkflow[Any]:
    context, name = label.split(".")

    def handler(event: Any) -> Any:
        with connections["default"].cursor() as cursor:
            cursor.execute(f"INSERT INTO {EFFECTS} VALUES (%s, %s)", [label, event.meta.id])
        outcome = _here.plan.get(label, "ok")
        match _here.held.stop("holds") if outcome == "hold" else outcome:
            case "fail":
                raise ValueError("no ink")
            case "permanent":
                raise PermanentError("no such letter")
            case "die":
                raise DiedError
        return LetterStamped(number=event.number) if label == "desk.stamp" else None

    handler.__name__ = name
    on: Any = StampedAtArchive if context == ARCHIVE else WrittenAtDesk
    emits = [LetterStamped] if label == "desk.stamp" else []
    return Microworkflow(handler, on=on, emits=emits, context=context)


def deploy(labels: tuple[str, ...]) -> None:
    """Let these microworkflows be the ones that exist."""
    registry.clear()
    registry.add_announcement(LetterWritten)
    registry.add_announcement(LetterStamped)
    for label in labels:
        registry.add_workflow(_declared(label))


class World:
    """Everything, and the steps that change it. Each step is one at whose end a process may die."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.broker = Broker()
        self.relays = [Relay(), Relay()]
        self.held: list[Held] = []
        self.deploy(DEPLOYMENTS[0])

    def deploy(self, labels: tuple[str, ...]) -> None:
        """Let these microworkflows be the ones that exist, and bind the queues to what they listen to."""
        deploy(labels)
        self.broker.bind()

    def record(self, *, commits: bool) -> None:
        """Record an event in a transaction."""
        with transaction.atomic():
            outbox.record(LetterWritten(number=1))
            transaction.set_rollback(not commits)

    # The relay

    def claim(self, relay: Relay, context: str, *, limit: int, retries: bool) -> None:
        """Take due messages, besides those that are under way."""
        with relay.step():
            if not relay.leads(context):
                return
            now = self.clock()
            if retries:
                messages = store.due_retries(context, limit=limit, now=now)
            else:
                besides = [each for sending in relay.sendings for each in sending.messages]
                messages = store.due_events(context, limit=limit, now=now, besides=besides).messages
            if messages:
                found_at = now if retries else None
                relay.sendings.append(Sending(context=context, messages=messages, found_at=found_at))

    def publish(self, sending: Sending, *, answer: str) -> None:
        """Publish the next message; the broker's answer is a confirm, a nack, a refusal for good, or lost."""
        message = sending.messages[sending.sent]
        sending.sent += 1
        outcome = sending.outcome
        if answer == "nack":
            outcome.refused[message.id] = "the broker nacked it"
        elif answer == "reject":
            outcome.rejected[message.id] = "it is too large"
        elif not self.broker.publish(message):
            outcome.unheard.append(message.id)
        elif answer == "confirm":
            outcome.confirmed.append(message.id)

    def mark(self, relay: Relay, sending: Sending) -> None:
        """Store what the broker answered; the rest stays as it is."""
        with relay.step():
            if sending.found_at is None:
                store.mark_events(sending.outcome, now=self.clock())
            else:
                store.mark_retries(sending.outcome, now=sending.found_at)
            with suppress(ValueError):
                relay.sendings.remove(sending)

    # Workers

    def deliver(self, copies: list[Copy], *, plan: dict[str, str]) -> None:
        """Deliver one message, or several as a bundle; afterwards they are received, or back in their queue."""
        _here.plan, _here.held = plan, None
        self._take(copies)
        try:
            if len(copies) == 1:
                _receive(copies[0])
            else:
                inbox.receive_bundle([copy.body for copy in copies], queue=copies[0].queue)
        except DiedError:
            self._give_back(copies)
        else:
            self._received(copies)

    def hold(self, copy: Copy, *, label: str) -> None:
        """Deliver a message whose handler of this label stays at work."""
        self._take([copy])
        held = Held(copy, _receive, label=label)
        held.begin()
        self.held.append(held)
        self._end_if_over(held)

    def go_on(self, held: Held, order: str) -> None:
        """Let a handler at work end in this way, or keep its failure."""
        held.go_on(order)
        self._end_if_over(held)

    def ack(self, copy: Copy) -> None:
        """Acknowledge a message that was received."""
        self.broker.unacked.remove(copy)

    def redeliver(self, copy: Copy) -> None:
        """Lose the connection before the acknowledgement: the message comes again."""
        self.broker.unacked.remove(copy)
        self.broker.ready.append(copy)

    def _take(self, copies: list[Copy]) -> None:
        for copy in copies:
            copy.heard_by = copy.listeners()
            self.broker.ready.remove(copy)
            self.broker.in_hand.append(copy)

    def _give_back(self, copies: list[Copy]) -> None:
        for copy in copies:
            self.broker.in_hand.remove(copy)
            self.broker.ready.append(copy)

    def _received(self, copies: list[Copy]) -> None:
        for copy in copies:
            self.broker.in_hand.remove(copy)
            self.broker.unacked.append(copy)

    def _end_if_over(self, held: Held) -> None:
        if held.state != "over":
            return
        held.join()
        self.held.remove(held)
        if isinstance(held.error, DiedError):
            self._give_back([held.copy])
        elif held.error is not None:
            raise held.error
        else:
            self._received([held.copy])

    # People and upkeep

    def replay(self) -> None:
        """Replay every parked message."""
        InboxEvent.objects.parked().replay(by="clerk")

    def dismiss(self) -> None:
        """Dismiss every parked message."""
        InboxEvent.objects.parked().dismiss(by="clerk", why="nobody needs it")

    def purge(self) -> None:
        """Delete what is older than the retention."""
        with connections["default"].cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            try:
                with waits_for_nobody("purge"):
                    purging.purge(now=self.clock(), age=RETENTION)
            finally:
                cursor.execute("RESET lock_timeout")

    def relay_again(self, *, relayed_too: bool = False) -> None:
        """Relay unheard and rejected events again, or all that are left."""
        if relayed_too:
            store.relay_again(CONTEXTS, types=[], since=DUE_AT_ONCE)
        else:
            OutboxEvent.objects.all().relay_again()

    def close(self) -> None:
        """End what is at work, and leave the sessions."""
        for held in sorted(self.held, key=lambda held: held.state == "failed"):
            held.go_on("die")
        for relay in self.relays:
            relay.restart()


def _receive(copy: Copy) -> None:
    message = copy.message
    inbox.receive(copy.body, queue=copy.queue, attempt=message.attempt, label=message.label)
