"""The context map: where to draw each context on a ring, and the curves between them. Plain geometry, the same in each run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from microworkflows_xray.graph import Edge, Graph
from microworkflows_xray.report import words

FEW = 16
"""Up to so many contexts, names stand upright beside large circles; above, they point outwards from small ones."""
CURVES = 110
"""The heaviest so many dependencies are drawn at first; the page brings in the others."""


@dataclass(frozen=True)
class Shape:
    """A page's room for the map, in pixels of its own."""

    width: int
    height: int
    margin: int
    """Left free at both sides for names; among many contexts, as much as the longest needs."""
    letter: int
    head: int
    """Length of an arrow's head."""


WIDE_FEW = Shape(860, 600, 130, 15, 13)
WIDE_MANY = Shape(900, 900, 0, 12, 10)
PHONE_FEW = Shape(380, 560, 58, 13, 9)
PHONE_MANY = Shape(380, 380, 0, 9, 4)


@dataclass(frozen=True)
class Node:
    """A circle with its name. All numbers are text: a template would write them in the reader's language."""

    context: str
    x: str
    y: str
    r: str
    inside: str
    """Number of tables, if there is room."""
    label_x: str
    label_y: str
    anchor: str
    turn: str
    """``rotate(…)`` of the name; empty if it stands upright."""
    title: str


@dataclass(frozen=True)
class Curve:
    """A dependency, from who depends to whom it depends on."""

    source: str
    target: str
    family: str
    path: str
    width: str
    weight: str
    faint: bool
    """True if it is too light to be drawn at first."""
    title: str


@dataclass(frozen=True)
class Map:
    """A drawing."""

    slug: str
    """``wide`` or ``phone``."""
    width: int
    height: int
    head: str
    nodes: tuple[Node, ...]
    curves: tuple[Curve, ...]

    @property
    def box(self) -> str:
        """Return the SVG's ``viewBox``."""
        return f"0 0 {self.width} {self.height}"


def draw(graph: Graph, *, phone: bool = False) -> Map:
    """Return a drawing of the contexts and their dependencies, for a wide page or a phone."""
    few = len(graph.contexts) <= FEW
    shape = (PHONE_FEW if few else PHONE_MANY) if phone else (WIDE_FEW if few else WIDE_MANY)
    if not few:
        longest = max(len(one.name) for one in graph.contexts)
        room = min(int(longest * shape.letter * 0.55) + 24, shape.width * 3 // 10)
        shape = replace(shape, margin=room, height=shape.width)
    order = ring(graph)
    tables = {one.name: len(one.tables) for one in graph.contexts}
    most = max([1, *tables.values()])
    least, span = (
        ((13, 13) if phone else (18, 24))
        if few
        else ((2, 3) if phone else (4, 12 if len(graph.contexts) <= 40 else 7))
    )
    radius = {name: least + span * math.sqrt(tables[name] / most) for name in order}
    spots = {name: _spot(index, len(order), shape) for index, name in enumerate(order)}
    heavy = sorted(graph.edges, key=lambda edge: (-edge.weight, edge.source, edge.target))
    most_points = heavy[0].weight if heavy else 1
    scale = 0.55 if phone else 1.0
    return Map(
        "phone" if phone else "wide",
        shape.width,
        shape.height,
        str(shape.head),
        tuple(_node(name, spots[name], radius[name], tables[name], shape, few=few) for name in order),
        tuple(
            _curve(
                edge,
                spots,
                radius,
                shape,
                scale * (1 + 5.5 * math.sqrt(edge.weight / most_points)),
                faint=index >= CURVES,
            )
            for index, edge in reversed(list(enumerate(heavy)))
        ),
    )


def ring(graph: Graph) -> list[str]:
    """Return the contexts in an order that keeps heavily bound ones near each other on a ring."""
    names = [one.name for one in graph.contexts]
    near: dict[str, dict[str, int]] = {name: {} for name in names}
    for edge in graph.edges:
        for one, two in ((edge.source, edge.target), (edge.target, edge.source)):
            near[one][two] = near[one].get(two, 0) + edge.weight
    order: list[str] = []
    left = sorted(names, key=lambda name: (-sum(near[name].values()), name))
    while left:
        tail = order[-3:]
        best = max(left, key=lambda name: (sum(near[name].get(one, 0) for one in tail), -left.index(name)))
        order.append(best)
        left.remove(best)
    return _untangled(order, near)


def _untangled(order: list[str], near: dict[str, dict[str, int]]) -> list[str]:
    """Swap two contexts as long as that brings bound ones nearer."""
    count = len(order)
    at = {name: index for index, name in enumerate(order)}

    def length(name: str) -> int:
        here = at[name]
        return sum(
            points * min((here - at[other]) % count, (at[other] - here) % count)
            for other, points in near[name].items()
        )

    for _ in range(8 if count <= 80 else 1):
        better = False
        for i in range(count):
            for j in range(i + 1, count):
                one, two = order[i], order[j]
                before = length(one) + length(two)
                at[one], at[two] = j, i
                if length(one) + length(two) < before:
                    order[i], order[j], better = two, one, True
                else:
                    at[one], at[two] = i, j
        if not better:
            break
    return order


def _spot(index: int, count: int, shape: Shape) -> tuple[float, float, float]:
    """Return x, y and the angle at which a context is drawn."""
    angle = 2 * math.pi * index / count - math.pi / 2
    across = shape.width / 2 - shape.margin
    down = shape.height / 2 - (shape.margin if count > FEW else 92)
    return shape.width / 2 + across * math.cos(angle), shape.height / 2 + down * math.sin(angle), angle


def _node(
    name: str, spot: tuple[float, float, float], r: float, tables: int, shape: Shape, *, few: bool
) -> Node:
    x, y, angle = spot
    title = f"{name}: {words.many(tables, 'table')}"
    left = math.cos(angle) < -0.001
    if not few:
        label_x, label_y = x + (r + 5) * math.cos(angle), y + (r + 5) * math.sin(angle)
        degrees = math.degrees(angle) + (180 if left else 0)
        turn = f"rotate({degrees:.1f} {label_x:.1f} {label_y:.1f})"
        return Node(
            name,
            f"{x:.1f}",
            f"{y:.1f}",
            f"{r:.1f}",
            "",
            f"{label_x:.1f}",
            f"{label_y:.1f}",
            "end" if left else "start",
            turn,
            title,
        )
    upright = shape.width < 500 or abs(math.cos(angle)) < 0.3
    anchor = "middle" if upright else "end" if left else "start"
    label_x = x if upright else x + (r + 9) * (-1 if left else 1)
    label_y = y + (r + shape.letter * 0.9 + 4) * (1 if math.sin(angle) > 0.001 else -1) if upright else y
    return Node(
        name,
        f"{x:.1f}",
        f"{y:.1f}",
        f"{r:.1f}",
        str(tables),
        f"{label_x:.1f}",
        f"{label_y:.1f}",
        anchor,
        "",
        title,
    )


def _curve(
    edge: Edge,
    spots: dict[str, tuple[float, float, float]],
    radius: dict[str, float],
    shape: Shape,
    width: float,
    *,
    faint: bool,
) -> Curve:
    """Return a curve that bows towards the middle, and to its right, so that the way back is another curve."""
    (x1, y1, _), (x2, y2, _) = spots[edge.source], spots[edge.target]
    distance = math.hypot(x2 - x1, y2 - y1) or 1
    middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    across = distance / max(shape.width - 2 * shape.margin, 1)
    pull = 0.28 if len(spots) <= FEW else 0.12 + 0.5 * min(across, 1.0)
    bow = min(26.0, 0.12 * distance)
    bend_x = middle_x + (shape.width / 2 - middle_x) * pull - (y2 - y1) / distance * bow
    bend_y = middle_y + (shape.height / 2 - middle_y) * pull + (x2 - x1) / distance * bow
    start = _towards((x1, y1), (bend_x, bend_y), radius[edge.source] + 2)
    end = _towards((x2, y2), (bend_x, bend_y), radius[edge.target] + 2 + shape.head)
    path = f"M{start[0]:.1f} {start[1]:.1f}Q{bend_x:.1f} {bend_y:.1f} {end[0]:.1f} {end[1]:.1f}"
    title = f"{edge.source} → {edge.target}: {words.many(edge.weight, 'point')} ({words.kinds(edge)})"
    return Curve(edge.source, edge.target, edge.family, path, f"{width:.1f}", str(edge.weight), faint, title)


def _towards(start: tuple[float, float], end: tuple[float, float], distance: float) -> tuple[float, float]:
    """Return the point at a distance from the start on the way to the end."""
    length = math.hypot(end[0] - start[0], end[1] - start[1]) or 1
    return start[0] + (end[0] - start[0]) * distance / length, start[1] + (
        end[1] - start[1]
    ) * distance / length
