"""A server of a run's own, which may not run as root: its folder, its user and its process."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.processes import watchdog
from project.processes.process import Process, ProcessError
from project.processes.servers import MissingServerError

USER = "postgres" if os.geteuid() == 0 else None
"""The user it runs as, since neither PostgreSQL nor PgBouncer runs as root; None for this process's own."""


@contextmanager
def own_folder(server: str) -> Iterator[Path]:
    """Yield a folder that belongs to the server's user, and is removed at the end, whatever ends.

    Raises:
        MissingServerError: there is no such user here.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{server.lower()}_"))
    watchdog.remove(folder)
    try:
        give_to_user(folder, server=server)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def give_to_user(path: Path, *, server: str) -> None:
    """Make the server's user the owner of a file or a folder."""
    if USER is None:
        return
    try:
        os.chown(path, pwd.getpwnam(USER).pw_uid, -1)
    except KeyError as error:
        raise MissingServerError(server, f"there is no user {USER} to run a server of its own") from error


@contextmanager
def running(server: str, *command: str, folder: Path, says: str) -> Iterator[None]:
    """Run a server as its user while the block does; begin it once the server has said that it is ready.

    Raises:
        MissingServerError: it does not run here.
    """
    change_user = ("setpriv", f"--reuid={USER}", "--clear-groups") if USER else ()
    with Process(
        *change_user,
        *command,
        environment=dict(os.environ),
        log=folder / f"{server.lower()}.log",
        cwd=folder,
    ) as process:
        try:
            process.says(says)
        except ProcessError as error:
            raise MissingServerError(server, str(error)) from error
        yield
