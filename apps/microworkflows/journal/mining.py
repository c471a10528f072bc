"""Variants mined from the journal: how many of the finished flows went which way, and how long that took."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from microworkflows import times
from microworkflows.journal import variants
from microworkflows.journal.models import Flow
from microworkflows.journal.variants import Way
from microworkflows.journal.windows import Window

MOST_FLOWS: Final = 10_000
"""Flows that are looked at, the newest of the window."""
MOST_VARIANTS: Final = 12
"""Variants that are shown by themselves."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way, and who went it."""

    name: str
    way: Way
    """Its steps, from the newest flow that went it."""
    count: int
    outcome: str
    median: float
    """Seconds from begin to end that half of its flows stayed below."""
    example: str
    """Correlation id of its newest flow."""


@dataclass(frozen=True, kw_only=True)
class Mined:
    """The ways of the finished flows that began in a window."""

    variants: tuple[Variant, ...]
    flows: int
    """Flows that were looked at."""
    since: datetime
    """Since when they began: later than the window where it holds more flows than are looked at."""
    whole: bool
    """True if these are all of the window."""
    others: int
    """Flows that went ways which are not shown, or that nobody knows yet."""


def mined(window: Window) -> Mined:
    """Return the variants of the finished flows that began in a window, the most frequent first."""
    since, until = times.stored(window.since), times.stored(window.until)
    done = Flow.objects.filter(state=Flow.State.DONE, began_at__gte=since, began_at__lte=until)
    rows = list(
        done.order_by("-began_at").values_list("variant", "pk", "outcome", "began_at", "since")[:MOST_FLOWS]
    )
    went: dict[str, list[tuple[int, str, float]]] = defaultdict(list)
    for variant, pk, outcome, began_at, ended_at in rows:
        if variant:
            went[variant].append((pk, outcome, (ended_at - began_at).total_seconds()))
    frequent = sorted(went, key=lambda name: (-len(went[name]), name))[:MOST_VARIANTS]
    newest = {went[name][0][0]: name for name in frequent}
    examples = {
        newest[flow.pk]: flow
        for flow in Flow.objects.filter(pk__in=newest).prefetch_related("events__deliveries")
    }
    found = tuple(
        Variant(
            name=name,
            way=_way(examples[name]),
            count=len(went[name]),
            outcome=went[name][0][1],
            median=max(0.0, median(seconds for _, _, seconds in went[name])),
            example=examples[name].correlation_id,
        )
        for name in frequent
        if name in examples  # else it was deleted between the two queries
    )
    whole = len(rows) < MOST_FLOWS
    return Mined(
        variants=found,
        flows=len(rows),
        since=window.since if whole else times.aware(rows[-1][3]),
        whole=whole,
        others=len(rows) - sum(each.count for each in found),
    )


def _way(flow: Flow) -> Way:
    events = list(flow.events.all())
    return variants.way(events, [each for event in events for each in event.deliveries.all()])
