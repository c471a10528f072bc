"""Deadlines: how soon after one event of a flow another is expected; whoever watches flows reads them from the registry.

Nothing here measures time: a deadline is a declaration, as ``listens`` and ``emits`` are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from microworkflows import registry
from microworkflows.events import Event

Declared = TypeVar("Declared")


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """An event that is expected in each flow in which another has happened, unless the flow has ended before."""

    awaited: str
    """Type of the expected event."""
    of: str
    """Type of the event from whose recording on the time counts."""
    within: timedelta


def deadline(awaited: type[Event], *, within: timedelta, of: type[Event]) -> Callable[[Declared], Declared]:
    """Declare that an event is expected in time; a decorator for the microworkflow that hears it, which it leaves as it is.

    ::

        @deadline(ShipmentScheduled, within=timedelta(minutes=30), of=OrderAccepted)
        @microworkflow(on=ShipmentScheduled)
        def mark_shipped(event: ShipmentScheduled) -> None: ...

    The deadline holds for a flow until an event happens with which flows end (``outcome=`` of its class).

    Args:
        awaited: The expected event: an event of the context's own, or its reading of another's.
        within: Longest time from one event to the other.
        of: The event that begins the time.

    Raises:
        TypeError: one of them is no event, or has no type.
        ValueError: the time is not positive.
    """
    named: tuple[Any, ...] = (awaited, of)
    for event in named:
        if not (isinstance(event, type) and issubclass(event, Event) and hasattr(event, "event_type")):
            raise TypeError(
                f"deadline() names {event!r}, which is no event, or has no type. Name a domain event, or the context's reading of "
                "one: class X(IncomingEvent, type=...)."
            )
    if within <= timedelta():
        raise ValueError(
            f"within={within!r} is no time in which {awaited.__name__} can come. Name a positive timedelta."
        )
    registry.add_deadline(Deadline(awaited=awaited.event_type, of=of.event_type, within=within))
    return _unchanged


def _unchanged(declared: Declared) -> Declared:
    return declared
