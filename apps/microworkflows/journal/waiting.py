"""What waits now for each consumer: flows in which it has to act next, and deliveries that are tried again or parked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from django.db.models import Count, Min, Q

from microworkflows import times
from microworkflows.cloudevents import context_of
from microworkflows.journal.models import Delivery, Flow

MOST_WAITING: Final = 5_000
"""Flows of each state, the oldest, of which it is looked at whom they wait for."""


class FlowsWaiting(NamedTuple):
    """Open flows that wait for somebody."""

    number: int = 0
    since: datetime | None = None
    """Time of the last thing that happened in the flow of these that waits longest."""
    more: bool = False
    """True if there may be more: too many flows are on their way to look at all."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What waits now for one consumer."""

    flows: int = 0
    """Flows in which it has to act next."""
    more: bool = False
    """True if there may be more: too many flows are on their way to look at all."""
    since: datetime | None = None
    """Since when the oldest of them waits."""
    retried: int = 0
    """Deliveries that failed, and are tried again."""
    parked: int = 0
    """Deliveries that failed for good."""


def flows(of: Callable[[str], str] = context_of) -> Mapping[str, FlowsWaiting]:
    """Return the open flows that wait for each context, or for what ``of`` makes of a consumer's label.

    Of each state, the :data:`MOST_WAITING` oldest are looked at. The entry under "" only tells whether there may be more.
    """
    found: dict[str, tuple[int, datetime]] = {}
    more = False
    for state in (Flow.State.ON_ITS_WAY, Flow.State.FAILED):
        oldest = Flow.objects.filter(state=state).order_by("began_at")
        rows = list(oldest.values_list("waiting_for", "last_at")[:MOST_WAITING])
        more = more or len(rows) == MOST_WAITING
        for labels, last_at in rows:
            last = times.aware(last_at)
            for name in {of(label) for label in labels}:
                number, since = found.get(name, (0, last))
                found[name] = number + 1, min(since, last)
    told = {name: FlowsWaiting(number, since, more) for name, (number, since) in found.items()}
    return {"": FlowsWaiting(more=more), **told}


def by_consumer() -> dict[str, Waiting]:
    """Return what waits now by consumer; under "", whether there was too much."""
    waiting = flows(of=str)
    more = waiting[""].more
    statuses = Delivery.Status
    stuck = Delivery.objects.filter(status__in=[statuses.WAITING, statuses.PARKED]).order_by()
    deliveries = {
        consumer: (retried, parked, oldest)
        for consumer, retried, parked, oldest in stuck.values_list("consumer").annotate(
            retried=Count("pk", filter=Q(status=statuses.WAITING)),
            parked=Count("pk", filter=Q(status=statuses.PARKED)),
            oldest=Min("changed_at"),
        )
    }
    found = {"": Waiting(more=more)}
    for label in {*waiting, *deliveries} - {""}:
        retried, parked, oldest = deliveries.get(label, (0, 0, None))
        number, since, _ = waiting.get(label, FlowsWaiting())
        begun = [time for time in (since, oldest) if time is not None]
        found[label] = Waiting(
            flows=number, more=more, since=min(begun, default=None), retried=retried, parked=parked
        )
    return found
