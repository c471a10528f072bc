"""The screen of ``manage.py top``: tables as lines of text, or with rich, where that is installed and a person looks."""

import importlib.util
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from microworkflows import texts, times
from microworkflows.journeys import event_name

if TYPE_CHECKING:
    from rich.console import RenderableType

COLUMNS = (
    *(
        "context",
        "worker",
        "relay",
        "queue",
        "in hand",
        "flows wait",
        "to relay",
        "failing",
        "parked",
        "dead",
    ),
    *("overdue", "relayed/min", "handled/min", "failed/min"),
)
_UNKNOWN = "?"
_BAD = frozenset({"stopped", "silent", "does not lead"})


def rows(told: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of the contexts' table; ``?`` stands for what is unknown."""
    numbers = ("depth", "handling", "flows", "pending", "failing", "parked", "dead", "overdue")
    rates = ("relayed_a_minute", "handled_a_minute", "failed_a_minute")
    return [
        [
            each["context"],
            _life(each["worker"]),
            "does not lead" if _stands_by(each["relay"]) else _life(each["relay"]),
            *(_UNKNOWN if each[name] is None else f"{each[name]:,}" for name in numbers),
            *(f"{each[name]:,}" for name in rates),
        ]
        for each in told["contexts"]
    ]


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield the screen as lines of plain text."""
    yield headline(told)
    yield ""
    table = [list(COLUMNS), *rows(told)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if stuck := list(_stuck(told)):
        yield ""
        for cells in stuck:
            yield "  ".join(cells)


def headline(told: Mapping[str, Any]) -> str:
    """Return time and number of flows by state, in one line; or that the journal hears nothing."""
    flows = ", ".join(f"{number:,} {state}" for state, number in told["flows"].items())
    heard = told["heard_at"]
    if heard is None:
        return "The journal has never heard from anybody: does a collector run?"
    return f"{_clock(told['at'])}  flows: {flows}; heard last at {_clock(heard)}"


def renderable(told: Mapping[str, Any]) -> "RenderableType":
    """Return the screen for rich."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    contexts, stuck = (
        Table(*COLUMNS, box=None, pad_edge=False),
        Table(box=None, pad_edge=False, show_header=False),
    )
    for row in rows(told):
        contexts.add_row(
            *(Text(cell, style=_style(cell, name)) for cell, name in zip(row, COLUMNS, strict=True))
        )
    for cells in _stuck(told):
        stuck.add_row(*(Text(cell, style="red" if number == 2 else "") for number, cell in enumerate(cells)))
    return Group(Text(headline(told), style="bold"), "", contexts, "", stuck, Text("q ends", style="dim"))


def can_draw() -> bool:
    """Return True if rich is installed, and a person looks."""
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


def live(look: Callable[[], Mapping[str, Any]], *, every: float) -> None:
    """Draw what a function returns, again and again, until ``q`` or Ctrl-C."""
    from rich.live import Live

    with _keys() as pressed, Live(renderable(look()), screen=True, auto_refresh=False) as screen:
        while not pressed("q", every):
            screen.update(renderable(look()), refresh=True)


@contextmanager
def _keys() -> Iterator[Callable[[str, float], bool]]:
    """Yield a function that waits some seconds, and returns True as soon as somebody presses a key."""
    try:
        import termios
        import tty

        before = termios.tcgetattr(sys.stdin)
    except (ImportError, OSError, ValueError, termios.error):  # no terminal, or not of this kind
        yield _wait
        return

    def pressed(key: str, seconds: float) -> bool:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return bool(ready) and sys.stdin.read(1).lower() == key

    tty.setcbreak(sys.stdin)
    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _wait(key: str, seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _life(part: Mapping[str, Any]) -> str:
    if part["since"] is None:
        return _UNKNOWN
    if part["life"] == "unknown":
        return f"{_UNKNOWN} since {_clock(part['since'])}"
    return f"{part['life']} since {_clock(part['since'])}"


def _stands_by(relay: Mapping[str, Any]) -> bool:
    return relay["life"] == "alive" and relay["leads"] is False


def _stuck(told: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for each in told["overdue"]:
        awaited = f"{event_name(each['awaited'])} was due {_clock(each['due_at'])}"
        yield (
            texts.line(each["subject"], longest=40),
            awaited,
            f"{each['owner']}: {each['cause']}",
            texts.line(each["details"], longest=160),
        )


def _clock(text: str) -> str:
    at = datetime.fromisoformat(text)
    local, today = times.local(at), times.local(times.now()).date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


def _style(cell: str, column: str) -> str:
    if cell.startswith(_UNKNOWN):
        return "yellow"
    if cell.partition(" since")[0] in _BAD or (column in ("parked", "dead", "overdue") and cell != "0"):
        return "bold red"
    return "green" if cell.startswith("alive") else ""


def say(told: Mapping[str, Any], write: Callable[[str], object]) -> None:
    """Write the screen as plain text."""
    for line in lines(told):
        write(line)
