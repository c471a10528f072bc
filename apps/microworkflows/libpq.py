"""Statements in libpq itself, which lets the answer of a server that fell silent be waited for in bounds."""

import select
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

_ACTIVE = 1
"""libpq's PQTRANS_ACTIVE: a statement is under way."""
_CANCEL_SECONDS = 5.0


def ask(session: Any, statement: bytes, values: Sequence[bytes] = (), *, seconds: float) -> bytes | None:
    """Run a statement in a session that is idle; return the first value of its last row, None if there is none.

    Args:
        session: The ``pgconn`` of a psycopg connection.
        statement: One statement, with ``$1`` and so on for the values.
        values: As text.
        seconds: Longest wait for the answer.

    Raises:
        TimeoutError: no answer came in time. It may still come: close the session.
        psycopg.Error, OperationalError: the statement failed.
    """
    deadline = time.monotonic() + seconds
    session.send_query_params(statement, [*values])
    socket = select.poll()
    socket.register(session.socket, select.POLLIN)
    while session.flush() or session.is_busy():
        if not socket.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError(f"the database did not answer in {seconds:g} s")
        session.consume_input()
    value = None
    while (result := session.get_result()) is not None:
        if result.error_message:
            raise OperationalError(result.error_message.decode(errors="replace"))
        if result.ntuples:
            value = result.get_value(result.ntuples - 1, 0)
    return value


def cancel(connection: BaseDatabaseWrapper) -> None:
    """Have the server end the statement for whose answer nobody waits any more: it would keep its locks for as long as it takes."""
    untyped: Any = connection
    session = untyped.connection
    if connection.vendor != "postgresql" or session is None or session.info.transaction_status != _ACTIVE:
        return
    with suppress(untyped.Database.Error):  # the session is lost, and with it what it did
        if hasattr(session, "cancel_safe"):
            session.cancel_safe(timeout=_CANCEL_SECONDS)
        else:
            session.cancel()
