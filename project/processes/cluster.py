"""A PostgreSQL server of one's own, which listens on an address of one's choice."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project.processes import own_server
from project.processes.process import free_ports
from project.processes.servers import MissingServerError


@contextmanager
def cluster(
    address: str = "127.0.0.1", *, network: str = "127.0.0.1/32", durable: bool = False
) -> Iterator[str]:
    """Yield the URL of a new database on a new server, which trusts a network; what it commits is on disk if it is durable.

    Raises:
        MissingServerError: PostgreSQL's programs are not installed here.
    """
    programs = _programs()
    (port,) = free_ports(1)
    with own_server.own_folder("PostgreSQL") as folder:
        data = folder / "data"
        subprocess.run(  # noqa: S603  (own command)
            [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"],
            user=own_server.USER,
            check=True,
            capture_output=True,
            cwd=folder,
        )
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {network} trust\n")
        settings = {
            "listen_addresses": address,
            "port": port,
            "unix_socket_directories": "",
            "fsync": "on" if durable else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(data), *options]
        with own_server.running("PostgreSQL", *command, folder=folder, says="ready to accept connections"):
            yield f"postgresql://postgres@{address}:{port}/postgres"


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
