"""What a piece of work touches in the database: which indexes it searches, which tables it reads whole, how many pages.

PostgreSQL counts that for each transaction, whatever was sent to it and however.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import connection, transaction

_COUNTED = """
    SELECT relname, relkind = 'i', pg_stat_get_xact_numscans(oid), pg_stat_get_xact_blocks_fetched(oid)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
"""


class Touched(NamedTuple):
    """What was touched; names are sorted."""

    indexes: list[str]
    """Those that were searched."""
    whole: list[str]
    """Tables that were read from end to end."""
    pages: int
    """Of tables and indexes together, from memory or disk."""


def touched(work: Callable[[], Any]) -> Touched:
    """Do the work, tell what it touched, and undo it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_COUNTED)
        before = {name: (scans, pages) for name, _, scans, pages in cursor.fetchall()}
        work()
        cursor.execute(_COUNTED)
        rows = [
            (name, is_index, scans - before[name][0], pages - before[name][1])
            for name, is_index, scans, pages in cursor.fetchall()
        ]
        transaction.set_rollback(True)
    return Touched(
        indexes=sorted(name for name, is_index, scans, _ in rows if is_index and scans),
        whole=sorted(name for name, is_index, scans, _ in rows if not is_index and scans),
        pages=sum(pages for *_, pages in rows),
    )
