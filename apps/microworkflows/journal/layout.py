"""Layout of a picture of boxes and arrows: from left to right by cause, in a lane for each context.

The method of Sugiyama, Tagawa and Toda (1981) in its simplest form: arrows that would lead back are set aside; a box stands right of
all that leads to it (longest path); an arrow that passes columns gets a place in each; places of one lane and column are ordered by the
mean height of what leads there, and of what follows (barycentre). The same boxes give the same picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from microworkflows.journal.columns import Cells, bends, columns_of, leading_back, order

COLUMN_GAP: Final = 44.0
ROW_GAP: Final = 10.0
LANE_PADDING: Final = 14.0
_BEND: Final = 12.0
"""Height of the place of an arrow that passes a column."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box to be placed."""

    id: str
    lane: str
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a box stands: its left upper corner, and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Height of its middle."""
        return self.y + self.height / 2


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The part of the picture that belongs to a context."""

    name: str
    y: float
    height: float


@dataclass(kw_only=True)
class Layout:
    """A picture with a place for everything."""

    width: float
    height: float
    boxes: dict[str, Placed] = field(default_factory=dict)
    lanes: list[Lane] = field(default_factory=list)
    paths: dict[tuple[str, str], str] = field(default_factory=dict)
    """Data of an SVG path by arrow."""


def place(
    boxes: Sequence[Box], arrows: Sequence[tuple[str, str]], *, left: float = 0.0, lane_head: float = 0.0
) -> Layout:
    """Place boxes and the arrows between them.

    Args:
        boxes: The boxes; each id once.
        arrows: Pairs of ids, of which both are among the boxes.
        left: Room left of the first column.
        lane_head: Room above the boxes of each lane, for its name.
    """
    known = {box.id: box for box in boxes}
    arrows = sorted({arrow for arrow in arrows if arrow[0] in known and arrow[1] in known})
    back = leading_back(sorted(known), arrows)
    forward = [arrow for arrow in arrows if arrow not in back]
    columns = columns_of(sorted(known), forward)
    chains, cells = bends({box.id: box.lane for box in boxes}, forward, columns)
    lanes = sorted(
        {box.lane for box in boxes},
        key=lambda name: (min(columns[box.id] for box in boxes if box.lane == name), name),
    )
    links = [pair for chain in chains.values() for pair in pairwise(chain)]
    order(cells, lanes, links)
    layout = _positions(known, cells, lanes, left=left, lane_head=lane_head)
    for arrow in arrows:
        layout.paths[arrow] = _path([layout.boxes[name] for name in chains.get(arrow, arrow)])
    layout.boxes = {name: placed for name, placed in layout.boxes.items() if name in known}
    return layout


def _positions(
    known: Mapping[str, Box], cells: Cells, lanes: Sequence[str], *, left: float, lane_head: float
) -> Layout:
    widths: dict[int, float] = {}
    for (_, column), places in cells.items():
        widths[column] = max([widths.get(column, 0.0), *(_size(known, name)[0] for name in places)])
    lefts, x = {}, left
    for column in sorted(widths):
        lefts[column] = x
        x += widths[column] + COLUMN_GAP
    layout, y = Layout(width=x - COLUMN_GAP + LANE_PADDING, height=0.0), 0.0
    for lane in lanes:
        own = {column: places for (name, column), places in cells.items() if name == lane}
        tall = max(_stack(known, places) for places in own.values())
        for column, places in own.items():
            top = y + lane_head + LANE_PADDING + (tall - _stack(known, places)) / 2
            for name in places:
                width, height = _size(known, name)
                shift = (widths[column] - width) / 2 if name in known else 0.0
                wide = width if name in known else widths[column]
                layout.boxes[name] = Placed(x=lefts[column] + shift, y=top, width=wide, height=height)
                top += height + ROW_GAP
        tall += lane_head + 2 * LANE_PADDING
        layout.lanes.append(Lane(name=lane, y=y, height=tall))
        y += tall
    layout.height = y
    return layout


def _size(known: Mapping[str, Box], name: str) -> tuple[float, float]:
    return (known[name].width, known[name].height) if name in known else (0.0, _BEND)


def _stack(known: Mapping[str, Box], places: Sequence[str]) -> float:
    return sum(_size(known, name)[1] for name in places) + ROW_GAP * (len(places) - 1)


def _path(places: Sequence[Placed]) -> str:
    """Return an arrow's path: curves between the places, and straight through those that it only passes."""
    first = places[0]
    x, y = first.x + first.width, first.middle
    path = f"M{x:.1f} {y:.1f}"
    for number, place in enumerate(places[1:], start=1):
        if place.x >= x:
            half = (x + place.x) / 2
            path += f" C{half:.1f} {y:.1f} {half:.1f} {place.middle:.1f} {place.x:.1f} {place.middle:.1f}"
        else:  # it leads back: below everything between
            low = max(y, place.middle) + 60.0
            path += f" C{x + 60:.1f} {low:.1f} {place.x - 60:.1f} {low:.1f} {place.x:.1f} {place.middle:.1f}"
        x, y = place.x, place.middle
        if number < len(places) - 1:
            x += place.width
            path += f" H{x:.1f}"
    return path
