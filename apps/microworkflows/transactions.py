"""Transactions of the kit's own, beside those of the project's code: neither isolation level nor limits depend on its settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper


@contextmanager
def read_committed(*, using: str) -> Iterator[None]:
    """Open a transaction in which each statement sees what others have committed meanwhile, whatever level the project uses.

    What the kit keeps, replays or purges is locked row by row. In a stricter transaction, a row that somebody else has just
    changed would be an error in place of a short wait. Inside another transaction, that one's level holds.
    """
    connection = connections[using]
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(using=using):
        if is_outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield


@contextmanager
def waiting_for_nobody(*, using: str) -> Iterator[None]:
    """Open a transaction for upkeep, as :func:`read_committed` does: it gives up soon where somebody else is at work.

    Raises:
        OperationalError: a lock was not to be had, or a statement has lasted too long.
    """
    connection = connections[using]
    is_outermost = not connection.in_atomic_block
    with read_committed(using=using):
        if is_outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '30s'")
        yield


@contextmanager
def limited(seconds: float, *, using: str) -> Iterator[None]:
    """Let no statement in the block last longer; in PostgreSQL the block is a transaction.

    Inside another transaction, that one's own limit holds again after the block. SQLite has no such limit, and a transaction there
    would keep others from writing.

    Raises:
        OperationalError: a statement has lasted longer.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(using=using), connection.cursor() as cursor:
        before = None if is_outermost else _limit(cursor)
        cursor.execute(f"SET LOCAL statement_timeout = '{seconds:g}s'")
        yield
        if before is not None:
            cursor.execute(f"SET LOCAL statement_timeout = '{before}'")


def _limit(cursor: CursorWrapper) -> str:
    cursor.execute("SHOW statement_timeout")
    return str(cursor.fetchone()[0])
