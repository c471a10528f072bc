"""Texts from outside, such as a message's id or the text of an error, made fit for a log line, a terminal or a page."""

import re
from typing import Final

from django.utils.translation import ngettext

LONGEST: Final = 500
"""Characters of a text from outside that a line shows; what is left out is said."""

_MOST_LINES: Final = 200
_LONGEST_LINE: Final = 2_000


def line(text: object, *, longest: int = LONGEST, translated: bool = False) -> str:
    """Return a text on one line: control and other unprintable characters escaped, a long text cut.

    A line break would forge a line of the log, and ESC obeys orders in a terminal. A line is returned unchanged.

    Args:
        text: The text.
        longest: Characters that are kept.
        translated: True for a page, which says in the reader's language that the text is cut; logs and tables say it in English.
    """
    text = cut(str(text), longest=longest, translated=translated)
    return text if text.isprintable() else _escaped(text)


def cut(text: str, *, longest: int, translated: bool = False) -> str:
    """Return the first characters of a long text, and say how many it has; ``translated`` is as in :func:`line`."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({_characters(len(text), translated=translated)})"


def block(text: str, *, translated: bool = True) -> str:
    """Return a text of several lines, such as a traceback, with each line as :func:`line` returns it.

    Of very many lines, those in the middle are left out. With ``translated=False``, as for a log, this is said in English.
    """
    lines = text.split("\n")
    if (left_out := len(lines) - _MOST_LINES) > 0:
        half = _MOST_LINES // 2
        lines = [*lines[:half], f"… ({_lines_left_out(left_out, translated=translated)})", *lines[-half:]]
    return "\n".join(line(each, longest=_LONGEST_LINE, translated=translated) for each in lines)


def _characters(number: int, *, translated: bool) -> str:
    count = f"{number:,}"
    if not translated:
        return f"{count} characters"
    return ngettext("%(count)s character", "%(count)s characters", number) % {"count": count}


def _lines_left_out(number: int, *, translated: bool) -> str:
    count = f"{number:,}"
    if not translated:
        return f"{count} lines left out"
    return ngettext("%(count)s line left out", "%(count)s lines left out", number) % {"count": count}


def _escaped(text: str) -> str:
    return re.sub(r"[\s\S]", lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
