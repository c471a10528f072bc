"""Tables, verb and columns of one SQL text, as Django's ORM emits it or a person writes it.

A tokenizer and a walk over the tokens, no grammar: a table is a name behind FROM, JOIN, INTO, UPDATE or a comma in a list of tables,
unless a common table expression or a subquery has that name. It never raises, and keeps what it has read once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from microworkflows_xray import sql_tokens
from microworkflows_xray.facts import Verb
from microworkflows_xray.sql_tokens import Token, bare, closing

_VERBS: dict[str, Verb] = {
    "SELECT": "read", "VALUES": "read", "TABLE": "read",
    "INSERT": "insert", "REPLACE": "insert", "MERGE": "insert", "COPY": "insert",
    "UPDATE": "update",
    "DELETE": "delete", "TRUNCATE": "delete",
}  # fmt: skip
_ENDS_TABLES = frozenset(
    [
        "WHERE",
        "SET",
        "GROUP",
        "ORDER",
        "HAVING",
        "LIMIT",
        "UNION",
        "INTERSECT",
        "EXCEPT",
        "VALUES",
        "SELECT",
        "RETURNING",
        "ON",
        "USING",
        "WINDOW",
        "OFFSET",
        "FETCH",
        "FOR",
        "DEFAULT",
        "WHEN",
    ]
)
_JOINING = frozenset(
    ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS", "NATURAL", "LATERAL", "STRAIGHT_JOIN"]
)
_SKIPPED = frozenset(
    [
        "ONLY",
        "LATERAL",
        "IGNORE",
        "LOW_PRIORITY",
        "DELAYED",
        "HIGH_PRIORITY",
        "QUICK",
        "OR",
        "REPLACE",
        "ROLLBACK",
        "ABORT",
        "FAIL",
        "INTO",
        "TABLE",
    ]
)


@dataclass(frozen=True)
class Statement:
    """One statement."""

    verb: Verb
    """Its main verb."""
    written: tuple[str, ...]
    """Tables that it writes, sorted."""
    read: tuple[str, ...]
    """Other tables that it reads, sorted."""
    columns: tuple[str, ...] | None
    """Columns that it inserts, updates, or, if they all stand there, selects from its first table, sorted; None for all, or unknown."""

    @property
    def tables(self) -> tuple[str, ...]:
        """All its tables, sorted."""
        return tuple(sorted({*self.written, *self.read}))


def read(sql: object, vendor: str = "") -> Statement | None:
    """Read one statement.

    Args:
        vendor: ``sqlite``, ``postgresql``, ``mysql`` or nothing; all are read alike.

    Returns:
        None for a statement without tables, such as ``SAVEPOINT``, and for what is no SQL.
    """
    return _read(sql) if isinstance(sql, str) else None


@lru_cache(maxsize=20_000)
def _read(sql: str) -> Statement | None:
    tokens = sql_tokens.tokens(sql)
    start = 0
    if tokens and tokens[0].word == "EXPLAIN":
        start = 1
    while start < len(tokens) and (
        tokens[start].text == "(" or tokens[start].word in {"ANALYZE", "VERBOSE", "QUERY", "PLAN"}
    ):
        start += 1
    ctes: set[str] = set()
    head = start
    if head < len(tokens) and tokens[head].word == "WITH":
        head, ctes = _with(tokens, head)
    if head >= len(tokens) or tokens[head].word not in _VERBS:
        return None
    walk = _Walk(tokens, ctes)
    walk.run(start)
    verb = _VERBS[tokens[head].word]
    written = sorted(walk.written)
    others = sorted(walk.read - walk.written if verb != "insert" else walk.read)
    if not written and not others:
        return None
    if written and verb == "read":
        verb = walk.first_write  # a common table expression that writes
    return Statement(verb, tuple(written), tuple(others), _columns(tokens, head, verb, walk))


def _with(tokens: list[Token], index: int) -> tuple[int, set[str]]:
    """Skip common table expressions; give where the statement begins, and their names."""
    names: set[str] = set()
    index += 1
    while index < len(tokens):
        token = tokens[index]
        if token.word == "RECURSIVE":
            index += 1
            continue
        if token.kind == "name":
            names.add(bare(token.text))
            index += 1
        while index < len(tokens) and (
            tokens[index].text == "(" or tokens[index].word in {"AS", "NOT", "MATERIALIZED"}
        ):
            index = closing(tokens, index) + 1 if tokens[index].text == "(" else index + 1
        if index < len(tokens) and tokens[index].text == ",":
            index += 1
            continue
        break
    return index, names


class _Walk:
    """Find the tables of a statement and all its subqueries."""

    def __init__(self, tokens: list[Token], ctes: set[str]) -> None:
        self.tokens = tokens
        self.ctes = ctes
        self.read: set[str] = set()
        self.written: set[str] = set()
        self.first_write: Verb = "insert"
        self.first_table = ""

    def run(self, index: int) -> None:
        tokens = self.tokens
        before = ""
        calls: list[bool] = []  # for each open parenthesis: is it a function's, such as EXTRACT(… FROM …)?
        while index < len(tokens):
            token = tokens[index]
            word = token.word
            if token.text == "(":
                earlier = tokens[index - 1] if index else None
                is_call = earlier is not None and earlier.word in {
                    "EXTRACT",
                    "TRIM",
                    "SUBSTRING",
                    "OVERLAY",
                    "POSITION",
                }
                calls.append(is_call)
            elif token.text == ")" and calls:
                calls.pop()
            elif word in {"INSERT", "REPLACE", "MERGE"} and self._is_statement(index):
                index = self._target(index + 1, "insert") - 1
            elif word == "UPDATE" and before not in {"FOR", "DO", "KEY", "ON"} and self._is_statement(index):
                index = self._updated(index + 1) - 1
            elif word == "DELETE" and before != "ON" and self._is_statement(index):
                index = self._deleted(index + 1) - 1
            elif word == "TRUNCATE":
                index = self._target(index + 1, "delete", several=True) - 1
            elif word in {"FROM", "USING"} and before != "DISTINCT" and not (calls and calls[-1]):
                index = self._sources(index + 1) - 1
            elif word in {"JOIN", "STRAIGHT_JOIN"}:
                index = self._source(index + 1) - 1
            before = word
            index += 1

    def _is_statement(self, index: int) -> bool:
        """True for a verb where a statement may begin, which a function such as ``REPLACE(…)`` or a column is not."""
        return index + 1 < len(self.tokens) and self.tokens[index + 1].kind == "name"

    def _skip(self, index: int) -> int:
        while index < len(self.tokens) and self.tokens[index].word in _SKIPPED:
            index += 1
        return index

    def _target(self, index: int, verb: Verb, *, several: bool = False) -> int:
        index = self._skip(index)
        while index < len(self.tokens) and self.tokens[index].kind == "name":
            self._write(self.tokens[index], verb)
            index += 1
            if not several or index >= len(self.tokens) or self.tokens[index].text != ",":
                break
            index += 1
        return index

    def _updated(self, index: int) -> int:
        """``UPDATE t SET``; and MySQL's ``UPDATE t, u SET``, which reads the others."""
        index = self._alias(self._target(index, "update"))
        if index < len(self.tokens) and self.tokens[index].text == ",":
            return self._sources(index + 1)
        return index

    def _deleted(self, index: int) -> int:
        """``DELETE FROM t``; and MySQL's ``DELETE t FROM t INNER JOIN …`` and ``DELETE `t` FROM …``."""
        index = self._skip(index)
        if index < len(self.tokens) and self.tokens[index].word == "FROM":
            return self._target(index + 1, "delete")
        return self._target(index, "delete", several=True)

    def _write(self, token: Token, verb: Verb) -> None:
        name = bare(token.text)
        if not self.written:
            self.first_write = verb
        if name not in self.ctes:
            self.written.add(name)

    def _sources(self, index: int) -> int:
        while True:
            index = self._source(index)
            index = self._alias(index)
            if index < len(self.tokens) and self.tokens[index].text == ",":
                index += 1
                continue
            return index

    def _source(self, index: int) -> int:
        index = self._skip(index)
        while index < len(self.tokens) and self.tokens[index].text == "(":
            index += 1  # a subquery is met on the way; nested joins begin with a table
        if index >= len(self.tokens):
            return index
        token = self.tokens[index]
        is_function = index + 1 < len(self.tokens) and self.tokens[index + 1].text == "("
        if token.kind == "name" and token.word not in {"SELECT", "VALUES", "WITH"} and not is_function:
            name = bare(token.text)
            if name not in self.ctes:
                self.read.add(name)
                self.first_table = self.first_table or name
            return index + 1
        return index

    def _alias(self, index: int) -> int:
        if index < len(self.tokens) and self.tokens[index].word == "AS":
            index += 1
        if index < len(self.tokens):
            token = self.tokens[index]
            if token.kind == "name" and token.word not in _ENDS_TABLES | _JOINING:
                index += 1
        return index


def _columns(tokens: list[Token], head: int, verb: Verb, walk: _Walk) -> tuple[str, ...] | None:
    if verb == "insert":
        return _inserted(tokens, head)
    if verb == "update":
        return _updated(tokens, head)
    if verb == "read":
        return _selected(tokens, head, walk.first_table)
    return None


def _inserted(tokens: list[Token], head: int) -> tuple[str, ...] | None:
    for index in range(head, len(tokens)):
        if tokens[index].word in {"VALUES", "SELECT", "DEFAULT"}:
            return None
        if tokens[index].text == "(":
            names = [
                bare(token.text) for token in tokens[index : closing(tokens, index)] if token.kind == "name"
            ]
            return tuple(sorted(names)) or None
    return None


def _updated(tokens: list[Token], head: int) -> tuple[str, ...] | None:
    """Names before ``=`` at the top level between SET and WHERE."""
    names: set[str] = set()
    depth = 0
    inside = False
    for index in range(head, len(tokens)):
        token = tokens[index]
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word == "SET":
            inside = True
        elif depth == 0 and inside and token.word in {"WHERE", "FROM", "RETURNING", "ORDER", "LIMIT"}:
            break
        elif (
            inside
            and depth == 0
            and token.kind == "name"
            and index + 1 < len(tokens)
            and tokens[index + 1].text == "="
        ) and (tokens[index - 1].text == "," or tokens[index - 1].word == "SET"):
            names.add(bare(token.text))
    return tuple(sorted(names)) or None


def _is_assigned(tokens: list[Token], index: int) -> bool:
    before, after = tokens[index - 1], tokens[index + 1] if index + 1 < len(tokens) else None
    return after is not None and after.text == "=" and (before.text == "," or before.word == "SET")


def _selected(tokens: list[Token], head: int, table: str) -> tuple[str, ...] | None:
    """Names ``table.column`` of the first table before FROM, if the list holds nothing else."""
    names: set[str] = set()
    index = head + 1
    while index < len(tokens) and tokens[index].word != "FROM":
        token = tokens[index]
        if token.text in {"*", "("}:
            return None
        if token.kind == "name" and not token.word:
            parts = re.findall(r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|[^\s.]+', token.text)
            if parts[-1] == "*":
                return None
            if len(parts) == 2 and bare(parts[0]) == table:
                names.add(bare(parts[1]))
        index += 1
    return tuple(sorted(names)) or None
