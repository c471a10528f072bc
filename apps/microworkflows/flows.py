"""The core's protocol with its guests, which mark a flow as it begins, take part in it, or learn what happens in it.

A *guest* is an optional app, such as the cut-over, that the core does not know by name: its ``AppConfig`` registers it.
One guest may be the *router*, which decides once, when a flow begins, who does each context's steps in it. The decision
travels in each event of the flow as its *mark*. A flow without a mark is live everywhere: each context does its own steps.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from kombu import Queue

from microworkflows import past
from microworkflows.cloudevents import MARK, TRACESTATE, CloudEvent, Metadata, context_of
from microworkflows.errors import UnreadableMarkError
from microworkflows.subjects import Subject

logger = logging.getLogger(__name__)

_NO_CONTEXT = nullcontext()


class TraceContext(NamedTuple):
    """A span as W3C Trace Context names it."""

    traceparent: str
    tracestate: str = ""
    """Empty if nobody has added to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a consumer at an event, as it has ended."""

    event: CloudEvent
    consumer: str
    """Label of the microworkflow, or of the context where none of its microworkflows listens."""
    number: int
    """1 for the first."""
    duration: float | None
    """Duration in seconds; None if nothing has run, or nobody knows."""
    mode: str = ""
    """The context's part in the flow, in a word of the router's; empty if its own worker does the step."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason for which an attempt failed, without sensitive values."""

    error: str
    """Type and text of the error."""
    traceback: str
    parked: bool
    """True if the message goes no further until somebody replays it."""
    due_at: datetime | None
    """Time of the next attempt; None if the message is parked."""
    type: str = ""
    """Module and name of the error's class, such as ``payments.errors.CardDeclinedError``; empty if the relay parked the message."""
    fingerprint: str = ""
    """The same for failures of one cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Outcomes of one batch of events at the broker, as marked in the outbox. Bodies are CloudEvents in JSON."""

    context: str
    relayed: Sequence[tuple[UUID, str]]
    """Id and body of the events that the broker confirmed."""
    unheard: Sequence[tuple[UUID, str]]
    """Id and body of those that it returned, because no queue is bound to their type."""
    rejected: Sequence[tuple[UUID, str, str]]
    """Id and body of those that it refuses for good, with the reason."""
    unconfirmed: Sequence[tuple[UUID, str]]
    """Id and body of those that are published again: the broker nacked them, or went away."""
    duration: float
    """Seconds from the first message sent until the outcomes were marked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnQueue:
    """A queue of a guest's own, bound to an exchange of its own, to which every context's user may publish."""

    queue: Queue
    reader: str
    """Label of the context whose user reads the queue; empty: every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasing:
    """An erasure of personal data, as guests learn of it."""

    subjects: Sequence[Subject]
    """Objects that flows are about."""
    events: Collection[UUID]
    """Ids of the events of these flows that are known here."""
    correlation_ids: Collection[str]
    """Ids of these flows: those made of the subjects, and others of which an event is known here."""
    at: datetime
    although: bool = False
    """True to erase also from what somebody still has to handle: it is given up."""


class Kept(NamedTuple):
    """What still holds something after an erasure."""

    what: str
    number: int
    why: str
    remedy: str
    """What to do, before the erasure is repeated."""


class Guest:
    """Takes part in the core's work through hooks; a subclass overrides those that it needs."""

    def recorded(self, events: Sequence[CloudEvent]) -> None:
        """Act on events just recorded. Their transaction is still open; an exception forces its rollback."""

    def span(self, event: Metadata) -> TraceContext | None:
        """Return the span that an event about to be recorded belongs to; None to leave that to others."""
        return None

    def bundling(self, context: str) -> AbstractContextManager[Any] | None:
        """Return a context in which several runs share a transaction, from its begin to its commit; None if it needs none."""
        return None

    def running(self, event: CloudEvent, *, consumer: str, number: int) -> AbstractContextManager[Any] | None:
        """Return a context in which a microworkflow runs, inside its transaction; None if it needs none.

        Args:
            event: The event that it handles.
            consumer: Its label.
            number: Number of the attempt, 1 for the first.
        """
        return None

    def handled(self, attempt: Attempt, emitted: Sequence[UUID]) -> None:
        """Learn that an event was handled, after the commit.

        ``emitted`` are the ids of the events recorded by that, without timers: nobody waits for these, and some never come.
        """

    def failed(self, attempt: Attempt, failure: Failure) -> None:
        """Learn that an attempt failed, after the message was kept with its error."""

    def sent(self, batch: Sent) -> None:
        """Learn, in the relay, of the outcomes of a batch of events."""

    def led(self, context: str, leads: bool) -> None:
        """Learn, in the relay, that this process leads a context from now on, or no longer does."""

    def beat(self, worker: str, *, depths: Mapping[str, int | None], handling: int) -> None:
        """Learn every few seconds, in a thread of the worker, that it lives.

        Args:
            worker: Celery's name of it.
            depths: Number of messages that wait in each queue that it consumes; None if unknown.
            handling: Number of messages that its processes have in hand.
        """

    def stopped(self, worker: str) -> None:
        """Learn that a worker was told to stop, and consumes no more."""

    def beside_relay(self, contexts: Sequence[str], stop: threading.Event) -> None:
        """Work in a thread of its own, in each process that relays, until told to stop; several processes may do so at once.

        It has database connections of its own. An exception is logged, and the method called again after a pause.
        """

    def acted(self, act: str, messages: Sequence[tuple[str, UUID]], *, by: str, why: str) -> None:
        """Learn, after the commit, that somebody replayed or dismissed messages.

        Args:
            act: ``replayed`` or ``dismissed``.
            messages: Label of the consumer and id of the event of each.
            by: Name of the person.
            why: The reason; it may be empty.
        """

    def own_queues(self) -> Sequence[OwnQueue]:
        """Return the queues that the guest has at the broker, for the definitions that an administrator imports."""
        return ()

    def before_task(self, name: str) -> None:
        """Learn of a Celery task about to be sent; raise to refuse it."""

    def purge(self, *, before: datetime) -> Mapping[str, int]:
        """Delete the guest's rows from before a time; return the number deleted for each kind (a plural noun)."""
        return {}

    def retentions(self, *, default: timedelta) -> Mapping[str, timedelta]:
        """Return the age at which :meth:`purge` deletes rows of each kind (a plural noun), if others go at the default."""
        return {}

    def erase(self, erasing: Erasing) -> Mapping[str, int]:
        """Erase from the guest's rows what may be personal; return the number changed for each kind (a plural noun)."""
        return {}

    def kept(self, erasing: Erasing) -> Sequence[Kept]:
        """Return what :meth:`erase` left, because somebody still has to handle what it is about."""
        return ()

    def contexts_of(self, erasing: Erasing) -> Collection[str]:
        """Return the labels of the contexts, of whatever service, that are known to have taken part in these flows."""
        return ()


class Router(Guest):
    """Decides who does a flow's steps. This default, in force where no guest routes, leaves every flow unmarked."""

    def mark(self, correlation_id: str) -> str | None:
        """Return the mark of the flow that begins, or None if it is live everywhere."""
        return None

    def queue_for(self, context: str, mark: str) -> str | None:
        """Return the queue from which a context's steps are done in a flow with this mark; None if nobody does them.

        Raises:
            UnreadableMarkError: no installed app reads marks.
        """
        raise self._unreadable(mark)

    def mode(self, context: str, mark: str) -> str:
        """Return a word for people for a context's part in a flow with this mark, such as ``inline``; empty if live.

        Raises:
            UnreadableMarkError: as :meth:`queue_for` does.
        """
        raise self._unreadable(mark)

    def page_about(self, mode: str, correlation_id: str, user: Any) -> str:
        """Return the address of a page that tells a user more about a flow's steps in this mode; empty if there is none."""
        return ""

    def contexts_elsewhere(self) -> Collection[str]:
        """Return the contexts whose inbox is known to be in another database than this."""
        return ()

    def queues(self) -> Sequence[str]:
        """Return the names of the router's own queues, which are consumed beside those of the contexts."""
        return ()

    def contexts_served_by(self, queue: str) -> Sequence[str]:
        """Return the contexts whose steps are done from one of :meth:`queues`."""
        return ()

    def is_bound_late(self, context: str, event_type: str) -> bool:
        """Return True if a context's queue is to get events of a type only once its own worker does steps.

        Whoever says so knows that a relay of this project brings the first event of each flow to the broker: it binds the queue
        before an event leaves in whose flow the context does its own steps. The context's own worker binds it, too.
        """
        return False

    def receive(
        self, event: CloudEvent, *, queue: str, attempt: int | None, label: str | None, last_delivery: bool
    ) -> None:
        """Handle an event that came by one of :meth:`queues`, as :func:`microworkflows.inbox.receive` does."""
        raise NotImplementedError

    def _unreadable(self, mark: str) -> UnreadableMarkError:
        return UnreadableMarkError(
            f"When the flow began, it was marked {mark!r} (attribute {MARK}): the mark says who does its steps, and no "
            "installed app reads it. Add the app that marks flows, such as microworkflows.cutover, to INSTALLED_APPS, "
            "and replay this message."
        )


router = Router()
"""The router in force."""

_guests: list[Guest] = []


def register(guest: Guest) -> None:
    """Let a guest take part from now on, in this process; it takes the place of another of its class.

    Raises:
        ValueError: the guest routes, and so does another one.
    """
    global router
    if isinstance(guest, Router):
        if type(router) not in (Router, type(guest)):
            raise ValueError(f"{guest!r} cannot route flows: {router!r} does. Install one of the two apps.")
        router = guest
    _guests[:] = [*(other for other in _guests if type(other) is not type(guest)), guest]


def queue_for(context: str, mark: str | None) -> str | None:
    """Return the queue from which a context's steps are done in a flow: its own, unless the flow's mark says otherwise.

    Returns None if nobody does them, because the code that recorded the event did, or because it is of the past and was recorded
    for another context. Raises as :meth:`Router.queue_for` does.
    """
    if mark is None:
        return context
    if past.is_mark(mark):
        return context if past.concerns(context, mark) else None
    return router.queue_for(context, mark)


def does_own_steps(context: str, mark: str | None) -> bool:
    """Return True if a context's own worker does its steps in a flow with this mark, or if nobody can read the mark."""
    try:
        return queue_for(context, mark) == context
    except UnreadableMarkError:
        return True


def is_left_to_nobody(consumer: str, mark: str | None) -> bool:
    """Return True if nobody does a microworkflow's step, or a context's, in a flow with this mark.

    False also if nobody can read the mark.

    Args:
        consumer: Label of the microworkflow, or of the context.
        mark: Mark of the flow.
    """
    if past.is_mark(mark):
        return not past.is_for(consumer, mark)
    try:
        return queue_for(context_of(consumer), mark) is None
    except UnreadableMarkError:
        return False


def mode(context: str, mark: str | None) -> str:
    """Return a word for people for a context's part in a flow; empty if live, ``unknown`` if nobody can read the mark."""
    if past.is_mark(mark):
        return past.MODE
    try:
        return "" if mark is None else router.mode(context, mark)
    except UnreadableMarkError:
        return "unknown"


def recorded(events: Sequence[CloudEvent]) -> None:
    """Tell the guests of events that were just recorded."""
    for guest in _guests:
        guest.recorded(events)


def traced(event: Metadata) -> tuple[Metadata, dict[str, str]]:
    """Return the envelope of an event about to be recorded with the span that a guest has for it, and what else it carries.

    If no guest has a span, the envelope is as it was.
    """
    for guest in _guests:
        if (found := guest.span(event)) is not None:
            state = {TRACESTATE: found.tracestate} if found.tracestate else {}
            return replace(event, traceparent=found.traceparent), state
    return event, {}


def bundling(context: str) -> AbstractContextManager[Any]:
    """Return the context in which several runs share a transaction: those of all guests, one in another."""
    contexts = [each for guest in _guests if (each := guest.bundling(context)) is not None]
    return _all_of(contexts) if contexts else _NO_CONTEXT


def running(event: CloudEvent, *, consumer: str, number: int) -> AbstractContextManager[Any]:
    """Return the context in which a microworkflow runs: those of all guests, one in another."""
    contexts = [
        each
        for guest in _guests
        if (each := guest.running(event, consumer=consumer, number=number)) is not None
    ]
    return _all_of(contexts) if contexts else _NO_CONTEXT


@contextmanager
def _all_of(contexts: Sequence[AbstractContextManager[Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in contexts:
            stack.enter_context(each)
        yield


def has_guests() -> bool:
    """Return True if somebody listens: what is told to guests alone need not be put together for nobody."""
    return bool(_guests)


def handled(attempt: Attempt, emitted: Sequence[UUID]) -> None:
    """Tell the guests that an event was handled."""
    _tell(lambda guest: guest.handled(attempt, emitted))


def failed(attempt: Attempt, failure: Failure) -> None:
    """Tell the guests that an attempt failed."""
    _tell(lambda guest: guest.failed(attempt, failure))


def sent(batch: Sent) -> None:
    """Tell the guests of the outcomes of a batch."""
    _tell(lambda guest: guest.sent(batch))


def led(context: str, leads: bool) -> None:
    """Tell the guests that this process has taken or lost the lead of a context."""
    _tell(lambda guest: guest.led(context, leads))


def beat(worker: str, *, depths: Mapping[str, int | None], handling: int) -> None:
    """Tell the guests that a worker lives."""
    _tell(lambda guest: guest.beat(worker, depths=depths, handling=handling))


def stopped(worker: str) -> None:
    """Tell the guests that a worker consumes no more."""
    _tell(lambda guest: guest.stopped(worker))


def acted(act: str, messages: Sequence[tuple[str, UUID]], *, by: str, why: str) -> None:
    """Tell the guests what somebody did with messages."""
    _tell(lambda guest: guest.acted(act, messages, by=by, why=why))


def own_queues() -> list[OwnQueue]:
    """Return the guests' own queues at the broker."""
    return [queue for guest in _guests for queue in guest.own_queues()]


def beside_relay() -> list[Guest]:
    """Return the guests that work beside a relay."""
    return [guest for guest in _guests if type(guest).beside_relay is not Guest.beside_relay]


def _tell(tell: Callable[[Guest], None]) -> None:
    """Tell each guest what has happened already: a guest that cannot take it in changes nothing, and is heard of."""
    for guest in _guests:
        try:
            tell(guest)
        except Exception:
            logger.exception("%s failed to take in what happened; the flow goes on", type(guest).__qualname__)


def before_task(name: str) -> None:
    """Tell the guests that a Celery task is about to be sent."""
    for guest in _guests:
        guest.before_task(name)


def purge(*, before: datetime) -> dict[str, int]:
    """Delete the guests' rows from before a time; return the number deleted for each kind."""
    return {what: count for guest in _guests for what, count in guest.purge(before=before).items()}


def retentions(*, default: timedelta) -> dict[str, timedelta]:
    """Return the age at which the guests' rows are purged, for each kind."""
    return {what: age for guest in _guests for what, age in guest.retentions(default=default).items()}


def erase(erasing: Erasing) -> dict[str, int]:
    """Erase from the guests' rows what may be personal; return the number changed for each kind."""
    return {what: count for guest in _guests for what, count in guest.erase(erasing).items()}


def kept(erasing: Erasing) -> list[Kept]:
    """Return what the guests kept."""
    return [each for guest in _guests for each in guest.kept(erasing)]


def contexts_of(erasing: Erasing) -> set[str]:
    """Return the labels of the contexts that guests know to have taken part in flows."""
    return {context for guest in _guests for context in guest.contexts_of(erasing)}
