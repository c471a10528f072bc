"""Rates: how many events each context relays and handles a minute, and what is under way now."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Sum

from microworkflows import times
from microworkflows.cloudevents import context_of
from microworkflows.journal.models import Minute

WINDOW: Final = timedelta(minutes=5)
"""Time over which rates are averaged; the current minute, which is not over, is left out."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Numbers of one context, a minute."""

    relayed: float = 0.0
    handled: float = 0.0
    failed: float = 0.0


def rates(*, now: datetime) -> Mapping[str, Rate]:
    """Return the rates by context, of the last whole minutes; a context in which nothing happened is left out."""
    until = now.replace(second=0, microsecond=0)
    minutes = WINDOW / timedelta(minutes=1)
    rows = (
        Minute.objects.filter(at__gte=times.stored(until - WINDOW), at__lt=times.stored(until))
        .order_by()
        .values_list("type", "consumer")
        .annotate(counted=Sum("count"), gone_wrong=Sum("failed"))
    )
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for type, consumer, count, failed in rows:
        if consumer:
            sums[context_of(consumer)][1] += count / minutes
            sums[context_of(consumer)][2] += failed / minutes
        else:
            sums[context_of(type)][0] += count / minutes
    return {
        context: Rate(relayed=relayed, handled=handled, failed=failed)
        for context, (relayed, handled, failed) in sums.items()
    }
