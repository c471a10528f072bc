"""The PostgreSQL server that is there, and databases of one's own on it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL, Identifier

from project.processes import watchdog

_DEFAULT_URL = "postgresql://postgres@127.0.0.1:5432/test"


class MissingServerError(Exception):
    """A server that is needed is not there."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"{server} is missing ({reason})")
        self.server = server


def postgres_url() -> str:
    """Return the URL of the PostgreSQL server: of ``TEST_DATABASE_URL``, ``DATABASE_URL``, or of this machine.

    Raises:
        MissingServerError: there is none.
    """
    url = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL") or _DEFAULT_URL
    if not url.startswith("postgres"):
        raise MissingServerError("PostgreSQL", f"this run is to use {url}")
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        raise MissingServerError("PostgreSQL", str(error).strip().splitlines()[0]) from error
    return url


def database_url(server: str, name: str) -> str:
    """Return the URL of another database of a server, from the URL of one."""
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def make_database(url: str, *, template: str = "template1") -> None:
    """Make a database, unless it is there already: an empty one, or a copy of another on its server."""
    name = urlsplit(url).path.removeprefix("/")
    with _administrator(url) as server:
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            server.execute(
                SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
            )


def drop_database(url: str) -> None:
    """Drop a database, if it is there, whoever is connected to it."""
    name = urlsplit(url).path.removeprefix("/")
    with _administrator(url) as server:
        server.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def drop_if_killed(url: str) -> None:
    """Drop a database if this run is killed."""
    watchdog.run(sys.executable, "-m", __name__, url)


@contextmanager
def database(server: str, name: str, *, template: str = "template1") -> Iterator[str]:
    """Yield the URL of a new database on a server; it is dropped at the end, and if the run is killed.

    Args:
        server: URL of the server, or of another database of it.
        name: Name of the new one.
        template: Name of the database of which it is a copy.
    """
    url = database_url(server, name)
    drop_if_killed(url)
    make_database(url, template=template)
    try:
        yield url
    finally:
        drop_database(url)


def _administrator(url: str) -> psycopg.Connection:
    return psycopg.connect(database_url(url, "postgres"), autocommit=True)


if __name__ == "__main__":
    drop_database(sys.argv[1])
