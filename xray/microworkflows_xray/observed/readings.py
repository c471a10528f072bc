"""Statements of SQL, each text read once: the tables that it touches, never its values."""

from __future__ import annotations

import re

from microworkflows_xray import sql as sql_texts
from microworkflows_xray.facts import Access, Verb
from microworkflows_xray.observed.places import Spot

MOST_TEXTS = 5_000
"""Texts are remembered up to this number; then they are read anew, so that texts with values in them do not fill the memory."""
LONGEST_TEXT = 100_000
"""A longer text is not read."""
_LISTS = re.compile(r"%s(?:, ?%s)+|\(%s\)(?:, ?\(%s\))+")
_LOCKS = re.compile(
    r"\bFOR (?:NO KEY )?(?:UPDATE|SHARE)\b|\bFOR KEY SHARE\b|^\s*LOCK TABLE\b|\bpg_advisory_(?:xact_)?lock\b",
    re.IGNORECASE,
)


class Reading:
    """A statement. There is one object for each text, so that it can be looked up by identity."""

    __slots__ = ("columns", "locks", "read", "verb", "written")

    def __init__(
        self,
        verb: Verb,
        written: tuple[str, ...],
        read: tuple[str, ...],
        columns: tuple[str, ...] | None,
        *,
        locks: bool,
    ) -> None:
        self.verb = verb
        self.written = written
        self.read = read
        self.columns = columns
        self.locks = locks
        """True if it can wait for another transaction: it writes, or locks rows or tables."""

    def accesses(self, spot: Spot) -> tuple[Access, ...]:
        """Return what it does at a place: an access for each table."""
        tables = {*self.written, *self.read}
        found = [self._access(table, self.verb, self.columns, spot, tables) for table in self.written]
        verb: Verb = "read"
        columns = None if self.written else self.columns
        found += [
            self._access(table, verb, columns, spot, tables)
            for table in self.read
            if table not in self.written
        ]
        return tuple(found)

    @staticmethod
    def _access(
        table: str, verb: Verb, columns: tuple[str, ...] | None, spot: Spot, tables: set[str]
    ) -> Access:
        return Access(table, verb, columns, spot.how, spot.place, tuple(sorted(tables - {table})))


class Readings:
    """Reads texts, and remembers them."""

    def __init__(self) -> None:
        self._known: dict[str, Reading | None] = {}

    def of(self, sql: object, vendor: str) -> Reading | None:
        """Read a statement; None if it touches no table, or nobody can tell which."""
        if not isinstance(sql, str):
            sql = sql.decode(errors="replace") if isinstance(sql, bytes) else str(sql)
        try:
            return self._known[sql]
        except KeyError:
            pass
        if len(sql) > LONGEST_TEXT:
            return self._read(_LISTS.sub("%s", sql)[:LONGEST_TEXT], vendor)
        if len(self._known) >= MOST_TEXTS:
            self._known.clear()
        short = _LISTS.sub("%s", sql)
        if short not in self._known:
            self._known[short] = self._read(short, vendor)
        reading = self._known[sql] = self._known[short]
        return reading

    def _read(self, sql: str, vendor: str) -> Reading | None:
        statement = sql_texts.read(sql, vendor)
        if statement is None:
            return None
        locks = bool(statement.written) or _LOCKS.search(sql) is not None
        return Reading(statement.verb, statement.written, statement.read, statement.columns, locks=locks)
