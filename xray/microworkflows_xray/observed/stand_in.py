"""Stand-in for ``static.sql`` until that is there."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r'["`\[]?([A-Za-z_][\w$]*)["`\]]?'
_TABLES = re.compile(rf"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?{_NAME}", re.IGNORECASE)
_WRITE = re.compile(rf"\b(INSERT|REPLACE)\s+(?:OR\s+\w+\s+|IGNORE\s+)?INTO\s+{_NAME}|\b(UPDATE)\s+{_NAME}\s+SET|\b(DELETE)\s+FROM\s+{_NAME}", re.IGNORECASE)
_SET = re.compile(r'(?:SET|,)\s+["`]?(\w+)["`]?\s*=', re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    verb: str
    written: tuple[str, ...]
    read: tuple[str, ...]
    columns: tuple[str, ...] | None


def read(sql: str, vendor: str) -> Statement | None:
    tables = tuple(dict.fromkeys(_TABLES.findall(sql)))
    found = _WRITE.search(sql)
    if found is None:
        return Statement("read", (), tables, None) if tables and sql.lstrip(" (").upper().startswith(("SELECT", "WITH")) else None
    (verb, table) = [group for group in found.groups() if group]
    verb = {"replace": "insert"}.get(verb.lower(), verb.lower())
    columns: tuple[str, ...] | None = None
    if verb == "insert":
        inside = re.match(r"\s*\(([^)]*)\)", sql[found.end():])
        columns = tuple(sorted(name.strip(' "`') for name in inside.group(1).split(","))) if inside else None
    elif verb == "update":
        head = re.split(r"\bWHERE\b", sql, flags=re.IGNORECASE)[0]
        columns = tuple(sorted(set(_SET.findall(head))))
    return Statement(verb, (table,), tuple(name for name in tables if name != table), columns)
