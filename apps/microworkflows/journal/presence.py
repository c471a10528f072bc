"""Presence: which contexts have a worker and a relay that live, and what waits there; the pages ask it what stands in the way.

A process lives while its notices come. What nobody ever told is unknown, which is neither alive nor gone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from microworkflows.journal.models import Context, Gap, Process

STALE_AFTER = timedelta(seconds=20)
"""Age of a process's last notice at which nobody can tell any more whether it lives."""

TALLY_STALE_AFTER = timedelta(seconds=60)
"""Age from which a context's tally says nothing about now."""

_MOST_PROCESSES = 2_000


class Life(StrEnum):
    """Whether a context has a process of some kind."""

    ALIVE = "alive"
    GONE = "gone"
    """There was one; it stopped, or its notices do."""
    UNKNOWN = "unknown"
    """None was ever heard of."""


@dataclass(frozen=True, kw_only=True)
class Presence:
    """The workers, or the relays, of one context."""

    life: Life = Life.UNKNOWN
    since: datetime | None = None
    """Time of the last sign of life; None if there was none."""
    stopped: bool = False
    """True if the last one said that it ends; False if it lives, or fell silent."""
    names: tuple[str, ...] = ()
    """Names of those alive."""
    depth: int | None = None
    """Messages that wait in the context's queue; None if unknown."""
    handling: int | None = None
    """Messages in hand; None if unknown."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the journal knows of one context now."""

    name: str
    service: str
    admin_url: str
    declarations: Mapping[str, Any]
    worker: Presence = field(default_factory=Presence)
    relay: Presence = field(default_factory=Presence)
    tally: Mapping[str, Any] | None = None
    """Counts of its tables, as :class:`~microworkflows.journal.notices.TallyFacts`; None if unknown or too old."""
    missing: tuple[str, ...] = ()
    """Names of its processes of whose notices some are missing from the time asked about."""


def contexts(*, now: datetime, during: tuple[datetime, datetime] | None = None) -> dict[str, Seen]:
    """Return what is known of each declared context, by name, in two queries.

    Args:
        now: Time for which the question is who lives.
        during: Beginning and end of the time in which missing notices are of interest.
    """
    processes = list(_processes(during)[:_MOST_PROCESSES])
    return {
        context.name: Seen(
            name=context.name,
            service=context.service,
            admin_url=context.admin_url,
            declarations=context.declarations,
            worker=presence(context.name, _of(processes, Process.Kind.WORKER, context.name), now=now),
            relay=presence(context.name, _leading(processes, context.name), now=now),
            tally=_fresh(context, now=now),
            missing=tuple(
                sorted({each.name for each in processes if each.has_gap and context.name in each.contexts})
            ),
        )
        for context in Context.objects.order_by("name")
    }


def _processes(during: tuple[datetime, datetime] | None) -> QuerySet[Any]:
    """Return the processes, those heard of last first, each with ``has_gap``."""
    gaps = Gap.objects.none()
    if during is not None:
        began_at, ended_at = during
        gaps = Gap.objects.filter(
            process=OuterRef("pk"), filled_at=None, since__lte=ended_at, until__gte=began_at
        )
    return Process.objects.exclude(kind=Process.Kind.WEB).order_by("-seen_at").annotate(has_gap=Exists(gaps))


def presence(context: str, processes: Iterable[Process], *, now: datetime) -> Presence:
    """Return the presence of a context's processes, given newest first."""
    processes = list(processes)
    if not processes:
        return Presence()
    alive = [each for each in processes if is_alive(each, now=now)]
    last = processes[0]
    if not alive:
        return Presence(
            life=Life.GONE, since=last.stopped_at or last.seen_at, stopped=last.stopped_at is not None
        )
    depths = [depth for each in alive if (depth := each.life.get("depths", {}).get(context)) is not None]
    handling = [each.life["handling"] for each in alive if each.life.get("handling") is not None]
    return Presence(
        life=Life.ALIVE,
        since=alive[0].seen_at,
        names=tuple(each.name for each in alive),
        depth=depths[0] if depths else None,
        handling=sum(handling) if handling else None,
    )


def is_alive(process: Process, *, now: datetime) -> bool:
    """Return True if a process has not stopped, and its last notice is fresh."""
    return process.stopped_at is None and process.seen_at >= now - STALE_AFTER


def _of(processes: Iterable[Process], kind: str, context: str) -> list[Process]:
    return [each for each in processes if each.kind == kind and context in each.contexts]


def _leading(processes: Iterable[Process], context: str) -> list[Process]:
    """Return the relays that lead a context: those that stand by relay nothing. Of the dead, whoever served it counts."""
    relays = _of(processes, Process.Kind.RELAY, context)
    return [
        each for each in relays if each.stopped_at is not None or context in each.life.get("leads", [context])
    ]


def _fresh(context: Context, *, now: datetime) -> Mapping[str, Any] | None:
    is_fresh = context.tallied_at is not None and context.tallied_at >= now - TALLY_STALE_AFTER
    return context.tally if is_fresh else None
