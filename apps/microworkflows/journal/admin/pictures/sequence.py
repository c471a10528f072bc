"""The sequence diagram: a lifeline for each context, and an arrow for each delivery, from top to bottom in the order of time."""

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from microworkflows import words
from microworkflows.journal.admin.pictures.frame import SIGNS, Viewer, description, joined, link, text
from microworkflows.journal.journeys import Delivery, Event, Journey
from microworkflows.journeys import human_duration

_LANE, _ROW, _TOP = 170, 38, 34


def draw(journey: Journey, viewer: Viewer) -> SafeString:
    """Draw the diagram as SVG, which scrolls sideways where there is no room."""
    lanes = _lanes(journey)
    arrows = sorted(
        ((event, delivery) for event in journey.events for delivery in event.deliveries or (None,)),
        key=lambda pair: pair[1].received_at or journey.ended_at if pair[1] else pair[0].recorded_at,
    )
    width, height = len(lanes) * _LANE, _TOP + len(arrows) * _ROW + 16
    label = description(journey, _("Sequence diagram of %(title)s"))
    parts = [
        (
            f'<svg class="mwj-svg" role="group" aria-label="{label}" width="{width}" height="{height}">'
            '<defs><marker id="mwj-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
            '<path class="mwj-arrowhead" d="M0 0L8 4L0 8z"/></marker></defs>'
        )
    ]
    for name, x in lanes.items():
        parts.append(
            f'<text class="mwj-lane" x="{x}" y="16">{text(name)}</text><line class="mwj-life" x1="{x}" x2="{x}" y1="24" y2="{height}"/>'
        )
    parts += [
        _arrow(journey, event, delivery, viewer=viewer, lanes=lanes, y=_TOP + number * _ROW + 24)
        for number, (event, delivery) in enumerate(arrows)
    ]
    return joined(['<div class="mwj-scroll" tabindex="0">', *parts, "</svg></div>"])


def _lanes(journey: Journey) -> dict[str, int]:
    """Return the middle of each context's lane, in the order in which the flow reached them."""
    names: dict[str, None] = {}
    for event in journey.events:
        names[event.context] = None
    for delivery in journey.deliveries:
        names[delivery.context] = None
    return {name: number * _LANE + _LANE // 2 for number, name in enumerate(names)}


def _arrow(
    journey: Journey,
    event: Event,
    delivery: Delivery | None,
    *,
    viewer: Viewer,
    lanes: dict[str, int],
    y: int,
) -> str:
    start, name = lanes[event.context], text(event.name)
    if delivery is None:
        tip = _("%(event)s: nobody is known to listen") % {"event": event.type}
        return (
            f'<g class="mwj-a"><title>{text(tip)}</title>'
            f'<circle class="mwj-dot" cx="{start}" cy="{y}" r="4"/><text x="{start + 9}" y="{y + 4}">{name}</text></g>'
        )
    end = lanes[delivery.context]
    sign, status = SIGNS.get(delivery.status, ""), words.shown(delivery.status)
    time = human_duration(delivery.handled_at - journey.began_at) if delivery.handled_at else text(status)
    label = f"{sign} {name}" + (f" [{text(words.shown(delivery.mode))}]" if delivery.mode else "")
    tip = _("%(event)s to %(consumer)s: %(status)s")
    told = {"event": event.type, "consumer": delivery.consumer, "status": status}
    title = f"<title>{text(tip % told)}</title>"
    shown = link(viewer.message(journey, event.id, delivery.context), label)
    if end == start:
        path = f'<path class="mwj-msg" d="M{start} {y - 8}h28v14h-24" marker-end="url(#mwj-head)"/>'
        return (
            f'<g class="mwj-a mwj-{delivery.status}">{title}{path}<text x="{start + 34}" y="{y - 2}">{shown}</text>'
            f'<text class="mwj-when" x="{start + 34}" y="{y + 12}">{time}</text></g>'
        )
    way = 1 if end > start else -1
    box = f'<rect class="mwj-act-box" x="{end - 4}" y="{y - 3}" width="8" height="18"/>'
    path = f'<path class="mwj-msg" d="M{start} {y}H{end - way * 4}" marker-end="url(#mwj-head)"/>'
    left = min(start, end) + 8
    return (
        f'<g class="mwj-a mwj-{delivery.status}">{title}{box}{path}<text x="{left}" y="{y - 5}">{shown}</text>'
        f'<text class="mwj-when" x="{left}" y="{y + 12}">{time}</text></g>'
    )
