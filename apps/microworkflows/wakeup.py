"""Waking the relay right after a commit: PostgreSQL's NOTIFY, sent once it is committed, and LISTEN."""

import functools
import logging
import select
import time
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import conf, on_commit

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 3.0
"""Longest time that a finished transaction waits for the database's answer to the NOTIFY after it."""


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
        connection = transaction.get_connection(alias)
        try:
            if connection.connection is None:
                raise OperationalError("the session ended right after the commit")
            _execute(connection.connection.pgconn, b"SELECT pg_notify($1, '')", channel(context).encode())
        except (connection.Database.Error, DatabaseError, TimeoutError) as error:
            logger.warning(
                "relay %s was not woken and finds the recorded events at its next look, within %g s: %s",
                *(context, conf.current().relay_poll, " ".join(str(error).split())),
                extra={"context": context},
            )
            if isinstance(error, TimeoutError):
                connection.close()  # the answer may still come, to another question
            else:
                connection.errors_occurred = (
                    True  # as after an error of Django's cursor: look before the next use
                )

    return notify


def _execute(session: Any, statement: bytes, value: bytes) -> None:
    """Run a statement of one value in libpq, which lets the answer of a server that fell silent be waited for in bounds.

    Raises:
        TimeoutError: no answer came in time.
        psycopg.Error, OperationalError: the statement failed.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    session.send_query_params(statement, [value])
    socket = select.poll()
    socket.register(session.socket, select.POLLIN)
    while session.flush() or session.is_busy():
        if not socket.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError(f"the database did not answer in {_ANSWER_SECONDS:g} s")
        session.consume_input()
    while (result := session.get_result()) is not None:
        if result.error_message:
            raise OperationalError(result.error_message.decode(errors="replace"))


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
