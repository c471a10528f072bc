"""Doubts: what speaks against taking more flows live, in words and numbers. Whoever goes on says which of them are known.

The switch asks for the same answer whoever presses it, page or command. It asks only on the way to live: nothing may hold up
the way back.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db.models import Count
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from microworkflows import celery_app, heartbeats, times
from microworkflows.cutover import evidence, footprints, legacy_steps
from microworkflows.cutover.models import ModeChange, ShadowComparison
from microworkflows.cutover.stamps import MONOLITH

if TYPE_CHECKING:
    from microworkflows.cutover.switch import Setting

ENOUGH = 100
"""Number of shadow runs of a step from which on it counts as compared: if all agree, about 3 flows in 100 may still differ."""


class Kind(StrEnum):
    """What a doubt is about, in a word that answers it."""

    WORKER = "worker"
    """Nobody does the live steps: no worker of the context is seen."""
    DISAGREED = "disagreed"
    """Shadow runs did not agree."""
    UNCOMPARED = "uncompared"
    """A legacy step was never, or hardly, compared with its microworkflow."""
    FOOTPRINT = "footprint"
    """Others read or write what the steps write, or nobody knows whether they do."""
    MONOLITH = "monolith"
    """Nobody goes on with the flows after a live step: the monolith's own worker is not seen."""
    FAILING = "failing"
    """Messages of the flows that are live already fail."""
    JUMP = "jump"
    """More than one flow in a hundred is to be live at once, where none was."""
    ALL = "all"
    """No flow is left to the monolith."""

    @property
    def word(self) -> str:
        """The word for a page, in the language of the person who looks; commands take the kind itself."""
        return str(_WORDS[self])


_WORDS = {
    Kind.WORKER: _("worker"),
    Kind.DISAGREED: _("disagreed"),
    Kind.UNCOMPARED: _("uncompared"),
    Kind.FOOTPRINT: _("footprint"),
    Kind.MONOLITH: _("monolith"),
    Kind.FAILING: _("failing"),
    Kind.JUMP: _("jump"),
    Kind.ALL: pgettext_lazy("all flows are to be live", "all"),
}

KINDS = tuple(Kind)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One thing that speaks against a change."""

    kind: Kind
    said: str
    """What it is, with numbers, for people."""
    remedy: str = ""
    """What to do about it, in sentences; the history does not keep them."""


def of(context: str, present: "Setting", wanted: "Setting", *, others: "Collection[Setting]") -> list[Doubt]:
    """Return what speaks against a change of a context's setting; nothing does unless it takes more flows live.

    ``others`` are the settings of all other contexts that are being handed over.
    """
    live_now, live_then = (each.percent or 0 for each in (present, wanted))
    if live_then <= live_now:
        return []
    said = {
        Kind.WORKER: _worker(context),
        Kind.ALL: _all(context, live_now) if live_then == 100 else (),
        Kind.JUMP: _jump(context, present, wanted) if not live_now and live_then > 1 else (),
        Kind.FAILING: _failing(context) if live_now else (),
        Kind.MONOLITH: _monolith() if {live_then, *(each.percent for each in others)} != {100} else (),
    }
    if not live_now or live_then == 100:
        said[Kind.DISAGREED] = _disagreed(context)
        said[Kind.UNCOMPARED] = _uncompared(context)
        said[Kind.FOOTPRINT] = _footprint(context)
    remedies = {
        Kind.WORKER: " ".join(
            (
                _start(context),
                gettext("It is seen as soon as it is ready, unless it runs on another database than this."),
            )
        ),
        Kind.MONOLITH: _start(MONOLITH),
        Kind.FOOTPRINT: (footprints.summary(context).unknown or ("",))[-1],
    }
    return [
        Doubt(kind=kind, said=line, remedy=remedies.get(kind, ""))
        for kind in Kind
        for line in said.get(kind, ())
    ]


def _disagreed(context: str) -> Iterator[str]:
    shadow = evidence.shadow(context)
    if shadow is not None and shadow.not_agreed:
        kinds = ", ".join(f"{number} {outcome}" for outcome, number in shadow.by_outcome)
        yield gettext(
            "%(not_agreed)s of %(compared)s shadow runs since %(since)s did not agree with the legacy step: %(kinds)s. If the code "
            "was mended since, go inline and to shadow again, which counts anew."
        ) % {
            "not_agreed": shadow.not_agreed,
            "compared": shadow.compared,
            "since": times.shown(shadow.since),
            "kinds": kinds,
        }


def _uncompared(context: str) -> Iterator[str]:
    steps = sorted(step.workflow.label for step in legacy_steps.of_context(context))
    shadow = evidence.shadow(context)
    if shadow is None:
        if steps:
            yield gettext(
                "%(context)s was never in shadow, so nothing was compared with the legacy steps of %(steps)s."
            ) % {"context": context, "steps": ", ".join(steps)}
        return
    rows = ShadowComparison.objects.filter(workflow__in=steps, compared_at__gte=shadow.since)
    counts = dict(rows.order_by().values_list("workflow").annotate(Count("pk")))
    few = {step: counts.get(step, 0) for step in steps if counts.get(step, 0) < ENOUGH}
    if few:
        numbers = ", ".join(f"{step} {_times(number)}" for step, number in few.items())
        yield gettext(
            "Compared since %(since)s: %(numbers)s. After %(enough)s runs that all agree, 3 flows in 100 may still differ; after "
            "fewer, more."
        ) % {"since": times.shown(shadow.since), "numbers": numbers, "enough": ENOUGH}


def _footprint(context: str) -> Iterator[str]:
    known = footprints.summary(context)
    if not known.is_clear:
        partly = [
            gettext("Partly unknown: %(why)s") % {"why": why}
            for why in known.unknown[:1]
            if why not in known.said[0]
        ]
        yield " ".join((gettext("No shadow run shows this."), known.said[0], *partly))


def _worker(context: str) -> Iterator[str]:
    if missed := _missed(context):
        yield gettext(
            "The worker of %(context)s %(missed)s, so nobody would do its steps: live flows would wait."
        ) % {"context": context, "missed": missed}


def _monolith() -> Iterator[str]:
    if missed := _missed(MONOLITH):
        yield gettext(
            "The monolith's own worker %(missed)s, so nobody would do its steps: the inline ones that follow from live ones."
        ) % {"missed": missed}


def _missed(queue: str) -> str:
    """Return since when no worker of a queue is seen; empty if one is."""
    seen = heartbeats.last_seen().get(queue)
    if seen is None:
        return gettext("was never seen")
    if seen.is_alive:
        return ""
    if seen.stopped_at:
        return gettext("was stopped on %(time)s") % {"time": times.shown(seen.stopped_at)}
    return gettext("was not seen since %(time)s") % {"time": times.shown(seen.at)}


def _start(queue: str) -> str:
    command = f"celery -A {celery_app.get().main} worker -Q {queue} -n {queue}@%h"
    return gettext("Start it: %(command)s.") % {"command": command}


def _failing(context: str) -> Iterator[str]:
    last = ModeChange.objects.filter(context=context).first()
    failing = evidence.failing_live(context, since=last.changed_at if last else None)
    if failing:
        said = (
            gettext(
                "%(failing)s of the messages that the worker of %(context)s received since %(since)s wait for another attempt or "
                "are parked."
            )
            if last
            else gettext(
                "%(failing)s of the messages that the worker of %(context)s received wait for another attempt or are parked."
            )
        )
        since = times.shown(last.changed_at) if last else ""
        yield said % {"failing": failing, "context": context, "since": since}


def _jump(context: str, present: "Setting", wanted: "Setting") -> Iterator[str]:
    yield gettext(
        "From %(present)s straight to %(wanted)s: live 1 %% would show a fault of %(context)s to one flow in a hundred, and not to "
        "%(percent)s."
    ) % {"present": present.said, "wanted": wanted.said, "context": context, "percent": wanted.percent}


def _all(context: str, live_now: int) -> Iterator[str]:
    nothing_left = gettext(
        "Nothing is left to the monolith, also in flows that began before, where something new happens in them."
    )
    until_now = (
        gettext("Until now %(context)s does its steps in %(percent)s %% of the flows.")
        if live_now
        else gettext("Until now %(context)s does its steps in no flow.")
    )
    yield " ".join((nothing_left, until_now % {"context": context, "percent": live_now}))


def _times(number: int) -> str:
    if number == 0:
        return gettext("never")
    return ngettext("once", "%(number)s times", number) % {"number": number}
