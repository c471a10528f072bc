"""Doubts: what speaks against taking more flows live, in words and numbers. Whoever goes on says which of them are known.

The switch asks for the same answer whoever presses it, page or command. It asks only on the way to live: nothing may hold up
the way back.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db.models import Count

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
        Kind.WORKER: f"{_start(context)} It is seen as soon as it is ready, unless it runs on another database than this.",
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
        yield (
            f"{shadow.not_agreed} of {shadow.compared} shadow runs since {times.shown(shadow.since)} did not agree with the legacy "
            f"step: {kinds}. If the code was mended since, go inline and to shadow again, which counts anew."
        )


def _uncompared(context: str) -> Iterator[str]:
    steps = sorted(step.workflow.label for step in legacy_steps.of_context(context))
    shadow = evidence.shadow(context)
    if shadow is None:
        if steps:
            yield f"{context} was never in shadow, so nothing was compared with the legacy steps of {', '.join(steps)}."
        return
    rows = ShadowComparison.objects.filter(workflow__in=steps, compared_at__gte=shadow.since)
    counts = dict(rows.order_by().values_list("workflow").annotate(Count("pk")))
    few = {step: counts.get(step, 0) for step in steps if counts.get(step, 0) < ENOUGH}
    if few:
        numbers = ", ".join(f"{step} {_times(number)}" for step, number in few.items())
        yield (
            f"Compared since {times.shown(shadow.since)}: {numbers}. After {ENOUGH} runs that all agree, 3 flows in 100 may still "
            "differ; after fewer, more."
        )


def _footprint(context: str) -> Iterator[str]:
    known = footprints.summary(context)
    if not known.is_clear:
        partly = [f"Partly unknown: {why}" for why in known.unknown[:1] if why not in known.said[0]]
        yield " ".join(("No shadow run shows this.", known.said[0], *partly))


def _worker(context: str) -> Iterator[str]:
    if missed := _missed(context):
        yield f"The worker of {context} {missed}, so nobody would do its steps: live flows would wait."


def _monolith() -> Iterator[str]:
    if missed := _missed(MONOLITH):
        yield f"The monolith's own worker {missed}, so nobody would do its steps: the inline ones that follow from live ones."


def _missed(queue: str) -> str:
    """Return since when no worker of a queue is seen; empty if one is."""
    seen = heartbeats.last_seen().get(queue)
    if seen is None:
        return "was never seen"
    if seen.is_alive:
        return ""
    return (
        f"was stopped on {times.shown(seen.stopped_at)}"
        if seen.stopped_at
        else f"was not seen since {times.shown(seen.at)}"
    )


def _start(queue: str) -> str:
    return f"Start it: celery -A {celery_app.get().main} worker -Q {queue} -n {queue}@%h."


def _failing(context: str) -> Iterator[str]:
    last = ModeChange.objects.filter(context=context).first()
    failing = evidence.failing_live(context, since=last.changed_at if last else None)
    if failing:
        since = f" since {times.shown(last.changed_at)}" if last else ""
        yield f"{failing} of the messages that the worker of {context} received{since} wait for another attempt or are parked."


def _jump(context: str, present: "Setting", wanted: "Setting") -> Iterator[str]:
    yield (
        f"From {present} straight to {wanted}: live 1 % would show a fault of {context} to one flow in a hundred, and not to "
        f"{wanted.percent}."
    )


def _all(context: str, live_now: int) -> Iterator[str]:
    share = f"{live_now} % of the flows" if live_now else "no flow"
    yield (
        f"Nothing is left to the monolith, also in flows that began before, where something new happens in them. Until now "
        f"{context} does its steps in {share}."
    )


def _times(number: int) -> str:
    return "never" if number == 0 else "once" if number == 1 else f"{number} times"
