"""Draws the guide's pictures: who calls or hears whom, what runs in which process, what lies in which database.

From top to bottom: the monolith's processes, the broker, the processes of single contexts, the databases; from left
to right always the same four contexts. A picture is described (:mod:`.pictures`), never placed by hand.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from migrations_guide.engine.stages import APPS

Span = tuple[str, str]
"""The first and the last context that something reaches over."""

ALL: Span = (APPS[0], APPS[-1])

_COLUMN, _GAP, _MARGIN, _PAD = 192, 34, 26, 12
_WIDTH = 2 * _MARGIN + 4 * _COLUMN + 3 * _GAP
_TITLE, _LINE, _RISE = 30, 15, 29
_FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_INK, _SOFT = "#24292f", "#57606a"
_CALL, _EVENT, _KEY = "#24292f", "#bc5a10", "#b42323"
_BOXES = {"monolith": ("#f3efe6", "#8d8266"), "own": ("#e6f2ec", "#3d7f5f")}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What one context does in a process."""

    lines: Sequence[str] = ()
    ghost: str = ""
    """What is tried beside it and rolled back."""


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """A direct call, or an event handed on within a process."""

    start: str
    end: str
    label: str
    event: bool = False


@dataclass(frozen=True, kw_only=True)
class Process:
    """One operating system's process, or several that always go together."""

    label: str
    cards: Mapping[str, Card]
    span: Span = ALL
    arrows: Sequence[Arrow] = ()
    emits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the events that go to the broker, by context."""
    hears: Sequence[str] = ()
    """The contexts to which the broker delivers."""
    kind: str = "own"


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database."""

    label: str
    span: Span = ALL
    tables: Mapping[str, str] = field(default_factory=dict)
    keys: Sequence[tuple[str, str]] = ()
    """Foreign keys, from and to."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The flow at one stage."""

    says: str
    """In words, for those who cannot see it."""
    above: Sequence[Process] = ()
    broker: str = ""
    below: Sequence[Process] = ()
    databases: Sequence[Database] = ()


def svg(picture: Picture) -> str:
    """Return the picture as a document in SVG."""
    parts: list[str] = []
    y = float(_MARGIN)
    bottoms = list(_row(picture.above, y, parts))
    if picture.above:
        y = max(bottom for _, bottom in bottoms)
    if picture.broker:
        wires = 30 if any(process.emits or process.hears for process in picture.above) else 14
        y = _broker(picture, y + wires, bottoms, parts)
    if picture.below:
        y += 46 if any(process.emits for process in picture.below) else 30
        above = y
        y = max(bottom for _, bottom in _row(picture.below, y, parts))
        _wires_up(picture, above, parts)
    if picture.databases:
        y = max(_database(database, y + 22, parts) for database in picture.databases)
    y = _legend(picture, y + 24, parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:.0f}" width="{_WIDTH}" height="{y:.0f}"'
        f' font-family="{escape(_FONT)}" role="img">\n<title>{escape(picture.says)}</title>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


# Rows of processes


def _row(processes: Sequence[Process], y: float, parts: list[str]) -> Iterator[tuple[Process, float]]:
    for process in processes:
        yield process, _process(process, y, parts)


def _process(process: Process, y: float, parts: list[str]) -> float:
    left, right = _edges(process.span)
    rise = max((_apex(arrow) for arrow in process.arrows), default=0)
    top = y + _TITLE + (rise + 14 if rise else 0)
    deepest = max(_card_height(card) for card in process.cards.values()) if process.cards else 0
    bottom = top + deepest + _PAD
    fill, line = _BOXES[process.kind]
    parts.append(
        f'<rect x="{left - _PAD}" y="{y:.0f}" width="{right - left + 2 * _PAD}" height="{bottom - y:.0f}" rx="8"'
        f' fill="{fill}" stroke="{line}" stroke-width="1.5"/>'
    )
    parts.append(_text(left, y + 20, process.label, size=13, bold=True, color=line))
    for context, card in process.cards.items():
        _card(context, card, top, parts)
    for arrow in process.arrows:
        _arc(arrow, top, parts, fill=fill)
    return bottom


def _card(context: str, card: Card, y: float, parts: list[str]) -> None:
    x = _left(context)
    height = _TITLE + _LINE * len(card.lines)
    parts.append(_rect(x, y, _COLUMN, height, stroke=_SOFT))
    parts.append(_text(x + 10, y + 19, context, size=13, bold=True))
    for number, line in enumerate(card.lines):
        parts.append(_text(x + 10, y + 36 + _LINE * number, line, color=_SOFT))
    if card.ghost:
        parts.append(_rect(x, y + height + 6, _COLUMN, 24, stroke=_EVENT, dashed=True))
        parts.append(_text(x + 10, y + height + 22, card.ghost, color=_EVENT))


def _card_height(card: Card) -> float:
    return _TITLE + _LINE * len(card.lines) + (30 if card.ghost else 0)


def _arc(arrow: Arrow, y: float, parts: list[str], *, fill: str) -> None:
    color = _EVENT if arrow.event else _CALL
    to_the_right = APPS.index(arrow.end) > APPS.index(arrow.start)
    # What goes to the right starts at the right of a card and ends at the left of one; what comes back, in between.
    spread = 16 * _distance(arrow)
    start = _left(arrow.start) + _COLUMN / 2 + (88 - spread if to_the_right else 20)
    end = _left(arrow.end) + _COLUMN / 2 - (40 + spread / 2 if to_the_right else 20)
    top = y - _RISE * _distance(arrow)
    parts.append(
        f'<path d="M {start:.0f} {y:.0f} C {start:.0f} {top - 8:.0f} {end:.0f} {top - 8:.0f} {end:.0f} {y - 7:.0f}" fill="none"'
        f' stroke="{color}" stroke-width="1.5"/>'
    )
    parts.append(_head(end, y, color))
    parts.append(
        _text((start + end) / 2, y - _apex(arrow) - 4, arrow.label, color=color, middle=True, on=fill)
    )


def _apex(arrow: Arrow) -> float:
    """Return how high the middle of an arc is: of a curve like this, three quarters of its control points' height."""
    return 0.75 * (_RISE * _distance(arrow) + 8)


# The broker, and what goes there and comes from there


def _broker(picture: Picture, y: float, above: Sequence[tuple[Process, float]], parts: list[str]) -> float:
    for process, bottom in above:
        for context, events in process.emits.items():
            x = _left(context) + 24
            parts.append(_line(x, bottom - _PAD, x, y - 6, _EVENT))
            parts.append(_head(x, y, _EVENT))
            parts.append(_text(x + 8, y - 9, ", ".join(events), color=_EVENT))
        for context in process.hears:
            x = _left(context) + _COLUMN - 24
            parts.append(_line(x, y, x, bottom - _PAD + 7, _EVENT))
            parts.append(_head(x, bottom - _PAD, _EVENT, up=True))
    left, right = _edges(ALL)
    parts.append(
        f'<rect x="{left - _PAD}" y="{y:.0f}" width="{right - left + 2 * _PAD}" height="28" rx="14" fill="#fdeeda"'
        f' stroke="{_EVENT}" stroke-width="1.5"/>'
    )
    parts.append(_text((left + right) / 2, y + 18, picture.broker, size=12, color=_EVENT, middle=True))
    return y + 28


def _wires_up(picture: Picture, y: float, parts: list[str]) -> None:
    bar = y - (46 if any(process.emits for process in picture.below) else 30)
    for process in picture.below:
        for context, events in process.emits.items():
            x = _left(context) + 24
            parts.append(_line(x, y, x, bar + 7, _EVENT))
            parts.append(_head(x, bar, _EVENT, up=True))
            for number, name in enumerate(events):
                parts.append(_text(x + 8, bar + 18 + _LINE * number, name, color=_EVENT))
        for context in process.hears:
            x = _left(context) + _COLUMN - 16
            parts.append(_line(x, bar, x, y - 6, _EVENT))
            parts.append(_head(x, y, _EVENT))


# Databases


def _database(database: Database, y: float, parts: list[str]) -> float:
    left, right = _edges(database.span)
    left, right = left - _PAD, right + _PAD
    deepest = max((_key_depth(key) for key in database.keys), default=0)
    height = 40 + (22 if database.tables else 0) + (deepest + 8 if deepest else 0)
    middle = (left + right) / 2
    parts.append(
        f'<path d="M {left} {y + 7:.0f} V {y + height:.0f} A {(right - left) / 2:.0f} 7 0 0 0 {right} {y + height:.0f}'
        f' V {y + 7:.0f}" fill="#eaf0f8" stroke="#4a6a95" stroke-width="1.5"/>'
        f'<ellipse cx="{middle:.0f}" cy="{y + 7:.0f}" rx="{(right - left) / 2:.0f}" ry="7" fill="#f4f8fd"'
        f' stroke="#4a6a95" stroke-width="1.5"/>'
    )
    parts.append(_text(middle, y + 32, database.label, size=12, bold=True, color="#35517a", middle=True))
    row = y + 54
    for context, tables in database.tables.items():
        parts.append(_text(_left(context) + _COLUMN / 2, row, tables, color=_SOFT, middle=True))
    for start, end in database.keys:
        _key(start, end, row + 7, parts)
    return y + height + 7


def _key(start: str, end: str, y: float, parts: list[str]) -> None:
    distance = abs(APPS.index(start) - APPS.index(end))
    begin = _left(start) + _COLUMN / 2
    stop = _left(end) + _COLUMN / 2 + 24 - 24 * distance
    depth = y + _key_depth((start, end))
    parts.append(
        f'<path d="M {begin:.0f} {y:.0f} C {begin:.0f} {depth:.0f} {stop:.0f} {depth:.0f} {stop:.0f} {y + 7:.0f}" fill="none"'
        f' stroke="{_KEY}" stroke-width="1.5" stroke-dasharray="5 4"/>'
    )
    parts.append(_head(stop, y, _KEY, up=True))


def _key_depth(key: tuple[str, str]) -> float:
    return 14.0 + 12 * abs(APPS.index(key[0]) - APPS.index(key[1]))


# What the colours mean


def _legend(picture: Picture, y: float, parts: list[str]) -> float:
    arrows = [arrow for process in (*picture.above, *picture.below) for arrow in process.arrows]
    entries = []
    if any(not arrow.event for arrow in arrows):
        entries.append(("a direct call", _CALL, False))
    if picture.broker or any(arrow.event for arrow in arrows):
        entries.append(("an event", _EVENT, False))
    if any(database.keys for database in picture.databases):
        entries.append(("a foreign key", _KEY, True))
    x = float(_MARGIN)
    for text, color, dashed in entries:
        parts.append(_line(x, y - 4, x + 26, y - 4, color, dashed=dashed))
        parts.append(_text(x + 34, y, text, color=_SOFT))
        x += 60 + 6.2 * len(text)
    boxes = [process.kind for process in (*picture.above, *picture.below)]
    for kind, text in (("monolith", "the monolith's process"), ("own", "a process of one context")):
        if kind in boxes:
            fill, line = _BOXES[kind]
            parts.append(
                f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="18" height="12" rx="3" fill="{fill}" stroke="{line}"/>'
            )
            parts.append(_text(x + 25, y, text, color=_SOFT))
            x += 50 + 6.2 * len(text)
    return y + 16


# Shapes


def _left(context: str) -> int:
    return _MARGIN + _PAD // 2 + APPS.index(context) * (_COLUMN + _GAP) - 6


def _edges(span: Span) -> tuple[int, int]:
    return _left(span[0]), _left(span[1]) + _COLUMN


def _distance(arrow: Arrow) -> int:
    return abs(APPS.index(arrow.start) - APPS.index(arrow.end))


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    bold: bool = False,
    color: str = _INK,
    middle: bool = False,
    on: str = "",
) -> str:
    more = (' font-weight="bold"' if bold else "") + (' text-anchor="middle"' if middle else "")
    halo = f' paint-order="stroke" stroke="{on}" stroke-width="4" stroke-linejoin="round"' if on else ""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}"{more}{halo}>{escape(text)}</text>'
    )


def _rect(x: float, y: float, width: float, height: float, *, stroke: str, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    fill = "none" if dashed else "#ffffff"
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="5" fill="{fill}" stroke="{stroke}"{dashes}/>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="M {x1:.0f} {y1:.0f} L {x2:.0f} {y2:.0f}" stroke="{color}" stroke-width="1.5"{dashes}/>'


def _head(x: float, y: float, color: str, *, up: bool = False) -> str:
    back = 8 if up else -8
    return f'<path d="M {x:.0f} {y:.0f} l -4.5 {back} h 9 z" fill="{color}"/>'
