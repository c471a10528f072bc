"""The map as a picture: what is declared and what was observed, in boxes and arrows that say how much, and what is wrong."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows import times
from microworkflows.cloudevents import context_of
from microworkflows.journal import layout, words
from microworkflows.journal.graph import Announcement, Graph, Hearing
from microworkflows.journal.presence import Life, Presence, Seen
from microworkflows.journal.shapes import THINNEST, Arrow, LaneShape, Picture, Shape, Tone, own, sized, title
from microworkflows.journeys import event_name

_THICKEST: Final = 9.0
_LANE_HEAD: Final = 22.0

_ALIVE: Final = {"worker": _("✓ worker"), "relay": _("✓ relay")}
_DOWN: Final = {"worker": _("✕ no worker since %(time)s"), "relay": _("✕ no relay since %(time)s")}
_UNKNOWN: Final = {"worker": _("? worker unknown"), "relay": _("? relay unknown")}


def of_graph(graph: Graph) -> Picture:
    """Return the map."""
    boxes, arrows = _boxes(graph.announcements, graph.hearings, names=graph.contexts)
    placed = layout.place(boxes, [*arrows], left=layout.LANE_PADDING, lane_head=_LANE_HEAD)
    announcements = {f"type:{each.type}": each for each in graph.announcements}
    hearings = {f"to:{each.consumer}": each for each in graph.hearings}
    shapes: list[Shape] = []
    for name, at in placed.boxes.items():
        if name in announcements:
            shapes.append(_event_shape(announcements[name], at, graph))
        elif name in hearings:
            shapes.append(_workflow_shape(hearings[name], at, graph))
        else:
            shapes.append(_begin_shape(name, at))
    return Picture(
        width=placed.width,
        height=placed.height,
        lanes=tuple(
            LaneShape(at=lane, texts=lane_texts(graph.contexts.get(lane.name))) for lane in placed.lanes
        ),
        shapes=tuple(shapes),
        arrows=tuple(
            _arrow(placed.paths[pair], pair, announcements, hearings, graph) for pair in sorted(arrows)
        ),
    )


def lane_texts(context: Presence | None) -> tuple[tuple[str, Tone], ...]:
    """Return the state of a context in words, each with its tone."""
    if context is None:
        return ((gettext("? nobody declared it"), "idle"),)
    texts = [life("worker", context.worker), life("relay", context.relay)]
    numbers: tuple[tuple[int | None, str, Tone], ...] = (
        (context.depth, gettext("%(number)s in queue"), "busy"),
        (context.pending, gettext("%(number)s pending"), "busy"),
        (context.parked, gettext("■ %(number)s parked"), "bad"),
        (context.dead, gettext("■ %(number)s dead"), "bad"),
    )
    for count, text, tone in numbers:
        if count:
            texts.append((text % {"number": words.number(count)}, tone))
    if context.parked is None:
        texts.append((gettext("? tables unknown"), "idle"))
    return tuple(texts)


def life(what: str, seen: Seen) -> tuple[str, Tone]:
    """Return in words whether a process lives, with the tone of that."""
    if seen.life is Life.ALIVE:
        return str(_ALIVE[what]), ""
    if seen.life.is_down and seen.since is not None:
        return str(_DOWN[what]) % {"time": f"{times.local(seen.since):%H:%M:%S}"}, "bad"
    return str(_UNKNOWN[what]), "idle"


def _boxes(
    announcements: Iterable[Announcement], hearings: Sequence[Hearing], *, names: Mapping[str, Presence]
) -> tuple[list[layout.Box], set[tuple[str, str]]]:
    boxes, arrows = {}, set()
    for each in announcements:
        box = sized(f"type:{each.type}", context_of(each.type), event_name(each.type))
        boxes[box.id] = box
        for source in each.sources:
            arrows.add((f"to:{source}", box.id))
        if not each.sources:
            where = "begin" if context_of(each.type) in names else "elsewhere"
            begin = f"{where}:{context_of(each.type)}"
            boxes[begin] = layout.Box(id=begin, lane=context_of(each.type), width=72.0, height=26.0)
            arrows.add((begin, box.id))
    for heard in hearings:
        box = sized(f"to:{heard.consumer}", context_of(heard.consumer), own(heard.consumer))
        boxes[box.id] = box
        arrows.add((f"type:{heard.type}", box.id))
    return list(boxes.values()), arrows


def _event_shape(each: Announcement, at: layout.Placed, graph: Graph) -> Shape:
    lines: list[tuple[str, Tone]] = [(words.rate(each.relayed, graph.window.minutes), _idle(each.relayed))]
    if not each.declared:
        lines = [(gettext("%(rate)s, not declared") % {"rate": lines[0][0]}, "bad")]
    return Shape(
        id=f"type:{each.type}",
        kind="event",
        at=at,
        name=event_name(each.type),
        lines=tuple(lines),
        tip=gettext("%(type)s, outcome %(outcome)s") % {"type": each.type, "outcome": each.outcome}
        if each.outcome
        else each.type,
        declared=each.declared,
        observed=bool(each.relayed),
    )


def _workflow_shape(each: Hearing, at: layout.Placed, graph: Graph) -> Shape:
    numbers = words.rate(each.handled, graph.window.minutes)
    if each.p50 is not None:
        numbers += f" · {words.seconds(each.p50)}"
    lines = [(numbers, _idle(each.handled)), *_troubles(each)]
    return Shape(
        id=f"to:{each.consumer}",
        kind="workflow",
        at=at,
        name=own(each.consumer),
        lines=tuple(lines[:3]),
        tip=_said(each, graph),
        declared=each.declared,
        observed=each.observed,
        tone=_tone(each),
    )


def _begin_shape(name: str, at: layout.Placed) -> Shape:
    where, _, context = name.partition(":")
    begins = where == "begin"
    text = gettext("begins") if begins else gettext("elsewhere")
    tip = gettext("Flows begin in %(context)s") if begins else gettext("%(context)s is not known here")
    return Shape(id=name, kind="begin", at=at, name=text, tip=tip % {"context": context}, declared=begins)


def _troubles(each: Hearing) -> list[tuple[str, Tone]]:
    said = []
    if each.failed:
        said.append(gettext("✕ %(number)s failed") % {"number": words.number(each.failed)})
    if each.waiting.parked:
        said.append(gettext("■ %(number)s parked") % {"number": words.number(each.waiting.parked)})
    lines: list[tuple[str, Tone]] = [(" ".join(said), "bad")] if said else []
    if not each.declared:
        lines.insert(0, (gettext("not declared"), "bad"))
    if not lines and each.waiting.flows:
        number = words.number(each.waiting.flows, more=each.waiting.more)
        lines.append((gettext("… %(number)s wait") % {"number": number}, "busy"))
    return lines


def _tone(each: Hearing) -> Tone:
    if each.failed or each.parked or each.waiting.parked:
        return "bad"
    return "busy" if each.waiting.flows else ""


def _idle(count: int | None) -> Tone:
    return "" if count else "idle"


def _said(each: Hearing, graph: Graph) -> str:
    numbers = gettext(
        "%(event)s to %(consumer)s: %(rate)s, p50 %(p50)s, p95 %(p95)s, %(failed)s failed, %(parked)s parked, %(waiting)s wait"
    ) % {
        "event": event_name(each.type),
        "consumer": each.consumer,
        "rate": words.rate(each.handled, graph.window.minutes),
        "p50": words.seconds(each.p50),
        "p95": words.seconds(each.p95),
        "failed": words.number(each.failed),
        "parked": words.number(each.waiting.parked),
        "waiting": words.number(each.waiting.flows),
    }
    return numbers if each.declared else gettext("%(numbers)s, not declared") % {"numbers": numbers}


def _arrow(
    path: str,
    pair: tuple[str, str],
    announcements: Mapping[str, Announcement],
    hearings: Mapping[str, Hearing],
    graph: Graph,
) -> Arrow:
    source, target = pair
    if target in hearings:
        heard = hearings[target]
        return Arrow(
            path=path,
            target=target,
            tip=_said(heard, graph),
            width=_width(heard.handled, graph),
            declared=heard.declared,
            observed=heard.observed,
            tone=_tone(heard),
        )
    announced = announcements[target]
    alone = len(announced.sources) < 2
    begins = title(source) if source in hearings else gettext("a flow begins")
    return Arrow(
        path=path,
        target=target,
        tip=f"{begins}: {event_name(announced.type)}, {words.rate(announced.relayed, graph.window.minutes)}",
        width=_width(announced.relayed, graph) if alone else THINNEST,
        declared=announced.declared,
        observed=bool(announced.relayed),
    )


def _width(count: int | None, graph: Graph) -> float:
    often = (count or 0) / graph.window.minutes
    return round(min(THINNEST + math.log2(1 + often), _THICKEST), 1)
