"""Problems as they are now: the messages that wait or are parked, grouped by the fingerprint of their last failure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Count, F, Max, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, TruncHour

from microworkflows import times
from microworkflows.cloudevents import KEY, NAME, context_of
from microworkflows.models import FAILURES, FingerprintOf, HistoryEntry, InboxEvent, InboxQuerySet
from microworkflows.problems.models import Problem, Replay

HOURS = 24
"""Hours of a trend."""
MOST = 50
"""Problems that are described, those with the most messages."""
_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """One of a problem's messages."""

    message_id: UUID
    correlation_id: str
    about: str
    """Name or key of what its flow is about; empty if nothing says so."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A problem: messages that wait or are parked because of one cause."""

    fingerprint: str
    """Empty for messages that an earlier version of the kit kept, whose causes nobody knows."""
    parked: int
    waiting: int
    label: str
    """The microworkflow, or the context where none of its microworkflows listens."""
    error: str
    """Error of the message received last."""
    traceback: str
    first_at: datetime | None
    """Time of the first failure that the history knows, be its message done or not."""
    last_at: datetime | None
    trend: tuple[int, ...]
    """Failed attempts in each of the last :data:`HOURS` hours, the present one last."""
    examples: tuple[Example, ...]
    assigned_to: str
    replay: Replay | None
    """Its replay that is under way."""

    @property
    def number(self) -> int:
        """Number of its messages."""
        return self.parked + self.waiting

    @property
    def context(self) -> str:
        """Label of the context."""
        return context_of(self.label)


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All problems."""

    groups: tuple[Group, ...]
    """Those with the most parked messages, at most :data:`MOST`."""
    number: int
    """Number of all."""
    parked: int
    waiting: int


def overview(*, contexts: Sequence[str] = ()) -> Overview:
    """Return the problems of some contexts, or of all."""
    counted = _counted(*(_of(contexts, rows) for rows in (_with_fingerprint(), _without())))
    return Overview(
        groups=tuple(_described(counted[:MOST])),
        number=len(counted),
        parked=sum(each["parked"] for each in counted),
        waiting=sum(each["waiting"] for each in counted),
    )


def group(fingerprint: str) -> Group | None:
    """Return one problem; None if no message of it waits or is parked."""
    rows = _with_fingerprint().filter(problem=fingerprint) if fingerprint else _without()
    return next(iter(_described(_counted(rows))), None)


def messages(fingerprint: str) -> InboxQuerySet:
    """Return the messages of a problem that wait or are parked, the newest first."""
    found = InboxEvent.objects.failing().of_problem(fingerprint) if fingerprint else _without()
    return found.order_by("-added")


def _with_fingerprint() -> InboxQuerySet:
    rows: InboxQuerySet = InboxEvent.objects.many().failing()
    known: InboxQuerySet = rows.annotate(problem=FingerprintOf()).filter(problem__isnull=False)
    return known


def _without() -> InboxQuerySet:
    rows: InboxQuerySet = InboxEvent.objects.many().failing()
    without: InboxQuerySet = rows.annotate(problem=FingerprintOf()).filter(problem__isnull=True)
    return without


def _of(contexts: Sequence[str], rows: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
    of = Q()
    for context in contexts:
        of |= Q(msg_id__startswith=f"{context}.") | Q(msg_id__startswith=f"{context}:")
    return rows.filter(of)


def _counted(*all_rows: "models.QuerySet[Any]") -> list[dict[str, Any]]:
    """Return numbers by fingerprint, those with the most parked messages first."""
    counted: list[dict[str, Any]] = []
    for rows in all_rows:
        counted += rows.values("problem").annotate(
            parked=Count("pk", filter=Q(status=InboxEvent.Status.PARKED)),
            waiting=Count("pk", filter=Q(status=InboxEvent.Status.WAITING)),
            newest=Max("added"),
        )
    return sorted(counted, key=lambda each: (each["parked"], each["waiting"], each["newest"]), reverse=True)


def _described(counted: Sequence[dict[str, Any]]) -> Iterable[Group]:
    keys = [each["problem"] or "" for each in counted]
    trends = _trends(keys)
    assigned = dict(Problem.objects.filter(pk__in=keys).values_list("pk", "assigned_to"))
    running = {each.fingerprint: each for each in Replay.objects.filter(fingerprint__in=keys, ended_at=None)}
    for each, key in zip(counted, keys, strict=True):
        newest = list(_with_names(messages(key))[:_EXAMPLES])
        if not newest:
            continue  # somebody dealt with it just now
        first_at, last_at = _span(key)
        yield Group(
            fingerprint=key,
            parked=each["parked"],
            waiting=each["waiting"],
            label=newest[0].label,
            error=newest[0].error or "",
            traceback=newest[0].traceback or "",
            first_at=first_at,
            last_at=last_at,
            trend=trends.get(key, (0,) * HOURS),
            examples=tuple(
                Example(message_id=row.pk, correlation_id=row.correlation_id, about=row.about or "")
                for row in newest
            ),
            assigned_to=assigned.get(key, ""),
            replay=running.get(key),
        )


def _with_names(rows: InboxQuerySet) -> Any:
    """Annotate what the flow is about; the body, which may be large, is not read."""
    return rows.annotate(about=Coalesce(KT(f"body__{NAME}"), KT(f"body__{KEY}"))).defer("body")


def _span(fingerprint: str) -> tuple[datetime | None, datetime | None]:
    """Return the times of the first and the last failure; each is the end of an index."""
    failures = HistoryEntry.objects.filter(fingerprint=fingerprint, kind__in=FAILURES)
    ends = (failures.order_by(order).values_list("at", flat=True).first() for order in ("at", "-at"))
    first, last = (None if at is None else times.aware(at) for at in ends)
    return first, last


def _trends(fingerprints: Sequence[str]) -> dict[str, tuple[int, ...]]:
    now = times.aware(times.now())
    begins = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    failures = HistoryEntry.objects.filter(
        fingerprint__in=fingerprints, kind__in=FAILURES, at__gte=times.stored(begins)
    )
    counted = failures.order_by().annotate(hour=TruncHour("at")).values("fingerprint", "hour")
    trends: dict[str, list[int]] = {}
    for key, hour, number in counted.annotate(number=Count("pk")).values_list(
        F("fingerprint"), F("hour"), F("number")
    ):
        place = int((times.aware(hour) - begins) / timedelta(hours=1))
        if 0 <= place < HOURS:
            trends.setdefault(key, [0] * HOURS)[place] += number
    return {key: tuple(numbers) for key, numbers in trends.items()}
