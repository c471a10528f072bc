"""The core's protocol with its guests, which mark a flow as it begins, take part in it, or learn what happens in it.

A *guest* is an optional app, such as the cut-over, that the core does not know by name: its ``AppConfig`` registers it.
One guest may be the *router*, which decides once, when a flow begins, who does each context's steps in it. The decision
travels in each event of the flow as its *mark*. A flow without a mark is live everywhere: each context does its own steps.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from microworkflows.cloudevents import MARK, CloudEvent
from microworkflows.errors import UnreadableMarkError


class Guest:
    """Takes part in the core's work through hooks; a subclass overrides those that it needs."""

    def recorded(self, events: Sequence[CloudEvent]) -> None:
        """Act on events just recorded. Their transaction is still open; an exception forces its rollback."""

    def before_task(self, name: str) -> None:
        """Learn of a Celery task about to be sent; raise to refuse it."""

    def purge(self, *, before: datetime) -> Mapping[str, int]:
        """Delete the guest's rows from before a time; return the number deleted for each kind (a plural noun)."""
        return {}


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

    def contexts_elsewhere(self) -> Collection[str]:
        """Return the contexts whose inbox is known to be in another database than this."""
        return ()

    def queues(self) -> Sequence[str]:
        """Return the names of the router's own queues, which are consumed beside those of the contexts."""
        return ()

    def contexts_served_by(self, queue: str) -> Sequence[str]:
        """Return the contexts whose steps are done from one of :meth:`queues`."""
        return ()

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

    Returns None if nobody does them, because the code that recorded the event did. Raises as :meth:`Router.queue_for`
    does.
    """
    return context if mark is None else router.queue_for(context, mark)


def is_left_to_nobody(context: str, mark: str | None) -> bool:
    """Return True if nobody does a context's steps in a flow with this mark; False also if nobody can read the mark."""
    try:
        return queue_for(context, mark) is None
    except UnreadableMarkError:
        return False


def mode(context: str, mark: str | None) -> str:
    """Return a word for people for a context's part in a flow; empty if live, ``unknown`` if nobody can read the mark."""
    try:
        return "" if mark is None else router.mode(context, mark)
    except UnreadableMarkError:
        return "unknown"


def recorded(events: Sequence[CloudEvent]) -> None:
    """Tell the guests of events that were just recorded."""
    for guest in _guests:
        guest.recorded(events)


def before_task(name: str) -> None:
    """Tell the guests that a Celery task is about to be sent."""
    for guest in _guests:
        guest.before_task(name)


def purge(*, before: datetime) -> dict[str, int]:
    """Delete the guests' rows from before a time; return the number deleted for each kind."""
    return {what: count for guest in _guests for what, count in guest.purge(before=before).items()}
