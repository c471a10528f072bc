"""The figures of a cut-over, for page and command: modes and workers, shadow comparisons, and failures."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Avg, Count

from microworkflows import heartbeats, registry
from microworkflows.cutover import footprints, legacy_steps, queries, switch
from microworkflows.cutover.footprints import Summary
from microworkflows.cutover.models import ContextMove, ModeChange, ShadowComparison
from microworkflows.cutover.queries import Flows
from microworkflows.cutover.splitting.steps import AWAY
from microworkflows.cutover.stamps import MONOLITH, Mode
from microworkflows.cutover.switch import Setting
from microworkflows.models import InboxEvent

NEWEST = 10_000
"""Number of events that are searched for flows in flight: people look at this in a hurry, so it must be quick."""

_PERCENTAGES = (1, 10, 50, 100)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """The worker that serves a queue, or else the one that was seen there last."""

    seen_at: datetime
    host: str
    stopped: bool
    """True if it was told to stop."""
    stale: bool
    """True if its last heartbeat is too old to tell whether it runs."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """The change that gave a context its mode."""

    at: datetime
    by: str
    why: str


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
        """Non-zero counts of runs that disagreed, by outcome."""
        numbers = (("differ", self.differs), ("failed", self.failed), ("refused", self.refused))
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
class Context:
    """One context that is being handed over."""

    name: str
    setting: Setting
    changed: Change | None
    """Its last change of mode; None if there was none."""
    worker: Worker | None
    """Its worker; None if none was ever seen."""
    in_flight: Flows | None
    """Flows among the :data:`NEWEST` events; None if the context has moved to a database of its own."""
    shadow: Shadow | None
    """Its shadow runs; None if it never was in shadow."""
    failures: Failures
    footprint: Summary
    """Who else is at the rows that its steps write, as far as it is known."""
    ways_on: tuple[Setting, ...]
    """Settings that may come next, on its way to live."""
    ways_back: tuple[Setting, ...]
    """Settings to which it may go back."""

    @property
    def has_worker(self) -> bool:
        """True if a worker would do its live steps."""
        return self.worker is not None and not self.worker.stopped and not self.worker.stale

    @property
    def reason_to_go_back(self) -> str:
        """Suggested reason for the history, so that nobody in a hurry has to find words."""
        failing = ", ".join(f"{number} {status}" for status, number in self.failures.by_status)
        return f"{self.setting} fails: {failing}" if failing else f"back from {self.setting}, to be safe"


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All contexts, and the monolith's own worker, which does its steps that follow from live ones."""

    contexts: tuple[Context, ...]
    monolith: Worker | None
    monolith_is_needed: bool
    """True if some context is live while another is not, or not for all flows."""
    forsaken: dict[str, int]
    """Numbers of flows that wait for the monolith to do the steps of a context, where ``CUTOVER`` no longer names it."""


def overview() -> Overview:
    """Return the present figures of every context that ``MICROWORKFLOWS["CUTOVER"]`` names."""
    workers = {
        queue: Worker(
            seen_at=seen.at,
            host=seen.process.host,
            stopped=seen.stopped_at is not None,
            stale=seen.stopped_at is None and not seen.is_alive,
        )
        for queue, seen in heartbeats.last_seen().items()
    }
    settings = switch.settings()
    moved = set(ContextMove.objects.filter(step__in=AWAY).values_list("context", flat=True))
    live = [setting.percent for setting in settings.values() if setting.mode is Mode.LIVE]
    return Overview(
        contexts=tuple(
            _context(name, setting, workers.get(name), moved=name in moved)
            for name, setting in settings.items()
        ),
        monolith=workers.get(MONOLITH),
        monolith_is_needed=bool(live) and live != [100] * len(settings),
        forsaken=queries.forsaken(newest=NEWEST),
    )


def _context(name: str, setting: Setting, worker: Worker | None, *, moved: bool) -> Context:
    changes = ModeChange.objects.filter(context=name)
    last, to_shadow = changes.first(), changes.filter(to_mode=Mode.SHADOW).first()
    return Context(
        name=name,
        setting=setting,
        changed=Change(at=last.changed_at, by=last.changed_by, why=last.why) if last else None,
        worker=worker,
        in_flight=None if moved else queries.in_flight(name, newest=NEWEST),
        shadow=_shadow(name, since=to_shadow.changed_at) if to_shadow else None,
        failures=_failures(name, since=last.changed_at if last else None),
        footprint=footprints.summary(name),
        ways_on=_ways_on(name, setting),
        ways_back=_ways_back(name, setting),
    )


def _shadow(context: str, *, since: datetime) -> Shadow:
    comparisons = ShadowComparison.objects.filter(workflow__startswith=f"{context}.", compared_at__gte=since)
    counts = dict(comparisons.order_by().values_list("outcome").annotate(Count("pk")))
    means = comparisons.aggregate(legacy=Avg("legacy_microseconds"), shadow=Avg("shadow_microseconds"))
    return Shadow(
        since=since,
        **{outcome.value: counts.get(outcome, 0) for outcome in ShadowComparison.Outcome},
        **{f"{who}_milliseconds": mean and round(mean / 1000, 3) for who, mean in means.items()},
    )


def _failures(context: str, *, since: datetime | None) -> Failures:
    numbers: dict[str, int] = {}
    earlier = 0
    for status in (InboxEvent.Status.WAITING, InboxEvent.Status.PARKED):
        # One status at a time, because each has a partial index of its own.
        rows = InboxEvent.objects.of_context(context).filter(status=status)
        recent = rows if since is None else rows.filter(added__gte=since)
        numbers[str(status.label)] = recent.count()
        earlier += rows.count() - numbers[str(status.label)]
    return Failures(since=since, earlier=earlier, **numbers)


def _ways_on(context: str, setting: Setting) -> tuple[Setting, ...]:
    if not registry.subscriptions(context):
        return ()
    if setting.mode is Mode.INLINE and legacy_steps.of_context(context):
        return (Setting(Mode.SHADOW),)
    return tuple(Setting(Mode.LIVE, percent) for percent in _PERCENTAGES if percent > (setting.percent or 0))


def _ways_back(context: str, setting: Setting) -> tuple[Setting, ...]:
    if setting.mode is Mode.INLINE:
        return ()
    shadow = setting.mode is Mode.LIVE and legacy_steps.of_context(context)
    return (Setting(Mode.INLINE), *((Setting(Mode.SHADOW),) if shadow else ()))
