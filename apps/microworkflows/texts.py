"""Texts from outside, such as a message's id or the text of an error, made fit for a log line or a terminal."""

import re
from typing import Final

LONGEST: Final = 500
"""Characters of a text from outside that a line shows; what is left out is said."""

_MOST_LINES: Final = 200
_LONGEST_LINE: Final = 2_000


def line(text: object, *, longest: int = LONGEST) -> str:
    """Return a text on one line: control and other unprintable characters escaped, a long text cut.

    A line break would forge a line of the log, and ESC obeys orders in a terminal. A line is returned unchanged.
    """
    text = str(text)
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text):,} characters)"
    return text if text.isprintable() else _escaped(text)


def block(text: str) -> str:
    """Return a text of several lines, such as a traceback, with each line as :func:`line` returns it.

    Of very many lines, those in the middle are left out.
    """
    lines = text.split("\n")
    if (left_out := len(lines) - _MOST_LINES) > 0:
        half = _MOST_LINES // 2
        lines = [*lines[:half], f"… ({left_out:,} lines left out)", *lines[-half:]]
    return "\n".join(line(each, longest=_LONGEST_LINE) for each in lines)


def _escaped(text: str) -> str:
    return re.sub(r"[\s\S]", lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
