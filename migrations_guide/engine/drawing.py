"""Draws the guide's pictures: who calls or hears whom, what runs in which process, what lies in which database.

From top to bottom: the monolith's web process, the broker, the processes of single contexts, the databases; from left to
right always the same four contexts. A picture is described (:mod:`.pictures`), never placed by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from migrations_guide.engine.stages import APPS

CALL, EVENT, KEY = "call", "event", "key"
_LEGEND = {
    CALL: "a direct call",
    EVENT: "an event",
    KEY: "a foreign key",
    "monolith": "the monolith's process",
    "own": "a process of one context",
}

_COLUMN, _STEP, _MARGIN, _PAD = 192, 226, 26, 12
_LEFT, _WIDTH = _MARGIN - _PAD, 3 * _STEP + _COLUMN + 2 * _PAD
_TITLE, _LINE, _RISE, _BAR = 30, 15, 29, 28
_COLORS = {CALL: "#24292f", EVENT: "#bc5a10", KEY: "#b42323"}
_STYLE = """text{font:11px Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif;fill:#57606a}
.title{font-size:13px;font-weight:bold;fill:#24292f}.middle{text-anchor:middle}
path,rect,ellipse{fill:none;stroke-width:1.5}.key,.ghost{stroke-dasharray:5 4}
.card{fill:#fff;stroke:#57606a;stroke-width:1}.ghost{stroke:#bc5a10;stroke-width:1}
.monolith{fill:#f3efe6;stroke:#8d8266}.own{fill:#e6f2ec;stroke:#3d7f5f}
.broker{fill:#fdeeda;stroke:#bc5a10}.database{fill:#eaf0f8;stroke:#4a6a95}
text.monolith{fill:#8d8266;stroke:none}text.own{fill:#3d7f5f;stroke:none}text.database{fill:#35517a;stroke:none}
""" + "".join(
    f".{kind}{{stroke:{color}}}text.{kind}{{fill:{color};stroke:none}}\n" for kind, color in _COLORS.items()
)
_STYLE += "text.label{paint-order:stroke;stroke:#f3efe6;stroke-width:4;stroke-linejoin:round}\n"
_HEADS = "".join(
    f'<marker id="{kind}" viewBox="0 0 9 8" refX="8" refY="4" markerWidth="9" markerHeight="8" orient="auto"'
    f' markerUnits="userSpaceOnUse"><path d="M0 0L9 4L0 8z" style="fill:{color};stroke:none"/></marker>'
    for kind, color in _COLORS.items()
)


class Arrow(NamedTuple):
    """A direct call, or an event handed on within a process."""

    start: str
    end: str
    label: str
    kind: str = CALL

    @property
    def distance(self) -> int:
        """How many columns it crosses."""
        return abs(APPS.index(self.start) - APPS.index(self.end))

    @property
    def apex(self) -> float:
        """How high its middle is: of a curve like this, three quarters of its control points' height."""
        return 0.75 * (_RISE * self.distance + 8)


@dataclass(frozen=True, kw_only=True)
class Process:
    """One operating system's process, or several that always go together."""

    label: str
    cards: Mapping[str, str]
    """What contexts do in it, in lines."""
    ghosts: Mapping[str, str] = field(default_factory=dict)
    """What contexts try beside it and roll back, or have only in name."""
    arrows: Sequence[Arrow] = ()
    emits: Mapping[str, str] = field(default_factory=dict)
    """Names of the events that go to the broker, by context."""
    hears: Sequence[str] = ()
    """The contexts to which the broker delivers."""
    kind: str = "own"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The flow at one stage."""

    says: str
    """In words, for those who cannot see it."""
    above: Process | None = None
    broker: str = ""
    below: Sequence[Process] = ()
    own_databases: bool = False
    """Whether each context has its own database, or all share the monolith's with its foreign keys."""


def svg(picture: Picture) -> str:
    """Return the picture as a document in SVG."""
    return _Drawing(picture).text


class _Drawing:
    """Parts of a picture, drawn from top to bottom; ``_y`` is where the next one begins."""

    def __init__(self, picture: Picture) -> None:
        self._parts: list[str] = []
        self._y: float = _MARGIN
        self._kinds = set[str]()
        if picture.above:
            self._y = self._process(picture.above, _LEFT, _WIDTH)
        if picture.broker:
            self._broker(picture)
        if picture.below:
            self._y = max(
                self._process(each, _x(next(iter(each.cards))) - _PAD, _COLUMN + 2 * _PAD)
                for each in picture.below
            )
        self._y += 22
        if picture.own_databases:
            for app in APPS:
                self._database(f"database {app}", _x(app) - _PAD, _COLUMN + 2 * _PAD, height=40)
            self._y += 47
        else:
            self._shared_database()
        self._legend()
        self.text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _LEFT + _WIDTH} {self._y:.0f}"'
            f' width="{2 * _LEFT + _WIDTH}" height="{self._y:.0f}" role="img">\n'
            f"<title>{escape(picture.says)}</title>\n<style>{_STYLE}</style>\n<defs>{_HEADS}</defs>\n"
            '<rect width="100%" height="100%" style="fill:#fff"/>\n' + "\n".join(self._parts) + "\n</svg>\n"
        )

    # Processes

    def _process(self, process: Process, x: float, width: float) -> float:
        """Draw a process, and return where it ends."""
        self._kinds |= {process.kind, *(arrow.kind for arrow in process.arrows)}
        y = self._y + _TITLE + max((arrow.apex + 18 for arrow in process.arrows), default=0)
        lines = {app: card.splitlines() for app, card in process.cards.items()}
        heights = {app: _TITLE + _LINE * len(lines[app]) for app in lines}
        bottom = y + max(heights.values()) + (30 if process.ghosts else 0) + _PAD
        self._rect(x, self._y, width, bottom - self._y, process.kind)
        self._text(x + _PAD, self._y + 20, process.label, f"title {process.kind}")
        for app, height in heights.items():
            self._rect(_x(app), y, _COLUMN, height, "card")
            self._text(_x(app) + 10, y + 19, app, "title")
            for number, line in enumerate(lines[app]):
                self._text(_x(app) + 10, y + 36 + _LINE * number, line)
            if app in process.ghosts:
                self._rect(_x(app), y + height + 6, _COLUMN, 24, "ghost")
                self._text(_x(app) + 10, y + height + 22, process.ghosts[app], EVENT)
        for arrow in reversed(process.arrows):  # the nearest last: its label covers the others' lines
            self._arc(arrow, y)
        return bottom

    def _arc(self, arrow: Arrow, y: float) -> None:
        # What goes to the right starts at the right of a card and ends at the left of one; what comes back, in between.
        spread, right = 16 * arrow.distance, APPS.index(arrow.end) > APPS.index(arrow.start)
        start = _x(arrow.start) + _COLUMN / 2 + (88 - spread if right else 20)
        end = _x(arrow.end) + _COLUMN / 2 - (40 + spread / 2 if right else 20)
        top = y - _RISE * arrow.distance - 8
        self._path(
            f"M{start:.0f} {y:.0f}C{start:.0f} {top:.0f} {end:.0f} {top:.0f} {end:.0f} {y:.0f}", arrow.kind
        )
        self._text((start + end) / 2, y - arrow.apex - 4, arrow.label, f"middle label {arrow.kind}")

    # The broker, and what goes there and comes from there

    def _broker(self, picture: Picture) -> None:
        self._kinds.add(EVENT)
        if picture.above:
            top, wired = self._y, picture.above.emits
            self._y += 30 if wired else 14
            for app, name in wired.items():
                self._wire(_x(app) + 24, top, self._y, name)
        bar = self._y
        self._rect(_LEFT, bar, _WIDTH, _BAR, "broker", round=14)
        self._text(_LEFT + _WIDTH / 2, bar + 18, picture.broker, f"middle {EVENT}")
        self._y += _BAR + (46 if picture.below else 0)
        for process in picture.below:
            for app, name in process.emits.items():
                self._wire(_x(app) + 24, self._y, bar + _BAR, name)
            for app in process.hears:
                self._wire(_x(app) + _COLUMN - 16, bar + _BAR, self._y)

    def _wire(self, x: float, start: float, end: float, name: str = "") -> None:
        self._path(f"M{x:.0f} {start:.0f}V{end:.0f}", EVENT)
        self._text(x + 8, min(start, end) + 20, name, EVENT)

    # Databases

    def _shared_database(self) -> None:
        self._kinds.add(KEY)
        self._database("the monolith's database", _LEFT, _WIDTH, height=120)
        y = self._y + 61
        for number, app in enumerate(APPS):
            middle = _x(app) + _COLUMN / 2
            self._text(middle, y - 7, f"{app}'{'' if app.endswith('s') else 's'} tables", "middle")
            if number:
                end, depth = _x(APPS[0]) + _COLUMN / 2 + 24 - 24 * number, y + 14 + 12 * number
                self._path(
                    f"M{middle:.0f} {y:.0f}C{middle:.0f} {depth:.0f} {end:.0f} {depth:.0f} {end:.0f} {y:.0f}",
                    KEY,
                )
        self._y += 127

    def _database(self, label: str, x: float, width: float, *, height: float) -> None:
        top, half = self._y + 7, width / 2
        self._parts.append(
            f'<path class="database" d="M{x:.0f} {top:.0f}v{height - 7:.0f}a{half:.0f} 7 0 0 0 {width:.0f} 0v{7 - height:.0f}"/>'
            f'<ellipse class="database" cx="{x + half:.0f}" cy="{top:.0f}" rx="{half:.0f}" ry="7"/>'
        )
        self._text(x + half, self._y + 32, label, "title middle database")

    # What the colours mean

    def _legend(self) -> None:
        self._y += 24
        x: float = _MARGIN
        for kind, text in _LEGEND.items():
            if kind in self._kinds:
                if kind in _COLORS:
                    self._path(f"M{x:.0f} {self._y - 4:.0f}h26", kind)
                else:
                    self._rect(x, self._y - 10, 26, 12, kind, round=3)
                self._text(x + 34, self._y, text)
                x += 60 + 6.2 * len(text)
        self._y += 16

    # Shapes

    def _rect(self, x: float, y: float, width: float, height: float, kind: str, *, round: int = 6) -> None:  # noqa: A002  (what it is)
        self._parts.append(
            f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="{round}"/>'
        )

    def _text(self, x: float, y: float, text: str, kind: str = "") -> None:
        if text:
            self._parts.append(f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>')

    def _path(self, line: str, kind: str) -> None:
        self._parts.append(f'<path class="{kind}" d="{line}" marker-end="url(#{kind})"/>')


def _x(app: str) -> float:
    return _MARGIN + APPS.index(app) * _STEP
