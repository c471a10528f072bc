"""The causation tree: under each event the consumers that heard it, and under each of these the events that it emitted."""

from collections import defaultdict
from collections.abc import Iterator

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from microworkflows.journal.admin.pictures.frame import (
    Viewer,
    circumstances,
    description,
    joined,
    link,
    state_of,
    status_of,
    text,
)
from microworkflows.journal.journeys import Delivery, Event, Journey
from microworkflows.journeys import human_duration

_ROW, _INDENT, _WIDEST = 24, 20, 700


def draw(journey: Journey, viewer: Viewer) -> SafeString:
    """Draw the tree as SVG; a deep one indents less."""
    rows = list(_rows(journey))
    deepest = max((row[0] for row in rows), default=0)
    indent = min(_INDENT, _WIDEST / max(deepest, 1))
    parts: list[str] = []
    last_at: dict[int, int] = {}
    for number, (depth, event, delivery) in enumerate(rows):
        x, y = 8 + depth * indent, number * _ROW + 16
        if depth:
            elbow = x - indent
            parts.append(
                f'<path class="mwj-elbow" d="M{elbow:.1f} {last_at[depth - 1] + 6}V{y - 4}H{x - 5:.1f}"/>'
            )
        last_at[depth] = y
        parts.append(_node(journey, event, delivery, viewer=viewer, x=x, y=y))
    width, height = max(320, round(8 + deepest * indent + 420)), len(rows) * _ROW + 8
    label = description(journey, _("Causation tree of %(title)s"))
    head = f'<svg class="mwj-svg" role="group" aria-label="{label}" width="{width}" height="{height}">'
    return joined(['<div class="mwj-scroll" tabindex="0">', head, *parts, "</svg></div>"])


def _node(
    journey: Journey, event: Event, delivery: Delivery | None, *, viewer: Viewer, x: float, y: int
) -> str:
    if delivery is None:
        name = link(viewer.payload(journey, event), text(event.name))
        after = human_duration(event.recorded_at - journey.began_at)
        return (
            f'<g><title>{text(event.type)}</title><circle class="mwj-dot" cx="{x:.1f}" cy="{y - 4}" r="4"/>'
            f'<text class="mwj-e" x="{x + 9:.1f}" y="{y}">{name}{status_of(event)} <tspan class="mwj-quiet">+{after}</tspan></text></g>'
        )
    url = viewer.message(journey, event.id, delivery.context)
    return (
        f'<g class="mwj-d mwj-{delivery.status}"><text x="{x:.1f}" y="{y}">{link(url, text(delivery.consumer))} '
        f'<tspan class="mwj-state">{state_of(delivery)}</tspan> <tspan class="mwj-quiet">{circumstances(delivery)}</tspan></text></g>'
    )


def _rows(journey: Journey) -> Iterator[tuple[int, Event, Delivery | None]]:
    """Yield depth, event and delivery of each row, from the top; without a delivery the row is the event's."""
    effects: dict[tuple[str, str], list[Event]] = defaultdict(list)
    known = {str(event.id): event for event in journey.events}
    consumers = {(str(event.id), each.consumer) for event in journey.events for each in event.deliveries}
    roots = []
    for event in journey.events:
        if event.causation_id not in known or event.causation_id == str(event.id):
            roots.append(event)
        else:
            by = event.emitted_by if (event.causation_id, event.emitted_by) in consumers else ""
            effects[event.causation_id, by].append(event)
    drawn: set[object] = set()
    # Events that name each other as their cause hang from no root; each is drawn once all the same.
    for root in (*roots, *journey.events):
        stack: list[tuple[int, Event, Delivery | None]] = [(0, root, None)]
        while stack:
            depth, event, delivery = stack.pop()
            if delivery is None:
                if event.id in drawn:
                    continue
                drawn.add(event.id)
                yield depth, event, None
                stack += [(depth + 1, effect, None) for effect in reversed(effects[str(event.id), ""])]
                stack += [(depth + 1, event, each) for each in reversed(event.deliveries)]
            else:
                yield depth, event, delivery
                found = effects[str(event.id), delivery.consumer]
                stack += [(depth + 1, effect, None) for effect in reversed(found)]
