"""A language in which every translated text is marked, so that what nobody can translate shows."""

import gettext
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from unittest import mock

from django.utils import translation
from django.utils.translation import trans_real

LANGUAGE = "en-xa"
_BEGIN, _END = "⟦", "⟧"
_CONTEXT_ENDS = "\x04"

_UNSEEN = {"script", "style", "pre", "code", "time"}
"""Elements whose content is no text, or is data."""
_EMPTY = {
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"),
    *("circle", "line", "path", "polygon", "polyline", "rect", "use"),
}
_SAID = ("title", "alt", "placeholder", "aria-label", "aria-description")
_LETTERS = re.compile(r"[^\W\d_]{2,}")


class _Marked(gettext.NullTranslations):
    """A catalogue that marks what it is asked for."""

    def gettext(self, message: str) -> str:
        return f"{_BEGIN}{message.rpartition(_CONTEXT_ENDS)[2]}{_END}"

    def ngettext(self, one: str, many: str, number: int) -> str:
        return self.gettext(one if number == 1 else many)

    def language(self) -> str:
        return LANGUAGE

    def to_language(self) -> str:
        return LANGUAGE


@contextmanager
def active() -> Iterator[None]:
    """Show pages in this language."""
    with mock.patch.dict(trans_real._translations, {LANGUAGE: _Marked()}), translation.override(LANGUAGE):
        yield


def untranslated(html: str, *, data: Iterable[str] = ()) -> list[str]:
    """Return the texts of a page that cannot be translated, but for data: what is left of them once that is taken out."""
    page = _Page()
    page.feed(html)
    found = []
    words = sorted({each for each in data if len(each) > 1}, key=len, reverse=True)
    known = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words)) or '(?!)'})(?!\w)")
    for text in page.texts:
        left = " ".join(known.sub(" ", text).split())
        if _LETTERS.search(left):
            found.append(left)
    return list(dict.fromkeys(found))


class _Page(HTMLParser):
    """Reads a page's texts: of each, what is outside the marks, which may reach over several elements."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._unseen: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name in _SAID:
            self.texts.append(_outside(given.get(name, ""), 0)[0])
        if tag == "input" and given.get("type") in {"submit", "button", "reset"}:
            self.texts.append(_outside(given.get("value", ""), 0)[0])
        if tag in _UNSEEN and tag not in _EMPTY:
            self._unseen.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._unseen and self._unseen[-1] == tag:
            self._unseen.pop()

    def handle_data(self, data: str) -> None:
        text, self._depth = _outside(data, self._depth)
        if not self._unseen:
            self.texts.append(text)


def _outside(text: str, depth: int) -> tuple[str, int]:
    """Return what of a text is outside the marks, of which so many are open before it, and how many are open after it."""
    kept = []
    for part in re.split(f"([{_BEGIN}{_END}])", text):
        if part == _BEGIN:
            depth += 1
        elif part == _END:
            depth -= 1
        elif depth == 0:
            kept.append(part)
    return " ".join(kept), depth
