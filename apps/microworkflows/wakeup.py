"""Waking the relay right after a commit: PostgreSQL's NOTIFY, sent once it is committed, and LISTEN."""

import functools
from collections.abc import Callable

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import on_commit


def channel(context: str) -> str:
    """Return the name of a context's notification channel."""
    return f"microworkflows_{context}"


def notify_on_commit(connection: BaseDatabaseWrapper, context: str) -> None:
    """Wake the context's relay once the current transaction has committed.

    NOTIFY is a separate statement after the commit: inside the transaction, it makes commits queue for a global lock.
    A lost notification costs only time, since the relay also polls.
    """
    if connection.vendor != "postgresql":
        return
    notify = _notify(connection.alias, context)
    if not on_commit.is_registered(connection, notify):
        transaction.on_commit(notify, using=connection.alias, robust=True)


@functools.cache
def _notify(alias: str, context: str) -> Callable[[], None]:
    def notify() -> None:
        with transaction.get_connection(alias).cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel(context)])

    return notify


def listen(connection: BaseDatabaseWrapper, context: str) -> None:
    """Subscribe this connection to the context's channel."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f'LISTEN "{channel(context)}"')


def wait(connection: BaseDatabaseWrapper, *, timeout: float) -> bool:
    """Wait at most ``timeout`` seconds for a notification on a listening PostgreSQL connection; return True if one came.

    Raises:
        OperationalError: the session ended (Django's error, as its cursors raise it).
    """
    with connection.wrap_database_errors:
        return bool(list(connection.connection.notifies(timeout=timeout, stop_after=1)))
