"""Shapes of pictures of a process: boxes with their texts, arrows and lanes, placed and ready to be drawn."""

from dataclasses import dataclass
from typing import Final, Literal

from microworkflows.cloudevents import context_of
from microworkflows.journal import layout, words
from microworkflows.journeys import event_name

THINNEST: Final = 1.5
_LETTER: Final = 6.7
_BOX: Final = (154.0, 52.0)
_SMALL: Final = (132.0, 24.0)
_EVENT_HEIGHT: Final = 38.0
_LONGEST: Final = 21


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
    width: float = THINNEST
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


def sized(name: str, lane: str, text: str, *, small: bool = False) -> layout.Box:
    """Return a box to be placed, large enough for its name, and, unless it is small, for its numbers."""
    width, height = _SMALL if small else _BOX
    if name.startswith("type:") and not small:
        height = _EVENT_HEIGHT
    wide = 18 + _LETTER * len(words.shortened(text, _LONGEST))
    return layout.Box(id=name, lane=lane, width=max(width if not small else 60.0, wide), height=height)


def own(label: str) -> str:
    """Return a consumer's name inside its context."""
    return label.partition(".")[2] or label


def title(name: str) -> str:
    """Return the name for people of a shape, by its id."""
    kind, _, rest = name.partition(":")
    return event_name(rest) if kind == "type" else own(rest)
