"""Transactions of the kit's own, beside those of the project's code: their isolation level does not depend on its settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


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
