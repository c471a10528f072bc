"""A PostgreSQL server of one's own, which listens on an address of one's choice."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.processes import watchdog
from project.processes.process import Process, ProcessError, free_ports
from project.processes.servers import MissingServerError


@contextmanager
def cluster(address: str, *, network: str) -> Iterator[str]:
    """Yield the URL of a new database on a new server, which trusts a network.

    Raises:
        MissingServerError: PostgreSQL's programs are not installed here.
    """
    programs = _programs()
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="cluster_"))
    watchdog.remove(folder)
    if user is not None:
        try:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        except KeyError as error:
            raise MissingServerError(
                "PostgreSQL", "there is no user postgres to run a server of its own"
            ) from error
    data, (port,) = folder / "data", free_ports(1)
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"],
            user=user,
            check=True,
            capture_output=True,
            cwd=folder,
        )
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {network} trust\n")
        settings = {"listen_addresses": address, "port": port, "unix_socket_directories": "", "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        change_user = ("setpriv", f"--reuid={user}", "--clear-groups") if user else ()
        with Process(
            *(*change_user, str(programs / "postgres"), "-D", str(data), *options),
            environment=dict(os.environ),
            log=folder / "postgres.log",
            cwd=folder,
        ) as server:
            server.says("ready to accept connections")
            yield f"postgresql://postgres@{address}:{port}/postgres"
    except ProcessError as error:
        raise MissingServerError("PostgreSQL", str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = shutil.which("initdb")
    folders = (
        [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise MissingServerError(
        "PostgreSQL", "its programs are not installed here, so no server of its own can be started"
    )
