"""Presence: for each context, whether worker and relay run, what waits and what failed, as far as recent notices tell.

Whatever nobody has told lately is None, or :attr:`Life.UNKNOWN`: a page shows it as unknown, never as good, and never as 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.db.models import Exists, Max, OuterRef

from microworkflows import times
from microworkflows.journal import waiting
from microworkflows.journal.models import Context, Gap, Process
from microworkflows.journal.waiting import FlowsWaiting

ALIVE_FOR: Final = timedelta(seconds=20)
"""Age of a process's last notice at which it is silent: four heartbeats are missing."""

TALLY_HOLDS_FOR: Final = timedelta(seconds=60)
"""Age of a tally at which its numbers are unknown."""

_MOST_PROCESSES: Final = 2_000


class Life(StrEnum):
    """Whether a worker or a relay runs."""

    ALIVE = "alive"
    STOPPED = "stopped"
    """It was told to stop, and did."""
    SILENT = "silent"
    """It sends nothing any more, while others do: it was killed, hangs, or cannot reach the broker."""
    UNKNOWN = "unknown"
    """None was ever seen, or the journal has lately heard from nobody at all."""

    @property
    def is_down(self) -> bool:
        """True if it surely does not work."""
        return self in (Life.STOPPED, Life.SILENT)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a context's workers, or of its relays."""

    life: Life
    since: datetime | None = None
    """Time of its start if it is alive, of its stop, or of its last notice; None if none was ever seen."""
    seen_at: datetime | None = None
    """Time of the last notice; None if none ever came."""
    names: tuple[str, ...] = ()
    """Names of those alive; or else the name of the one seen last."""
    leads: bool | None = None
    """Of relays, whether one of those alive has the lead, so that it relays; None if nobody can tell."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What is known of one context at a time; a number that nobody told lately is None."""

    context: str
    service: str
    admin_url: str
    """Address of its service's admin; empty if unknown."""
    worker: Seen
    relay: Seen
    depth: int | None
    """Number of messages that wait in its queue, as of ``worker.seen_at``."""
    handling: int | None
    """Number of messages that its workers have in hand, as of ``worker.seen_at``."""
    flows: int | None
    """Number of open flows of which the journal knows that they wait for this context; None if nobody asked."""
    flows_since: datetime | None
    """Time of the last thing that happened in the flow of these that waits longest."""
    pending: int | None
    """Number of events that are recorded, and not relayed."""
    oldest_at: datetime | None
    """Time at which the oldest pending event was recorded; None if none is pending, or nobody can tell."""
    failing: int | None
    """Number of messages that failed, and wait for another attempt."""
    parked: int | None
    dead: int | None
    """Number of dead letters."""
    unheard: int | None
    rejected: int | None
    tallied_at: datetime | None
    """Time of the last count of ``pending`` and all that follows it; None if there was none."""
    declarations: Mapping[str, Any]
    """What its code declares, as :class:`~microworkflows.journal.notices.Declarations`; empty if nobody told."""
    missing: tuple[str, ...]
    """Names of its processes of whose notices some are missing from the time asked about."""

    @property
    def needs_attention(self) -> bool:
        """True if somebody has to act: something is down or stuck, or messages wait for a person."""
        stuck = self.relay.life is Life.ALIVE and self.relay.leads is False
        for_people = (self.parked, self.dead, self.unheard, self.rejected)
        return self.worker.life.is_down or self.relay.life.is_down or stuck or any(for_people)

    @property
    def is_unknown(self) -> bool:
        """True if a part of it is unknown, so that nobody can call it good."""
        told = (self.depth, self.pending, self.failing, self.parked, self.dead)
        return Life.UNKNOWN in (self.worker.life, self.relay.life) or None in told


def presences(
    *,
    now: datetime | None = None,
    during: tuple[datetime, datetime] | None = None,
    flows: bool = True,
) -> list[Presence]:
    """Return what is known of each context that was ever declared or served, by name, in two statements.

    Args:
        now: The time about which the question is.
        during: Beginning and end of the time of which missing notices matter; None: of none.
        flows: Whether to count the flows that wait for each, in one more statement.
    """
    now = times.aware(now or times.now())
    processes, heard_at = _processes(during)
    contexts = {each.name: each for each in Context.objects.all()}
    open_flows = waiting.flows() if flows else None
    names = sorted({*contexts, *processes})
    return [
        _presence(
            name,
            contexts.get(name),
            processes.get(name, ()),
            None if open_flows is None else open_flows.get(name, FlowsWaiting()),
            heard_at=heard_at,
            now=now,
        )
        for name in names
    ]


def presence(context: str, *, now: datetime | None = None) -> Presence:
    """Return what is known of one context; of one that the journal has never heard of, everything is unknown."""
    found = next((each for each in presences(now=now) if each.context == context), None)
    return found or _presence(
        context, None, (), FlowsWaiting(), heard_at=None, now=times.aware(now or times.now())
    )


def last_heard() -> datetime | None:
    """Return when the journal last heard from anybody, on the collector's clock; None if it never did."""
    last = Process.objects.aggregate(last=Max("seen_at"))["last"]
    return last and times.aware(last)


def _processes(during: tuple[datetime, datetime] | None) -> tuple[dict[str, list[Any]], datetime | None]:
    """Return the processes by context, those seen last first, each with ``has_gap``; and when anybody was heard last."""
    gaps = Gap.objects.none()
    if during is not None:
        gaps = Gap.objects.filter(
            process=OuterRef("pk"), filled_at=None, since__lte=during[1], until__gte=during[0]
        )
    found: dict[str, list[Any]] = defaultdict(list)
    newest = list(Process.objects.annotate(has_gap=Exists(gaps)).order_by("-seen_at")[:_MOST_PROCESSES])
    for process in newest:
        for context in process.contexts:
            found[context].append(process)
    return found, times.aware(newest[0].seen_at) if newest else None


def _presence(
    name: str,
    context: Context | None,
    processes: Iterable[Any],
    open_flows: FlowsWaiting | None,
    *,
    heard_at: datetime | None,
    now: datetime,
) -> Presence:
    by_kind = defaultdict(list)
    for process in processes:
        by_kind[process.kind].append(process)
    workers, relays = by_kind[Process.Kind.WORKER], by_kind[Process.Kind.RELAY]
    living = [each for each in workers if _lives(each, now)]
    depths = [each.life.get("depths", {}).get(name) for each in living]
    handled = [each.life["handling"] for each in living if "handling" in each.life]
    tallied_at = times.aware(context.tallied_at) if context and context.tallied_at else None
    holds = tallied_at is not None and now - tallied_at <= TALLY_HOLDS_FOR and hears(heard_at, now)
    tally = context.tally if context and holds else {}
    return Presence(
        context=name,
        service=context.service if context else next((each.service for each in processes), ""),
        admin_url=context.admin_url if context else "",
        worker=_seen(workers, heard_at, now),
        relay=_seen_relay(name, relays, heard_at, now),
        depth=next((depth for depth in depths if depth is not None), None),
        handling=sum(handled) if living and len(handled) == len(living) else None,
        flows=None if open_flows is None else open_flows.number,
        flows_since=None if open_flows is None else open_flows.since,
        pending=_number(tally, "pending"),
        oldest_at=_time(tally.get("oldest")),
        failing=_number(tally, "waiting"),
        parked=_number(tally, "parked"),
        dead=_number(tally, "dead"),
        unheard=_number(tally, "unheard"),
        rejected=_number(tally, "rejected"),
        tallied_at=tallied_at,
        declarations=context.declarations if context else {},
        missing=tuple(sorted({each.name for each in processes if each.has_gap})),
    )


def hears(heard_at: datetime | None, now: datetime) -> bool:
    """Return True if the journal has lately heard from anybody, so that it knows who is silent, and that a number still holds."""
    return heard_at is not None and now - heard_at <= ALIVE_FOR


def _lives(process: Process, now: datetime) -> bool:
    return process.stopped_at is None and now - times.aware(process.seen_at) <= ALIVE_FOR


def _seen(processes: list[Process], heard_at: datetime | None, now: datetime) -> Seen:
    """Return what is known of the workers or relays of a context, given those seen last first."""
    if not processes:
        return Seen(life=Life.UNKNOWN)
    last, seen_at = processes[0], times.aware(processes[0].seen_at)
    if living := [each for each in processes if _lives(each, now)]:
        began_at = min(times.aware(each.began_at) for each in living)
        names = tuple(sorted(each.name for each in living))
        return Seen(life=Life.ALIVE, since=began_at, seen_at=seen_at, names=names)
    if last.stopped_at is not None:
        return Seen(
            life=Life.STOPPED, since=times.aware(last.stopped_at), seen_at=seen_at, names=(last.name,)
        )
    life = Life.SILENT if hears(heard_at, now) else Life.UNKNOWN
    return Seen(life=life, since=seen_at, seen_at=seen_at, names=(last.name,))


def _seen_relay(context: str, relays: list[Process], heard_at: datetime | None, now: datetime) -> Seen:
    seen = _seen(relays, heard_at, now)
    if seen.life is not Life.ALIVE:
        return seen
    living = (each.life.get("leads") for each in relays if _lives(each, now))
    told = [leads for leads in living if leads is not None]
    leads = any(context in each for each in told) if told else None
    return Seen(life=seen.life, since=seen.since, seen_at=seen.seen_at, names=seen.names, leads=leads)


def _number(tally: Mapping[str, Any], name: str) -> int | None:
    number = tally.get(name)
    return number if isinstance(number, int) else None


def _time(seconds: object) -> datetime | None:
    if not isinstance(seconds, (int, float)):
        return None
    return datetime.fromtimestamp(seconds, UTC)
