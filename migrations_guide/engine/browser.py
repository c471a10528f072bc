"""A browser of a few lines: it keeps cookies, fills in forms and reads tables, as much as Django's admin needs."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from http import HTTPStatus
from http.cookiejar import CookieJar

_SECONDS = 60


class Browser:
    """Somebody who looks at one site."""

    def __init__(self, site: str, *, cookies: CookieJar) -> None:
        self.site = site
        keep = urllib.request.HTTPCookieProcessor(cookies)
        self._follow = urllib.request.build_opener(keep)
        self._stay = urllib.request.build_opener(keep, _Stay)

    def get(self, path: str, **query: str) -> "Page":
        """Return the page at this path.

        Raises:
            urllib.error.URLError: the site does not answer; HTTPError, if it answers with an error.
        """
        address = urllib.parse.urljoin(self.site, path)
        return self._open(f"{address}?{urllib.parse.urlencode(query)}" if query else address)

    def submit(self, page: "Page", form: str, filled: Mapping[str, str], *, look: bool = True) -> "Page":
        """Fill in and send a form, and return the page that this leads to.

        Args:
            page: Where the form is.
            form: Its id.
            filled: What is filled in or pressed, by name; all else goes as the page has it.
            look: Whether the page that this leads to is of interest: where it is not, only its address is returned.
        """
        data = urllib.parse.urlencode({**page.forms[form], **filled}).encode()
        if look:
            return self._open(page.address, data)
        try:
            with self._stay.open(page.address, data, timeout=_SECONDS) as answer:
                return Page(address=answer.geturl(), html=answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                if error.code != HTTPStatus.FOUND:
                    raise
                return Page(address=urllib.parse.urljoin(page.address, error.headers["Location"]), html="")

    def _open(self, address: str, data: bytes | None = None) -> "Page":
        with self._follow.open(address, data, timeout=_SECONDS) as answer:
            return Page(address=answer.geturl(), html=answer.read().decode())


class _Stay(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: an answer that leads elsewhere is an HTTPError."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Page:
    """What came back."""

    address: str
    html: str

    @property
    def forms(self) -> dict[str, dict[str, str]]:
        """The values that each form would send, by its id."""
        return self._parsed.forms

    @property
    def table(self) -> list[dict[str, str]]:
        """The rows of a list in the admin: text by column heading, and under ``href`` where the row leads."""
        return [
            dict(zip(self._parsed.headings, row.cells, strict=True)) | {"href": row.href}
            for row in self._parsed.rows
        ]

    @property
    def messages(self) -> list[str]:
        """What the admin says happened, and the errors in forms."""
        return self._parsed.messages

    @cached_property
    def _parsed(self) -> "_Parser":
        parser = _Parser()
        parser.feed(self.html)
        return parser


@dataclass
class _Row:
    cells: list[str] = field(default_factory=list)
    href: str = ""


class _Parser(HTMLParser):
    """Notes forms, the list of results, and messages; text goes to whatever was opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, str]] = {}
        self.headings: list[str] = []
        self.rows: list[_Row] = []
        self.messages: list[str] = []
        self._form: dict[str, str] = {}
        self._select: str | None = None
        self._area: str | None = None
        self._in_table = self._in_body = False
        self._list_of_messages = False
        self._into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = self.forms.setdefault(has.get("id", ""), {})
        elif tag in {"input", "select", "textarea", "option"}:
            self._note_field(tag, has, checked="checked" in has or "selected" in has)
        elif tag == "table":
            self._in_table, self._in_body = has.get("id") == "result_list", False
        elif tag == "ul":
            self._list_of_messages = has.get("class", "").split(" ")[0] in {"messagelist", "errorlist"}
        elif tag == "li" and self._list_of_messages:
            self._open_text(self.messages)
        elif self._in_table:
            self._note_cell(tag, has)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._in_table = False
        elif tag == "form":
            self._form = {}
        elif tag == "ul":
            self._list_of_messages = False
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None
        if tag in {"td", "th", "li"}:
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None and data.strip():
            self._into[-1] = f"{self._into[-1]} {' '.join(data.split())}".strip()
        if self._area is not None:
            self._form[self._area] += data

    def _note_field(self, tag: str, has: dict[str, str], *, checked: bool) -> None:
        name = has.get("name", "")
        if tag == "option" and self._select is not None:
            if checked or self._select not in self._form:
                self._form[self._select] = has.get("value", "")
        elif tag == "select":
            self._select = name
        elif tag == "textarea":
            self._area, self._form[name] = name, ""
        elif tag == "input" and name:
            kind = has.get("type", "text")
            if kind not in {"submit", "button", "file"} and (kind not in {"checkbox", "radio"} or checked):
                self._form[name] = has.get("value", "on" if kind == "checkbox" else "")

    def _note_cell(self, tag: str, has: dict[str, str]) -> None:
        if tag == "th" and has.get("scope") == "col":
            self._open_text(self.headings)
        elif tag == "tbody":
            self._in_body = True
        elif not self._in_body:
            return
        elif tag == "tr":
            self.rows.append(_Row())
        elif tag in {"td", "th"}:
            self._open_text(self.rows[-1].cells)
        elif tag == "a" and not self.rows[-1].href:
            self.rows[-1].href = has.get("href", "")

    def _open_text(self, texts: list[str]) -> None:
        texts.append("")
        self._into = texts
