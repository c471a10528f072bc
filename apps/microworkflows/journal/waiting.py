"""What waits now for each consumer: flows in which it has to act next, and deliveries that are tried again or parked."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, Min, Q

from microworkflows.journal.models import Delivery, Flow

MOST_WAITING: Final = 5_000
"""Flows of each state, the oldest, of which it is looked at whom they wait for."""


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


def by_consumer() -> dict[str, Waiting]:
    """Return what waits now by consumer, the oldest first where there is too much; under "", whether there was too much."""
    flows: Counter[str] = Counter()
    since: dict[str, datetime] = {}
    more = False
    for state in (Flow.State.ON_ITS_WAY, Flow.State.FAILED):
        oldest = Flow.objects.filter(state=state).order_by("began_at")
        rows = list(oldest.values_list("waiting_for", "last_at")[:MOST_WAITING])
        more = more or len(rows) == MOST_WAITING
        for labels, last_at in rows:
            for label in labels:
                flows[label] += 1
                since[label] = min(since.get(label, last_at), last_at)
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
    for label in {*flows, *deliveries}:
        retried, parked, oldest = deliveries.get(label, (0, 0, None))
        begun = [time for time in (since.get(label), oldest) if time is not None]
        found[label] = Waiting(
            flows=flows[label], more=more, since=min(begun, default=None), retried=retried, parked=parked
        )
    return found
