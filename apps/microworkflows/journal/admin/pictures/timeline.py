"""The time line: a row for each delivery under its event, its time as bars from left to right. It fits any width, a phone's too."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows.admin.texts import local_datetime
from microworkflows.journal.admin.pictures.frame import (
    Viewer,
    circumstances,
    description,
    joined,
    link,
    said_of,
    state_of,
    status_of,
    text,
)
from microworkflows.journal.bars import Bar, Part
from microworkflows.journal.journeys import Delivery, Event, Journey
from microworkflows.journeys import human_duration

_NAMES = {
    Part.OUTBOX: _("in the outbox"),
    Part.QUEUE: _("in the queue"),
    Part.WORKING: _("working"),
    Part.FAILED: _("failed"),
    Part.RETRY: _("waits for the next attempt"),
    Part.PARKED: _("parked"),
}
_EVENT, _DELIVERY, _NOTE = 30, 32, 15
_THIN = (Part.OUTBOX, Part.QUEUE, Part.RETRY)
_MOST_LETTERS = 42
"""So many letters of consumer and state stand side by side on a phone; more take two lines."""
_LEAST = 0.5
"""Least width of a bar, in hundredths of the picture's."""


@dataclass(frozen=True)
class Axis:
    """Times as hundredths of the picture's width."""

    began_at: datetime
    ended_at: datetime

    def at(self, time: datetime) -> float:
        """Return the place of a time."""
        return 100 * (time - self.began_at) / (self.ended_at - self.began_at)


def axis(journey: Journey, now: datetime) -> Axis:
    """Return the axis of a journey; of an open one it ends after now, in steps, so that the picture seldom changes by itself."""
    began_at, ended_at = journey.began_at, journey.ended_at
    if not journey.ended:
        span = max((max(now, ended_at) - began_at).total_seconds(), 1.0)
        step = 2.0 ** math.floor(math.log2(span / 16))
        ended_at = began_at + timedelta(seconds=math.ceil(span / step) * step)
    return Axis(began_at, max(ended_at, began_at + timedelta(milliseconds=1)))


def draw(journey: Journey, viewer: Viewer) -> SafeString:
    """Draw the time line as SVG, with a legend."""
    scale, parts, y = axis(journey, viewer.now), [], 4
    for event in journey.events:
        parts.append(_event(journey, event, scale, viewer, y))
        y += _EVENT
        for delivery in event.deliveries:
            drawn, height = _delivery(journey, event, delivery, scale=scale, viewer=viewer, y=y)
            parts.append(drawn)
            y += height
    span = human_duration(scale.ended_at - scale.began_at)
    label = description(journey, gettext("Time line of %(title)s"))
    head = (
        f'<svg class="mwj-svg" role="group" aria-label="{label}" width="100%" height="{y + 4}">'
        f'<g class="mwj-grid"><line x1="25%" x2="25%" y2="{y}"/><line x1="50%" x2="50%" y2="{y}"/><line x1="75%" x2="75%" y2="{y}"/></g>'
    )
    scales = (
        f'<p class="mwj-scale"><span>{text(local_datetime(scale.began_at))}</span><span>{span}</span></p>'
    )
    return joined([scales, head, *parts, "</svg>", _legend()])


def _event(journey: Journey, event: Event, scale: Axis, viewer: Viewer, y: int) -> str:
    name = link(viewer.payload(journey, event), text(event.name))
    title = gettext("%(event)s by %(by)s, recorded %(time)s") % {
        "event": event.type,
        "by": event.emitted_by,
        "time": local_datetime(event.recorded_at),
    }
    after = event.recorded_at - journey.began_at
    x = scale.at(event.recorded_at)
    return (
        f"<g><title>{text(title)}</title>"
        f'<text class="mwj-e" x="0" y="{y + 18}">{name}{status_of(event)}</text>'
        f'<text class="mwj-t" x="100%" y="{y + 18}">+{human_duration(after)}</text>'
        f'<circle class="mwj-dot" cx="{x:.2f}%" cy="{y + 25}" r="3"/></g>'
    )


def _delivery(
    journey: Journey, event: Event, delivery: Delivery, *, scale: Axis, viewer: Viewer, y: int
) -> tuple[str, int]:
    url = viewer.message(journey, event.id, delivery.context)
    state, notes = state_of(delivery), list(_notes(delivery, viewer))
    if len(delivery.consumer) + len(state) > _MOST_LETTERS:
        state, notes = "", [state, *notes]
    head = (
        f'<g class="mwj-d mwj-{delivery.status}"><text x="10" y="{y + 12}">{link(url, text(delivery.consumer))}</text>'
        f'<text class="mwj-t" x="100%" y="{y + 12}">{state}</text>'
        f'<line class="mwj-track" x1="0" x2="100%" y1="{y + 22}" y2="{y + 22}"/>'
    )
    parts = [head, *(_bar(bar, scale, y + 22) for bar in delivery.bars)]
    parts += [
        f'<text class="mwj-act" x="{scale.at(act.at):.2f}%" y="{y + 27}">⟳<title>{said_of(act)}</title></text>'
        for act in delivery.acts
    ]
    height = _DELIVERY
    for note in notes:
        parts.append(f'<text class="mwj-note" x="10" y="{y + height + 8}">{note}</text>')
        height += _NOTE
    return "".join([*parts, "</g>"]), height


def _notes(delivery: Delivery, viewer: Viewer) -> Iterator[str]:
    """Yield lines below the bars, escaped."""
    if said := circumstances(delivery):
        yield said
    if delivery.error and (error := viewer.error(delivery.error)):
        yield text(error)
    for act in delivery.acts:
        yield said_of(act)


def _bar(bar: Bar, scale: Axis, middle: int) -> str:
    x = min(scale.at(bar.began_at), 100 - _LEAST)
    end = 100.0 if bar.ended_at is None else scale.at(bar.ended_at)
    height = 2 if bar.part in _THIN else 10
    tip = gettext("%(part)s, attempt %(number)s: %(time)s") if bar.number else "%(part)s: %(time)s"
    told = {
        "part": _NAMES[bar.part],
        "number": bar.number,
        "time": gettext("still") if bar.duration is None else human_duration(bar.duration),
    }
    return (
        f'<rect class="mwj-{bar.part}" x="{x:.2f}%" width="{max(end - x, _LEAST):.2f}%" y="{middle - height // 2}" '
        f'height="{height}"><title>{text(tip % told)}</title></rect>'
    )


def _legend() -> str:
    parts = "".join(
        f'<li><svg width="26" height="12" aria-hidden="true"><rect class="mwj-{part}" x="1" width="24" '
        f'y="{5 if part in _THIN else 1}" height="{2 if part in _THIN else 10}"/></svg> {text(name)}</li>'
        for part, name in _NAMES.items()
    )
    label, replayed = text(gettext("Legend")), text(gettext("⟳ replayed"))
    return f'<ul class="mwj-legend" aria-label="{label}">{parts}<li>{replayed}</li></ul>'
