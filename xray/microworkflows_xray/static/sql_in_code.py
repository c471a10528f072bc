"""SQL texts in the code: what ``cursor.execute`` and ``raw`` are given."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from microworkflows_xray import sql

from .engine import Frame
from .values import Text

if TYPE_CHECKING:
    from .calling import Arguments

_RUNS = frozenset(
    {"execute", "executemany", "execute_sql", "raw", "RawSQL", "run_sql", "fetch_all", "fetch_one", "sql"}
)


def call(frame: Frame, name: str, passed: Arguments, node: ast.AST) -> None:
    """Note the tables that a statement given to a cursor reads and writes."""
    if name not in _RUNS or not passed.positional:
        return
    for each in passed.positional[0]:
        statement = sql.read(each.text, "") if isinstance(each, Text) else None
        if statement is None:
            continue
        for table in statement.written:
            if statement.verb != "read":
                frame.access(node, table, statement.verb, "SQL", statement.columns, joins=statement.read)
        for table in statement.read:
            frame.access(node, table, "read", "SQL", None, joins=statement.tables)
