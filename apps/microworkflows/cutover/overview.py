"""The figures of a cut-over, for page and command: modes and workers, shadow comparisons, and failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from microworkflows import heartbeats, registry, words
from microworkflows.cutover import evidence, footprints, legacy_steps, queries, returning, sides, switch
from microworkflows.cutover.evidence import Disagreement, Failures, Missed, Shadow
from microworkflows.cutover.footprints import Summary
from microworkflows.cutover.models import ContextMode, ContextMove, ModeChange
from microworkflows.cutover.queries import Flows
from microworkflows.cutover.sides import Sides
from microworkflows.cutover.splitting.steps import AWAY
from microworkflows.cutover.stamps import MONOLITH, Mode
from microworkflows.cutover.switch import Setting

NEWEST = 10_000
"""Number of events that are searched for flows in flight: people look at this in a hurry, so it must be quick."""

_FIRST = 6
"""Number of flows that are linked one by one."""

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

    @property
    def by_itself(self) -> bool:
        """True if nobody pressed a button: too much failed."""
        return self.by == returning.BY


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
    need_worker: tuple[str, ...]
    """Ids of the flows that wait for its own worker, whatever its mode is now; among the :data:`NEWEST` events."""
    sides: Sides | None
    """What its own worker did, beside what the monolith did; None if it never went live, or has a database of its own."""
    disagreements: tuple[Disagreement, ...]
    """What differed in its shadow runs, by field."""
    return_at: int | None
    """Number of failing messages of its live flows at which it goes back to inline by itself; None: never."""
    footprint: Summary
    """Who else is at the rows that its steps write, as far as it is known."""
    ways_on: tuple[Setting, ...]
    """Settings that may come next, on its way to live."""
    ways_back: tuple[Setting, ...]
    """Settings to which it may go back."""

    @property
    def first_named(self) -> list[tuple[str, str]]:
        """The first of the flows that need its worker, each with the name of what it is about, or its id."""
        return named(self.need_worker[:_FIRST])

    @property
    def has_worker(self) -> bool:
        """True if a worker would do its live steps."""
        return self.worker is not None and not self.worker.stopped and not self.worker.stale

    @property
    def reason_to_go_back(self) -> str:
        """Suggested reason for the history, so that nobody in a hurry has to find words."""
        failing = ", ".join(f"{number} {words.shown(status)}" for status, number in self.failures.by_status)
        if failing:
            return _("%(setting)s fails: %(failing)s") % {"setting": self.setting.said, "failing": failing}
        return _("back from %(setting)s, to be safe") % {"setting": self.setting.said}


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All contexts, and the monolith's own worker, which does its steps that follow from live ones."""

    contexts: tuple[Context, ...]
    monolith: Worker | None
    monolith_is_needed: bool
    """True if some context is live while another is not, or not for all flows."""
    forsaken: dict[str, int]
    """Numbers of flows that wait for the monolith to do the steps of a context, where ``CUTOVER`` no longer names it."""
    missed: tuple[Missed, ...] = ()
    """Events that could not be recorded beside the direct calls."""


def named(flows: Sequence[str]) -> list[tuple[str, str]]:
    """Return flows, each with the name of what it is about, or its id if nothing says so."""
    names = queries.names(flows) if flows else {}
    return [(flow, names.get(flow, flow)) for flow in flows]


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
        missed=evidence.missed(),
    )


def _context(name: str, setting: Setting, worker: Worker | None, *, moved: bool) -> Context:
    waiting = [] if moved else list(queries.waiting_for(name, newest=NEWEST))
    last = ModeChange.objects.filter(context=name).first()
    return Context(
        name=name,
        setting=setting,
        changed=Change(at=last.changed_at, by=last.changed_by, why=last.why) if last else None,
        worker=worker,
        in_flight=None if moved else queries.counted(name, waiting),
        shadow=evidence.shadow(name),
        failures=evidence.failing(name, since=last.changed_at if last else None),
        need_worker=tuple(queries.live(name, waiting)),
        sides=None if moved else sides.of(name),
        disagreements=tuple(evidence.disagreements(name)),
        return_at=ContextMode.objects.filter(pk=name).values_list("return_at", flat=True).first(),
        footprint=footprints.summary(name),
        ways_on=_ways_on(name, setting),
        ways_back=_ways_back(name, setting),
    )


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
