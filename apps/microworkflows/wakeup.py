"""Waking the relay right after a commit: PostgreSQL's NOTIFY, sent once it is committed, and LISTEN."""

import functools
import logging
from collections.abc import Callable

from django.db import DatabaseError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import conf, libpq, on_commit, poolers
from microworkflows.one_trip import OneTrip

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 3.0
"""Longest time that a finished transaction waits for the database's answer to the NOTIFY after it."""
_NOTIFY = "SELECT pg_notify(%s, %s)"
_NOTIFY_IN_LIBPQ = (_NOTIFY % ("$1", "$2")).encode()
TIMER = "timer"
"""Payload of a notification that says that a timer was recorded, which may be due sooner than those known."""


def channel(context: str) -> str:
    """Return the name of a context's notification channel."""
    return f"microworkflows_{context}"


def notify_on_commit(connection: BaseDatabaseWrapper, context: str, *, payload: str = "") -> None:
    """Wake the context's relay once the current transaction has committed, with nothing to say or :data:`TIMER`.

    NOTIFY is a separate statement after the commit: inside the transaction, it makes commits queue for a global lock.
    A lost notification costs only time, since the relay also polls.
    """
    if connection.vendor != "postgresql":
        return
    if isinstance(connection, OneTrip) and connection.in_atomic_block:
        not_woken = functools.partial(_say_not_woken, context)
        connection.run_behind_commit(_NOTIFY, (channel(context), payload), failed=not_woken)
        return
    notify = _notify(connection.alias, context, payload)
    if not on_commit.is_registered(connection, notify):
        transaction.on_commit(notify, using=connection.alias, robust=True)


@functools.cache
def _notify(alias: str, context: str, payload: str) -> Callable[[], None]:
    def notify() -> None:
        connection = transaction.get_connection(alias)
        try:
            if connection.connection is None:
                raise OperationalError("the session ended right after the commit")
            session = connection.connection.pgconn
            values = [channel(context).encode(), payload.encode()]
            libpq.ask(session, _NOTIFY_IN_LIBPQ, values, seconds=_ANSWER_SECONDS)
        except (connection.Database.Error, DatabaseError, TimeoutError) as error:
            _say_not_woken(context, error)
            if isinstance(error, TimeoutError):
                poolers.end_session(connection)  # the answer may still come, to another question
            else:
                connection.errors_occurred = (
                    True  # as after an error of Django's cursor: look before the next use
                )

    return notify


def _say_not_woken(context: str, error: Exception) -> None:
    logger.warning(
        "relay %s was not woken and finds the recorded events at its next look, within %g s: %s",
        *(context, conf.current().relay_poll, " ".join(str(error).split())),
        extra={"context": context},
    )


def listen(connection: BaseDatabaseWrapper, context: str) -> None:
    """Subscribe this connection to the context's channel."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f'LISTEN "{channel(context)}"')


def wait(connection: BaseDatabaseWrapper, *, timeout: float) -> set[str]:
    """Wait at most ``timeout`` seconds for notifications on a listening PostgreSQL connection; return the payloads of those that came.

    Raises:
        OperationalError: the session ended (Django's error, as its cursors raise it).
    """
    with connection.wrap_database_errors:
        return {each.payload for each in connection.connection.notifies(timeout=timeout, stop_after=1)}
