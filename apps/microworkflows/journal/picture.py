"""Pictures of a process: boxes of microworkflows and events with their numbers, and arrows between them, placed and ready to be drawn.

The map draws what is declared and what was observed; a variant draws the steps of one way.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from microworkflows import times
from microworkflows.cloudevents import context_of
from microworkflows.journal import layout, words
from microworkflows.journal.graph import Announcement, Graph, Hearing
from microworkflows.journal.presence import Life, Presence, Seen
from microworkflows.journal.variants import Step, Way
from microworkflows.journeys import event_name

_LETTER: Final = 6.7
_BOX: Final = (154.0, 52.0)
_SMALL: Final = (132.0, 24.0)
_EVENT_HEIGHT: Final = 38.0
_THINNEST, _THICKEST = 1.5, 9.0
_LONGEST: Final = 21
_LANE_HEAD: Final = 22.0

Tone = Literal["", "bad", "busy", "idle"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A box, with the texts in it."""

    id: str
    kind: Literal["workflow", "event", "begin"]
    at: layout.Placed
    name: str
    lines: tuple[tuple[str, Tone], ...] = ()
    tip: str = ""
    declared: bool = True
    observed: bool = True
    tone: Tone = ""

    @property
    def context(self) -> str:
        """Context to which it belongs."""
        return context_of(self.id.partition(":")[2])

    @property
    def center(self) -> float:
        """Where its texts stand."""
        return self.at.x + self.at.width / 2

    @property
    def texts(self) -> list[tuple[float, str, str]]:
        """Height, tone and text of each line, the name first, around the middle."""
        rows = [("name", words.shortened(self.name, _LONGEST)), *((tone, text) for text, tone in self.lines)]
        top = self.at.middle - (len(rows) - 1) * 7.0 + 4.0
        return [(top + 14.0 * number, tone, text) for number, (tone, text) in enumerate(rows)]


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """An arrow."""

    path: str
    target: str
    """Id of what a click leads to."""
    tip: str
    width: float = _THINNEST
    declared: bool = True
    observed: bool = True
    tone: Tone = ""


@dataclass(frozen=True, kw_only=True)
class LaneShape:
    """A lane, with the state of its context."""

    at: layout.Lane
    texts: tuple[tuple[str, Tone], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture."""

    width: float
    height: float
    lanes: tuple[LaneShape, ...]
    shapes: tuple[Shape, ...]
    arrows: tuple[Arrow, ...]


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


def of_way(way: Way) -> Picture:
    """Return the small picture of a variant."""
    types = sorted({each for step in way for each in (step.type, step.emitted) if each})
    arrows: set[tuple[str, str]] = set()
    boxes = [_box(f"type:{each}", context_of(each), event_name(each), small=True) for each in types]
    for step in sorted(way):
        if step.consumer:
            label = f"to:{step.consumer}"
            boxes.append(_box(label, context_of(step.consumer), _own(step.consumer), small=True))
            arrows.add((f"type:{step.type}", label))
            if step.emitted:
                arrows.add((label, f"type:{step.emitted}"))
        elif step.type and step.emitted:
            arrows.add((f"type:{step.type}", f"type:{step.emitted}"))
    placed = layout.place(list({box.id: box for box in boxes}.values()), sorted(arrows), left=90.0)
    dismissed = {f"to:{step.consumer}" for step in way if step.dismissed}
    return Picture(
        width=placed.width,
        height=placed.height,
        lanes=tuple(LaneShape(at=lane) for lane in placed.lanes),
        shapes=tuple(
            Shape(
                id=name,
                kind="event" if name.startswith("type:") else "workflow",
                at=at,
                name=("✕ dismissed: " if name in dismissed else "") + _title(name),
                tip=name.partition(":")[2],
                tone="bad" if name in dismissed else "",
            )
            for name, at in placed.boxes.items()
        ),
        arrows=tuple(
            Arrow(path=path, target=target, tip=f"{_title(source)} to {_title(target)}")
            for (source, target), path in placed.paths.items()
        ),
    )


def steps_in_words(way: Way) -> list[str]:
    """Return the steps of a way in words, for those who do not see the picture."""

    def words_of(step: Step) -> str:
        if not step.type:
            return f"{event_name(step.emitted)} begins the flow"
        taken = f"{event_name(step.type)}: {step.consumer or 'somebody'}"
        if step.dismissed:
            return f"{taken} was dismissed"
        return f"{taken} emits {event_name(step.emitted)}" if step.emitted else f"{taken} emits nothing"

    return [words_of(step) for step in sorted(way)]


def lane_texts(context: Presence | None) -> tuple[tuple[str, Tone], ...]:
    """Return the state of a context in words, each with its tone."""
    if context is None:
        return (("? nobody declared it", "idle"),)
    texts = [life("worker", context.worker), life("relay", context.relay)]
    numbers: tuple[tuple[int | None, str, Tone], ...] = (
        (context.depth, "in queue", "busy"),
        (context.pending, "pending", "busy"),
        (context.parked, "parked", "bad"),
        (context.dead, "dead", "bad"),
    )
    for count, what, tone in numbers:
        if count:
            texts.append((f"{'■ ' if tone == 'bad' else ''}{words.number(count)} {what}", tone))
    if context.parked is None:
        texts.append(("? tables unknown", "idle"))
    return tuple(texts)


def life(what: str, seen: Seen) -> tuple[str, Tone]:
    """Return in words whether a process lives, with the tone of that."""
    if seen.life is Life.ALIVE:
        return f"✓ {what}", ""
    if seen.life.is_down and seen.since is not None:
        return f"✕ no {what} since {times.local(seen.since):%H:%M:%S}", "bad"
    return f"? {what} unknown", "idle"


def _boxes(
    announcements: Iterable[Announcement], hearings: Sequence[Hearing], *, names: Mapping[str, Presence]
) -> tuple[list[layout.Box], set[tuple[str, str]]]:
    boxes, arrows = {}, set()
    for each in announcements:
        box = _box(f"type:{each.type}", context_of(each.type), event_name(each.type))
        boxes[box.id] = box
        for source in each.sources:
            arrows.add((f"to:{source}", box.id))
        if not each.sources:
            where = "begin" if context_of(each.type) in names else "elsewhere"
            begin = f"{where}:{context_of(each.type)}"
            boxes[begin] = layout.Box(id=begin, lane=context_of(each.type), width=72.0, height=26.0)
            arrows.add((begin, box.id))
    for heard in hearings:
        box = _box(f"to:{heard.consumer}", context_of(heard.consumer), _own(heard.consumer))
        boxes[box.id] = box
        arrows.add((f"type:{heard.type}", box.id))
    return list(boxes.values()), arrows


def _box(name: str, lane: str, text: str, *, small: bool = False) -> layout.Box:
    width, height = _SMALL if small else _BOX
    if name.startswith("type:") and not small:
        height = _EVENT_HEIGHT
    wide = 18 + _LETTER * len(words.shortened(text, _LONGEST))
    return layout.Box(id=name, lane=lane, width=max(width if not small else 60.0, wide), height=height)


def _own(label: str) -> str:
    return label.partition(".")[2] or label


def _title(name: str) -> str:
    kind, _, rest = name.partition(":")
    return event_name(rest) if kind == "type" else _own(rest)


def _event_shape(each: Announcement, at: layout.Placed, graph: Graph) -> Shape:
    lines: list[tuple[str, Tone]] = [(words.rate(each.relayed, graph.window.minutes), _idle(each.relayed))]
    if not each.declared:
        lines = [(f"{lines[0][0]}, not declared", "bad")]
    return Shape(
        id=f"type:{each.type}",
        kind="event",
        at=at,
        name=event_name(each.type),
        lines=tuple(lines),
        tip=f"{each.type}{f', outcome {each.outcome}' if each.outcome else ''}",
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
        name=_own(each.consumer),
        lines=tuple(lines[:3]),
        tip=_said(each, graph),
        declared=each.declared,
        observed=each.observed,
        tone=_tone(each),
    )


def _begin_shape(name: str, at: layout.Placed) -> Shape:
    where, _, context = name.partition(":")
    text = "begins" if where == "begin" else "elsewhere"
    tip = f"Flows begin in {context}" if where == "begin" else f"{context} is not known here"
    return Shape(id=name, kind="begin", at=at, name=text, tip=tip, declared=where == "begin")


def _troubles(each: Hearing) -> list[tuple[str, Tone]]:
    said = []
    if each.failed:
        said.append(f"✕ {words.number(each.failed)} failed")
    if each.waiting.parked:
        said.append(f"■ {words.number(each.waiting.parked)} parked")
    lines: list[tuple[str, Tone]] = [(" ".join(said), "bad")] if said else []
    if not each.declared:
        lines.insert(0, ("not declared", "bad"))
    if not lines and each.waiting.flows:
        lines.append((f"… {words.number(each.waiting.flows, more=each.waiting.more)} wait", "busy"))
    return lines


def _tone(each: Hearing) -> Tone:
    if each.failed or each.parked or each.waiting.parked:
        return "bad"
    return "busy" if each.waiting.flows else ""


def _idle(count: int | None) -> Tone:
    return "" if count else "idle"


def _said(each: Hearing, graph: Graph) -> str:
    return (
        f"{event_name(each.type)} to {each.consumer}: {words.rate(each.handled, graph.window.minutes)}, "
        f"p50 {words.seconds(each.p50)}, p95 {words.seconds(each.p95)}, {words.number(each.failed)} failed, "
        f"{words.number(each.waiting.parked)} parked, {words.number(each.waiting.flows)} wait"
        f"{'' if each.declared else ', not declared'}"
    )


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
    return Arrow(
        path=path,
        target=target,
        tip=f"{_title(source) if source in hearings else 'a flow begins'}: {event_name(announced.type)}, "
        f"{words.rate(announced.relayed, graph.window.minutes)}",
        width=_width(announced.relayed, graph) if alone else _THINNEST,
        declared=announced.declared,
        observed=bool(announced.relayed),
    )


def _width(count: int | None, graph: Graph) -> float:
    often = (count or 0) / graph.window.minutes
    return round(min(_THINNEST + math.log2(1 + often), _THICKEST), 1)
