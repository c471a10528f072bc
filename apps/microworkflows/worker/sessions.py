"""The sessions with the database in which the kit's tasks work, with the relay's limits as far as nobody has set others.

The session of a machine that vanished would keep its transaction for two hours, and with it each message that the machine
had in hand: wherever it is redelivered, it waits. The project's own tasks have sessions of their own, which stay as they are.
"""

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from django.db import Error, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from microworkflows import poolers
from microworkflows.models import InboxEvent
from microworkflows.relay import session
from microworkflows.worker import connection_reuse

logger = logging.getLogger(__name__)

_OPTIONS = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
"""The client's limits as options of the socket; not every system has them all."""
_CHECKS = {"client_connection_check_interval": 5_000}
"""Milliseconds between two looks of the server, while it executes a statement, whether the client is still there: else the statement
of a process that was killed keeps its locks, and with them the message, for as long as it takes. Not each system's server can."""
_KEPT_SECONDS = 3600
"""Time for which a session outside the pool is kept, as psycopg's pool keeps one; Django takes no such time beside a pool."""


_own = threading.local()


@contextmanager
def outside_the_pool() -> Iterator[None]:
    """Give the kit's tasks a session of their own inside the block, which they keep, where Django has a pool of psycopg's.

    A process of a worker needs one session, and a pool opens several. It would also give what belongs to the session, such as the
    limits, to the project's own tasks.
    """
    alias = router.db_for_write(InboxEvent)
    usual = connections[alias]
    if not usual.settings_dict["OPTIONS"].get("pool"):
        yield
        return
    own = getattr(_own, "connection", None)
    if own is None:
        _own.connection = own = usual.copy()
        options = poolers.without_pool(own.settings_dict["OPTIONS"])
        own.settings_dict.update(OPTIONS=options, CONN_MAX_AGE=_KEPT_SECONDS, CONN_HEALTH_CHECKS=True)
    connections[alias] = own
    try:
        yield
    finally:
        connections[alias] = usual


@receiver(connection_created)
def limit(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Set the limits of a session that one of the kit's tasks has opened, at either end.

    What the project's ``OPTIONS``, the server's configuration or the user's settings say overrules them. A session by way of a
    pooler has none at the server's end, for others get it, too.
    """
    if connection.vendor == "postgresql" and connection_reuse.REUSE:
        _limit_client(connection)
        _limit_server(connection)


def _limit_client(connection: Any) -> None:
    opened = connection.connection
    given = opened.info.get_parameters()
    with suppress(OSError), socket.socket(fileno=os.dup(opened.pgconn.socket)) as copy:
        if copy.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        for name, option in _OPTIONS.items():
            if name not in given and hasattr(socket, option):
                copy.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), session.CLIENTS_LIMITS[name])


def _limit_server(connection: BaseDatabaseWrapper) -> None:
    try:
        _set(connection, session.SERVERS_LIMITS)
    except Error as error:
        logger.warning("the database sets no TCP limits for this session: %s", error)
    try:
        _set(connection, _CHECKS)
    except Error as error:
        logger.warning(
            "the database does not look whether the client of a statement is still there: %s", error
        )


def _set(connection: BaseDatabaseWrapper, limits: Mapping[str, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(name, limits ->> name, false) FROM pg_settings, CAST(%s AS jsonb) AS limits "
            "WHERE name = ANY(%s) AND source = 'default' AND pg_backend_pid() = %s",
            [json.dumps(limits), list(limits), poolers.told(connection)],
        )
