"""Evidence on a context: how its shadow runs compared with the legacy steps, and what of it fails."""

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Avg, Count, Max
from django.utils.translation import gettext as _

from microworkflows.cutover import queries
from microworkflows.cutover.models import MissedEvent, ModeChange, ShadowComparison
from microworkflows.cutover.stamps import Mode
from microworkflows.models import Header, InboxEvent

_NEWEST = 1_000
"""Number of comparisons whose differences are put together."""
_EXAMPLES = 3
_KEY_OF_ROW = re.compile(r"^(row \S+) .+ (updated|deleted)")
"""What names a row that was changed or deleted: each has a key of its own."""


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """Results and cost of the shadow runs since the context last went to shadow."""

    since: datetime
    agreed: int
    differs: int
    failed: int
    refused: int
    legacy_milliseconds: float | None
    """Mean time of the legacy step; None if nothing was compared."""
    shadow_milliseconds: float | None
    """Mean time of the new microworkflow and of observing its effects."""

    @property
    def compared(self) -> int:
        """Number of compared runs."""
        return self.agreed + self.not_agreed

    @property
    def not_agreed(self) -> int:
        """Number of runs that somebody should look at."""
        return self.differs + self.failed + self.refused

    @property
    def by_outcome(self) -> list[tuple[str, int]]:
        """Non-zero counts of runs that disagreed, by outcome, for people."""
        numbers = ((_("differ"), self.differs), (_("failed"), self.failed), (_("refused"), self.refused))
        return [(outcome, number) for outcome, number in numbers if number]


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Numbers of a context's failing messages that were received since its mode was changed."""

    since: datetime | None
    """Time of that change; None if there was none."""
    waiting: int
    parked: int
    earlier: int
    """Number of failing messages that were received before."""

    @property
    def by_status(self) -> list[tuple[str, int]]:
        """Non-zero counts by status, the worse status first."""
        return [
            (status, number)
            for status, number in (("parked", self.parked), ("waiting", self.waiting))
            if number
        ]


@dataclass(frozen=True, kw_only=True)
class Missed:
    """Events of one name that could not be recorded beside the direct calls."""

    event: str
    number: int
    last_at: datetime
    error: str
    """What was wrong with the last one."""


def missed() -> tuple[Missed, ...]:
    """Return the events that were missed, as far back as they are kept, by name."""
    rows = MissedEvent.objects.order_by().values_list("event").annotate(Count("pk"), Max("pk"))
    found = {event: (number, last) for event, number, last in rows}
    newest = MissedEvent.objects.in_bulk([last for _, last in found.values()])
    return tuple(
        Missed(event=event, number=number, last_at=newest[last].missed_at, error=newest[last].error)
        for event, (number, last) in sorted(found.items())
        if last in newest
    )


def shadow(context: str) -> Shadow | None:
    """Return the shadow runs of a context since it last went to shadow; None if it never was."""
    change = ModeChange.objects.filter(context=context, to_mode=Mode.SHADOW).first()
    if change is None:
        return None
    since = change.changed_at
    comparisons = ShadowComparison.objects.filter(workflow__startswith=f"{context}.", compared_at__gte=since)
    counts = dict(comparisons.order_by().values_list("outcome").annotate(Count("pk")))
    means = comparisons.aggregate(legacy=Avg("legacy_microseconds"), shadow=Avg("shadow_microseconds"))
    return Shadow(
        since=since,
        **{outcome.value: counts.get(outcome, 0) for outcome in ShadowComparison.Outcome},
        **{f"{who}_milliseconds": mean and round(mean / 1000, 3) for who, mean in means.items()},
    )


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Differences of one kind: the same field, row or event of the same microworkflow."""

    workflow: str
    what: str
    """What differs, without the key of the row."""
    number: int
    legacy: Any
    """Value of the newest one."""
    shadow: Any
    examples: tuple[tuple[str, str], ...]
    """Id of the comparison, and name of what its flow is about, of the newest ones, each flow once."""


def disagreements(context: str) -> list[Disagreement]:
    """Return the differences since a context last went to shadow by what differs, the most frequent first.

    They are those of the :data:`_NEWEST` newest comparisons that did not agree.
    """
    found = shadow(context)
    if found is None or not found.not_agreed:
        return []
    rows = ShadowComparison.objects.filter(workflow__startswith=f"{context}.", compared_at__gte=found.since)
    newest = rows.exclude(outcome=ShadowComparison.Outcome.AGREED).order_by("-pk")[:_NEWEST]
    groups: dict[tuple[str, str], list[tuple[ShadowComparison, dict[str, Any]]]] = defaultdict(list)
    for row in newest:
        for difference in row.differences:
            groups[row.workflow, _KEY_OF_ROW.sub(r"\1 \2", difference["what"])].append((row, difference))
    shown = {key: {row.correlation_id: row.pk for row, _ in reversed(group)} for key, group in groups.items()}
    names = queries.names({flow for flows in shown.values() for flow in list(flows)[-_EXAMPLES:]})
    return [
        Disagreement(
            workflow=workflow,
            what=what,
            number=len(group),
            legacy=group[0][1]["legacy"],
            shadow=group[0][1]["shadow"],
            examples=tuple(
                (str(pk), names.get(flow, flow))
                for flow, pk in list(shown[workflow, what].items())[: -_EXAMPLES - 1 : -1]
            ),
        )
        for (workflow, what), group in sorted(groups.items(), key=lambda each: -len(each[1]))
    ]


def failing(context: str, *, since: datetime | None) -> Failures:
    """Return the numbers of a context's failing messages, by whether they were received since a time."""
    numbers: dict[str, int] = {}
    earlier = 0
    for status in (InboxEvent.Status.WAITING, InboxEvent.Status.PARKED):
        # One status at a time, because each has a partial index of its own.
        rows = InboxEvent.objects.of_context(context).filter(status=status)
        recent = rows if since is None else rows.filter(added__gte=since)
        numbers[str(status.label)] = recent.count()
        earlier += rows.count() - numbers[str(status.label)]
    return Failures(since=since, earlier=earlier, **numbers)


def failing_live(context: str, *, since: datetime | None) -> int:
    """Return the number of failing messages that the context's own worker received since a time."""
    rows = InboxEvent.objects.of_context(context).failing().exclude(headers__has_key=Header.MODE)
    return (rows if since is None else rows.filter(added__gte=since)).count()
