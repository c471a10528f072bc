"""An invented language in which each translated text is marked, and the texts of a page that bear no mark.

"Pause %(name)s" comes back as "⟦Pause ⟧%(name)s": what is put into a text must be translated, or be data, itself.
"""

import gettext
import html
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

from django.test import Client
from django.utils import formats, translation
from django.utils.translation import trans_real

from microworkflows import journeys, registry, topology
from tests.unit import crawling

CODE = "en-xa"

DATA = (
    r"https?://\S+",
    r"[\w.+-]+@[\w.%-]+",  # workers
    r"(/[\w.-]+)+",
    r"\d{4}-\d\d-\d\dT[\d:.+]+",
    r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}",
    r"[0-9a-f]{12,}",  # fingerprints
    r"[a-z_]+(\.[a-z_]+)+(\.v\d+)?",  # event types, microworkflows, Python's modules
    r"\d[\d.,]* ?(ms|s|min|h|d|%|B|kB|MB|GB)",
    r"(UTC|CET|CEST)",
    r"\(v\d+\)",
    r"[\d.]+/(min|h)",
    r"p(50|95)",
    r"celery -A \S+ worker( -Q \w+)?( -n [^\s.]+)?",
    r"python (manage\.py|-m) [^⟦⟧]+",
    r"manage\.py \w+",
    r"\{\w+\}",  # where a script puts something in
    "Search",  # Django's own, which it does not translate
)
"""Patterns of whole words that no language translates: ids, names, units and commands."""

_PART = re.compile(r"(<[^>]*>|%\(\w+\)[-+ #0]*\d*(?:\.\d+)?[a-z]|%[sdrf]|\{[^{}]*\})")
_BLOCK = re.compile(
    r"{% *blocktranslate\b.*?%}.*?{% *endblocktranslate *%}"
    r"|{% block (?:bodyclass|page_class) %}.*?(?:{% endblock %})+",
    re.DOTALL,
)
"""Parts of a template that are translated, or are no text."""
_GLUED = re.compile(r'\|pluralize\b|\|(?:default|default_if_none|yesno|stringformat):"[^"]*[A-Za-z]{2}[^"]*"')
"""Filters that put words into a template."""
_MARKED = re.compile(r"⟦[^⟦⟧]*⟧")
_SKIPPED = frozenset({"script", "style", "pre", "code", "time", "textarea", "bdi"})
_ATTRIBUTES = ("title", "alt", "aria-label", "placeholder")
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta", "col", "wbr"})


class _Marking(gettext.NullTranslations):
    """Answers each text with itself, marked; tags and placeholders stay as they are."""

    def gettext(self, message: str) -> str:
        text = message.rpartition("\x04")[2]  # Django puts the context of pgettext before it
        return "".join(
            f"⟦{part}⟧" if has_letters(part) and not _PART.fullmatch(part) else part
            for part in _PART.split(text)
        )

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    def language(self) -> str:
        """Return the code of the language (as Django's own translations do)."""
        return CODE

    to_language = language


@contextmanager
def active() -> Iterator[None]:
    """Mark everything that is translated in the block, by this thread."""
    known = trans_real._translations  # type: ignore[attr-defined]  # the stubs do not know it
    known[CODE] = _Marking()
    try:
        with translation.override(CODE):
            yield
    finally:
        del known[CODE]
        formats.reset_format_cache()


def raw_texts(page: str, *data: str) -> list[str]:
    """Return what a person reads on a page and what bears no mark: texts, and attributes that are read or shown.

    Texts for scripts are in attributes ``data-text-…``.

    Args:
        page: HTML of the page, or of a part of it.
        data: Patterns of what else is no text of the program: names, and what somebody typed.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    known = re.compile(rf"(?<!\w)({'|'.join((*data, *DATA, *_names()))})(?!\w)")
    found = (" ".join(text.split()) for text in reader.texts)
    return [text for text in dict.fromkeys(found) if has_letters(known.sub("", _unmarked(text)))]


def raw_content(response: Any, *data: str) -> list[str]:
    """Return the raw texts of a page's content, as :func:`raw_texts` does; what is around it, all pages have."""
    page = response.content.decode()
    return raw_texts(page.partition('id="content')[2].partition(">")[2] or page, *data)


def raw_in_template(source: str) -> list[str]:
    """Return the texts that a template shows without translating them, in whatever branch; data are not told from texts."""
    shown = _BLOCK.sub("", source)
    reader = _Reader()
    reader.feed(re.sub(r"{([%#]).*?\1}|{{.*?}}", "", shown, flags=re.DOTALL))
    reader.close()
    found = (" ".join(html.unescape(text).split()) for text in reader.texts)
    return [text for text in found if has_letters(text)] + _GLUED.findall(shown)


def raw_pages(client: Client, *start: str, data: Iterable[str] = (), only: str = "") -> dict[str, list[str]]:
    """Return the raw texts of each page that can be reached from some pages, by address, of those that have any.

    Args:
        client: Somebody who may see them.
        start: Addresses of the first pages.
        data: As :func:`raw_texts` takes it.
        only: Beginning of the addresses that count.
    """
    found: dict[str, list[str]] = {}

    def read(url: str, page: str) -> None:
        if url.startswith(only) and (texts := raw_texts(page, *data)):
            found[url] = texts

    with active():
        assert crawling.refused(client, *start, read=read) == []
    return found


def has_letters(text: str) -> bool:
    """Return True if there is something to translate in a text."""
    return any(character.isalpha() for character in text)


def _unmarked(text: str) -> str:
    while (without := _MARKED.sub(" ", text)) != text:  # one mark may be inside another
        text = without
    return text


def _names() -> Iterable[str]:
    workflows = registry.workflows()
    types = {each for workflow in workflows for each in (*workflow.types, *workflow.emitted_types)}
    named = {
        *(journeys.event_name(each) for each in types),
        *registry.contexts(),
        *registry.outcomes().values(),
        *topology.queues(),
    }
    named |= {workflow.label.partition(".")[2] for workflow in workflows}
    return map(re.escape, sorted(named, key=len, reverse=True))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        is_button = tag == "input" and given.get("type") in ("submit", "button", "reset")
        self.texts += [
            value
            for name, value in attrs
            if value
            and (name in _ATTRIBUTES or name.startswith("data-text-") or (name == "value" and is_button))
        ]
        if tag not in _VOID and (self._skipped or tag in _SKIPPED):
            self._skipped.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._skipped:
            while self._skipped.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.texts.append(data)
