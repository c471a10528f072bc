"""PgBouncer in front of the tests' PostgreSQL."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from project.processes import watchdog
from project.processes.process import Process, ProcessError, free_ports
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
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer_"))
    watchdog.remove(folder)
    server, (port,) = urlsplit(database), free_ports(1)
    login = {"user": unquote(server.username or "postgres"), "password": unquote(server.password or "")}
    target = {"host": server.hostname, "port": server.port or 5432, **{k: v for k, v in login.items() if v}}
    file = folder / "pgbouncer.ini"
    file.write_text(
        _CONFIGURATION.format(
            target=" ".join(f"{name}={value}" for name, value in target.items()),
            port=port,
            mode=mode,
            settings="\n".join(f"{name} = {value}" for name, value in settings.items()),
        )
    )
    if user is not None:
        for path in (folder, file):
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)
    change_user = ("setpriv", f"--reuid={user}", "--clear-groups") if user else ()
    try:
        with Process(
            *(*change_user, program, str(file)),
            environment=dict(os.environ),
            log=folder / "pgbouncer.log",
            cwd=folder,
        ) as process:
            process.says("process up")
            yield f"postgresql://postgres@127.0.0.1:{port}{server.path}"
    except ProcessError as error:
        raise MissingServerError("PgBouncer", str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
