"""What limits a session with the database has, at either end."""

import json
import os
import socket

from django.db import connection

_CLIENTS = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
_SERVERS = (
    *("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout"),
    "client_connection_check_interval",
)


def of_this_session() -> str:
    """Return the limits of this session, as JSON."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in _SERVERS))
        servers = dict(zip(_SERVERS, cursor.fetchone(), strict=True))
    with socket.socket(fileno=os.dup(connection.connection.pgconn.socket)) as copy:
        clients = {
            name: copy.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in _CLIENTS
            if hasattr(socket, name)
        }
    return json.dumps({**clients, **servers})
