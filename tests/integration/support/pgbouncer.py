"""PgBouncer in front of the tests' PostgreSQL."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from project.processes import own_server
from project.processes.process import free_ports
from project.processes.servers import MissingServerError

_CONFIGURATION = """
[databases]
* = {target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
{settings}
"""


@contextmanager
def pgbouncer(database: str, *, mode: str = "transaction", **settings: object) -> Iterator[str]:
    """Yield the URL of a database by way of a pooler of one's own; it is for all users the one of the given URL.

    Raises:
        MissingServerError: PgBouncer is not installed here.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise MissingServerError("PgBouncer", "it is not installed here")
    server, (port,) = urlsplit(database), free_ports(1)
    login = {"user": unquote(server.username or "postgres"), "password": unquote(server.password or "")}
    target = {"host": server.hostname, "port": server.port or 5432, **{k: v for k, v in login.items() if v}}
    with own_server.own_folder("PgBouncer") as folder:
        file = folder / "pgbouncer.ini"
        file.write_text(
            _CONFIGURATION.format(
                target=" ".join(f"{name}={value}" for name, value in target.items()),
                port=port,
                mode=mode,
                settings="\n".join(f"{name} = {value}" for name, value in settings.items()),
            )
        )
        own_server.give_to_user(file, server="PgBouncer")
        with own_server.running("PgBouncer", program, str(file), folder=folder, says="process up"):
            yield f"postgresql://postgres@127.0.0.1:{port}{server.path}"
