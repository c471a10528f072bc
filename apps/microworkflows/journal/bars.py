"""Bars: what a delivery did at each time, from waiting in the outbox to being handled; the time line draws them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from microworkflows.journal.models import Attempt, Delivery


class Part(StrEnum):
    """What a delivery does during a bar."""

    OUTBOX = "outbox"
    QUEUE = "queue"
    WORKING = "working"
    FAILED = "failed"
    """An attempt that ended with an error."""
    RETRY = "retry"
    """Waiting for the next attempt."""
    PARKED = "parked"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A part of a delivery's time."""

    part: Part
    began_at: datetime
    ended_at: datetime | None
    """None while it goes on."""
    error: str = ""
    number: int = 0
    """Number of the attempt, for one."""

    @property
    def duration(self) -> timedelta | None:
        """Its length; None while it goes on."""
        return None if self.ended_at is None else self.ended_at - self.began_at


@dataclass(frozen=True, kw_only=True)
class Act:
    """What somebody did about a parked message."""

    what: str
    """``replayed`` or ``dismissed``."""
    at: datetime
    by: str
    why: str


Corrected = Callable[[datetime, Delivery | Attempt], datetime]
"""Puts a row's time right: see :mod:`microworkflows.journal.clocks`."""

_ACTS = (Attempt.Ending.REPLAYED, Attempt.Ending.DISMISSED)


def of_delivery(
    delivery: Delivery,
    failures: Sequence[Attempt],
    *,
    recorded_at: datetime,
    relayed_at: datetime | None,
    corrected: Corrected,
) -> tuple[tuple[Bar, ...], tuple[Act, ...]]:
    """Return the bars of a delivery, none before the one it follows, and what people did.

    Args:
        delivery: The row.
        failures: Its attempts, and what was done about them, in their order.
        recorded_at: Time of the event's recording, corrected.
        relayed_at: Time of its relaying, corrected; None if unknown.
        corrected: Corrects the times of the rows.
    """
    first = failures[0] if failures and failures[0].ending not in _ACTS else delivery
    received_at = max(corrected(delivery.received_at, first), recorded_at)
    relayed_at = min(max(relayed_at or recorded_at, recorded_at), received_at)
    bars = [*_way(recorded_at, relayed_at, received_at)]
    acts: list[Act] = []
    reached, waiting = received_at, None
    for each in failures:
        ended_at = max(corrected(each.ended_at, each), reached)
        if each.ending in _ACTS:
            acts.append(Act(what=each.ending, at=ended_at, by=each.by, why=each.why))
        began_at = (
            ended_at if each.ending in _ACTS else max(ended_at - (each.duration or timedelta()), reached)
        )
        if waiting and began_at > reached:
            bars.append(Bar(part=waiting, began_at=reached, ended_at=began_at))
        if each.ending not in _ACTS:
            failed = Bar(
                part=Part.FAILED, began_at=began_at, ended_at=ended_at, error=each.error, number=each.number
            )
            bars.append(failed)
        reached, waiting = ended_at, Part.PARKED if each.ending == Attempt.Ending.PARKED else Part.RETRY
    return (*bars, *_last(delivery, reached, waiting, corrected)), tuple(acts)


def expected(recorded_at: datetime, relayed_at: datetime | None) -> tuple[Bar, ...]:
    """Return the bars of a delivery that has not begun."""
    if relayed_at is None:
        return (Bar(part=Part.OUTBOX, began_at=recorded_at, ended_at=None),)
    relayed_at = max(relayed_at, recorded_at)
    return (
        Bar(part=Part.OUTBOX, began_at=recorded_at, ended_at=relayed_at),
        Bar(part=Part.QUEUE, began_at=relayed_at, ended_at=None),
    )


def _way(recorded_at: datetime, relayed_at: datetime, received_at: datetime) -> Iterator[Bar]:
    if relayed_at > recorded_at:
        yield Bar(part=Part.OUTBOX, began_at=recorded_at, ended_at=relayed_at)
    if received_at > relayed_at:
        yield Bar(part=Part.QUEUE, began_at=relayed_at, ended_at=received_at)


def _last(delivery: Delivery, reached: datetime, waiting: Part | None, corrected: Corrected) -> Iterator[Bar]:
    """Yield what came after the last failure, or comes."""
    status = Delivery.Status(delivery.status)
    if status is Delivery.Status.HANDLED and delivery.handled_at is not None:
        ended_at = max(corrected(delivery.handled_at, delivery), reached)
        began_at = max(ended_at - (delivery.duration or timedelta()), reached) if waiting else reached
        if waiting and began_at > reached:
            yield Bar(part=waiting, began_at=reached, ended_at=began_at)
        yield Bar(part=Part.WORKING, began_at=began_at, ended_at=ended_at, number=delivery.attempts)
    elif status is Delivery.Status.RUNNING:
        yield Bar(part=Part.WORKING, began_at=reached, ended_at=None, number=delivery.attempts)
    elif status is Delivery.Status.WAITING:
        yield Bar(part=Part.RETRY, began_at=reached, ended_at=None)
    elif status is Delivery.Status.PARKED:
        yield Bar(part=Part.PARKED, began_at=reached, ended_at=None, error=delivery.error)
