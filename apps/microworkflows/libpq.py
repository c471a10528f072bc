"""Statements in libpq itself, which lets the answer of a server that fell silent be waited for in bounds."""

import select
import time
from collections.abc import Sequence
from typing import Any

from django.db import OperationalError


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
