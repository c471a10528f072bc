"""Limits of the sessions with the database in which the kit's tasks work: the relay's, as far as nobody has set others.

The session of a machine that vanished would keep its transaction for two hours, and with it each message that the machine
had in hand: wherever it is redelivered, it waits. The project's own tasks have sessions of their own, which stay as they are.
"""

import json
import logging
import os
import socket
from contextlib import suppress
from typing import Any

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

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


@receiver(connection_created)
def limit(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Set the limits of a session that one of the kit's tasks has opened, at either end.

    What the project's ``OPTIONS``, the server's configuration or the user's settings say overrules them.
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
    limits = session.SERVERS_LIMITS
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config(name, limits ->> name, false) FROM pg_settings, CAST(%s AS jsonb) AS limits "
                "WHERE name = ANY(%s) AND source = 'default'",
                [json.dumps(limits), list(limits)],
            )
    except Error as error:
        logger.warning("the database sets no TCP limits for this session: %s", error)
