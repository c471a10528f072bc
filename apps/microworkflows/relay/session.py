"""The relay's database session: its settings, and the limits after which either side takes a silent other for gone.

The worker's sessions have the same limits (``worker/sessions.py``).

Without them, TCP waits a quarter of an hour for a machine that fell off the network; PostgreSQL keeps its session, and
with it the lead of its context, as long.
"""

import os
import socket
from contextlib import suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import poolers
from microworkflows.relay import leadership

_CONNECT_SECONDS = 5
CLIENTS_LIMITS = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Limits by libpq's names: in seconds, but the last in milliseconds."""
SERVERS_LIMITS = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""The same by the server's names."""
_READ_COMMITTED = 2
"""The level's number in psycopg, which need not be installed."""
_IN_TRANSACTION_MILLISECONDS = 5_000
"""Longest pause inside a transaction, which may hold rows that workers want: the relay makes none, unless it is frozen."""


def prepare(connection: BaseDatabaseWrapper, *, name: str = "") -> None:
    """Give this thread's connection the client's limits and a name, by default one that other relays see; call it first.

    The project's own ``OPTIONS`` overrule the limits; they stay as they are for all other connections. A pool of psycopg's is
    left out: it is the web server's, and too small for the relays of many contexts. Transactions are of the isolation level that
    the kit's own need, whatever the project's are. Nothing is prepared: a plan that was made while the outbox was empty would
    claim from a full one by a scan.
    """
    if connection.vendor != "postgresql":
        return
    given = poolers.without_pool(connection.settings_dict["OPTIONS"])
    options = {"connect_timeout": _CONNECT_SECONDS, **CLIENTS_LIMITS, **given}
    options["application_name"] = name or f"{leadership.ROLE}{leadership.own_name()}"
    options["isolation_level"] = _READ_COMMITTED
    options["prepare_threshold"] = None
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}


def set_up(connection: BaseDatabaseWrapper) -> None:
    """Set the server's side of the limits, and commit without waiting until marks are on disk.

    If a crash of the server loses a mark, the event is sent once more, as after any crash of the relay. In return,
    transactions that record events wait less for the disk.
    """
    if connection.vendor != "postgresql":
        return
    settings = {
        "synchronous_commit": "off",
        "default_transaction_isolation": "'read committed'",
        "idle_in_transaction_session_timeout": _IN_TRANSACTION_MILLISECONDS,
        **SERVERS_LIMITS,
    }
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET {name} TO {value}" for name, value in settings.items()))


def abandon(connection: BaseDatabaseWrapper) -> None:
    """End the socket of a connection on which another thread waits for an answer: it gets an error.

    TCP's limits do not help if something between here and the server, such as a load balancer, takes every byte.
    """
    untyped: Any = connection
    if connection.vendor != "postgresql" or untyped.connection is None:
        return
    with (
        suppress(OSError, untyped.Database.Error),  # it has ended meanwhile
        socket.socket(fileno=os.dup(untyped.connection.pgconn.socket)) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)
