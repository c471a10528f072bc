"""Lateness: which flows miss a declared deadline, judged by the time up to which the journal knows what happened.

A collector that is behind must make no flow late. Notices come in order, by one queue: once a message has come that was sent at
some time, all that was told before has come too, unless a gap says otherwise.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import Exists, OuterRef

from microworkflows import times
from microworkflows.journal.models import Alarm, Delivery, Event, Flow, Gap, Process
from microworkflows.journal.presence import ALIVE_FOR
from microworkflows.journal.states import Declared

MOST: Final = 500
"""Number of flows that are looked at in one round, those due first."""

_TELLING: Final = timedelta(seconds=3)
"""Longest time in which a process that works tells what happened: it sends once a second."""

_FILLING: Final = timedelta(seconds=60)
"""Time in which a gap is filled from the owner's tables; one that is older stays."""


@dataclass(frozen=True, kw_only=True)
class Miss:
    """An event that has not come in time."""

    flow: Flow
    awaited: str
    of: str
    due_at: datetime


def told_until(*, now: datetime) -> datetime | None:
    """Return the time until which the journal knows what happened, gaps apart; None if it has heard from nobody lately.

    Then nobody could say either who is alive.
    """
    lately = times.stored(now - ALIVE_FOR)
    lives = Process.objects.filter(seen_at__gte=lately).values_list("life", flat=True)
    sent = [life["sent_at"] for life in lives if "sent_at" in life]
    return min(now, datetime.fromtimestamp(max(sent), UTC) - _TELLING) if sent else None


def candidates(until: datetime) -> list[Flow]:
    """Return the flows that may miss a deadline for which no alarm was raised, those due first."""
    stored = times.stored(until)
    raised = Alarm.objects.filter(flow=OuterRef("pk"), due_at=OuterRef("overdue_at"))
    due = Flow.objects.filter(due_at__lte=stored).order_by("due_at")[:MOST]
    late = Flow.objects.filter(~Exists(raised), overdue_at__lte=stored).order_by("overdue_at")[:MOST]
    return list({flow.pk: flow for flow in (*due, *late)}.values())


def unmet(flows: Sequence[Flow], declared: Declared) -> list[Miss]:
    """Return the declared deadlines, to come or passed, whose event has not come, by flow and by event."""
    begun, given_up = _begun(flows), _given_up(flows)
    found = []
    for flow in flows:
        happened = begun[flow.pk]
        if flow.pk in given_up or happened.keys() & declared.outcomes.keys():
            continue
        found += [
            Miss(flow=flow, awaited=awaited, of=of, due_at=happened[of] + within)
            for (awaited, of), within in sorted(declared.within.items())
            if of in happened and awaited not in happened
        ]
    return found


def told(misses: Sequence[Miss]) -> set[Miss]:
    """Return those that an alarm tells of; one whose deadline has moved follows."""
    alarms = {
        (alarm.flow_id, alarm.awaited, alarm.of): alarm
        for alarm in Alarm.objects.filter(flow__in={miss.flow.pk for miss in misses})
    }
    found = set()
    for miss in misses:
        alarm = alarms.get((miss.flow.pk, miss.awaited, miss.of))
        if alarm is None:
            continue
        if times.aware(alarm.due_at) != miss.due_at:
            Alarm.objects.filter(pk=alarm.pk).update(due_at=times.stored(miss.due_at))
        found.add(miss)
    return found


def note(flows: Iterable[Flow], misses: Iterable[Miss], told: Collection[Miss], *, until: datetime) -> None:
    """Note in the rows of flows the first deadline that no alarm tells of, and the first that passed.

    So a flow is looked at again until each deadline that it misses has its alarm, however often nobody could judge.
    """
    of_flow: dict[int, list[Miss]] = defaultdict(list)
    for miss in misses:
        of_flow[miss.flow.pk].append(miss)
    for flow in flows:
        _note(
            flow,
            due_at=min((miss.due_at for miss in of_flow[flow.pk] if miss not in told), default=None),
            overdue_at=min((miss.due_at for miss in of_flow[flow.pk] if miss.due_at <= until), default=None),
        )


def untold(contexts: Collection[str], *, since: datetime, until: datetime, now: datetime) -> bool:
    """Return True if notices of these contexts may still come: some are missing, and the gap is not old."""
    gaps = Gap.objects.filter(
        filled_at=None,
        since__lte=times.stored(until),
        until__gte=max(times.stored(since), times.stored(now - _FILLING)),
    )
    return any(
        not set(contexts).isdisjoint(each) for each in gaps.values_list("process__contexts", flat=True)
    )


def _begun(flows: Iterable[Flow]) -> Mapping[int, dict[str, datetime]]:
    """Return, by flow, when the first event of each type was recorded."""
    begun: dict[int, dict[str, datetime]] = defaultdict(dict)
    rows = Event.objects.filter(flow__in=list(flows)).order_by().values_list("flow_id", "type", "recorded_at")
    for flow, type, at in rows:
        first = times.aware(at)
        begun[flow][type] = min(begun[flow].get(type, first), first)
    return begun


def _given_up(flows: Iterable[Flow]) -> set[int]:
    """Return those of the flows that came to rest because somebody dismissed a message: nobody waits for these."""
    dismissed = Delivery.objects.filter(event__flow=OuterRef("pk"), status=Delivery.Status.DISMISSED)
    at_rest = {flow.pk for flow in flows if flow.state == Flow.State.DONE}
    return set(Flow.objects.filter(Exists(dismissed), pk__in=at_rest).values_list("pk", flat=True))


def _note(flow: Flow, *, due_at: datetime | None, overdue_at: datetime | None) -> None:
    """Keep the flow's row in step, unless the collector has worked it out anew meanwhile."""
    before = {"due_at": flow.due_at, "overdue_at": flow.overdue_at}
    flow.due_at, flow.overdue_at = (time and times.stored(time) for time in (due_at, overdue_at))
    after = {"due_at": flow.due_at, "overdue_at": flow.overdue_at}
    if after != before:
        Flow.objects.filter(pk=flow.pk, **before).update(**after)
