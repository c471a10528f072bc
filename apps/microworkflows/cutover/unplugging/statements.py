"""Tables in the text of a statement, as the ORM or a person writes it.

A name is a table where a statement names tables (behind FROM, JOIN, INTO, UPDATE and their like, and behind commas there), and
where it stands before a dot. Whoever asks knows which names are tables at all, so a name too many, such as an alias, harms nobody.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(
    r"""
    \s+ | --[^\n]* | /\*.*?\*/
    | [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | %\(\w+\)s | %s
    | (?P<name> (?:"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|[^\W\d][\w$]*)
        (?:\s*\.\s*(?:"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|[^\W\d][\w$]*|\*))* )
    | (?P<mark> [(),;] )
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(r'"((?:[^"]|"")*)"|`([^`]*)`|\[([^\]]*)\]|([^\s.]+)')
_VERBS = {
    "INSERT": "insert",
    "REPLACE": "insert",
    "UPDATE": "update",
    "DELETE": "delete",
    "TRUNCATE": "delete",
    "MERGE": "update",
}
_BEFORE_TABLES = frozenset(
    [
        "FROM",
        "JOIN",
        "STRAIGHT_JOIN",
        "INTO",
        "UPDATE",
        "TABLE",
        "TRUNCATE",
        "USING",
        "COPY",
        "LOCK",
        "MERGE",
        "DELETE",
    ]
)
_BETWEEN = frozenset(["ONLY", "LATERAL", "INTO", "FROM", "TABLE", "IF", "EXISTS", "IGNORE", "OR", "REPLACE"])
_AFTER_TABLES = frozenset(
    [
        *(
            "WHERE",
            "SET",
            "ON",
            "GROUP",
            "ORDER",
            "HAVING",
            "LIMIT",
            "OFFSET",
            "UNION",
            "INTERSECT",
            "EXCEPT",
        ),
        *("SELECT", "VALUES", "RETURNING", "WINDOW", "FETCH", "FOR", "WHEN"),
    ]
)


def text(sql: Any, connection: Any) -> str:
    """Return a statement as text, whatever a cursor was given."""
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    return sql.as_string(connection.connection) if hasattr(sql, "as_string") else str(sql)


@lru_cache(maxsize=10_000)
def tables(sql: str) -> Mapping[str, str]:
    """Return what may be tables, in small letters, each with ``read``, ``insert``, ``update`` or ``delete``."""
    reading = _Reading()
    for match in _TOKEN.finditer(sql):
        if match["mark"]:
            reading.mark(match["mark"])
        elif match["name"]:
            reading.name(match["name"])
    return reading.found


class _Reading:
    """A statement while it is read."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._verb, self._before = "", ""
        self._awaited = self._listing = False
        """True where the next name is a table's; where a comma leads to another one."""
        self._around: list[bool] = []

    def mark(self, mark: str) -> None:
        """Read a parenthesis, a comma or a semicolon."""
        if mark == "(":  # what is awaited may stand inside: FROM (a JOIN b)
            self._around.append(self._listing)
            self._listing = False
        elif mark == ")":
            self._listing, self._awaited = bool(self._around and self._around.pop()), False
        elif mark == ",":
            self._awaited = self._listing
        else:
            self._verb, self._awaited, self._listing = "", False, False

    def name(self, name: str) -> None:
        """Read a name or a word of the language."""
        before, self._before = self._before, name.upper()
        word = self._before
        if word in _VERBS and not self._awaited and (word != "REPLACE" or not before):  # else the function
            self._verb = _VERBS[word]
        if word in _BEFORE_TABLES and not (word == "FROM" and before == "DISTINCT"):
            self._awaited = True
        elif word in _AFTER_TABLES:
            self._awaited = self._listing = False
        elif self._awaited and word not in _BETWEEN:
            for part in _parts(name):
                self.found[part] = self._verb or self.found.get(part, "read")
            self._verb, self._awaited, self._listing = "", False, True
        elif "." in name:
            self.found.setdefault(_parts(name)[0], "read")


def _parts(name: str) -> list[str]:
    """Return the parts of a dotted, quoted name, in small letters."""
    parts = ("".join(match.groups(default="")) for match in _PART.finditer(name))
    return [part.replace('""', '"').lower() for part in parts]
