"""Databases of a test's own, this process on one of them, and their whole content as SQL."""

import itertools
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
import psycopg
from django.db import connections
from django.db.utils import ConnectionHandler

from project.processes.servers import database
from tests import servers

_numbers = itertools.count()


def postgresql() -> AbstractContextManager[str]:
    """Yield the URL of an empty database on PostgreSQL; it is dropped at the end, and if the run is killed."""
    return database(servers.postgres_url(), f"{servers.RUN}_upgrade_{next(_numbers)}")


@contextmanager
def used_here(url: str) -> Iterator[None]:
    """Let this process work on a database."""
    before = connections["default"]
    connection = ConnectionHandler({"default": dj_database_url.parse(url)})["default"]
    connections["default"] = connection
    try:
        yield
    finally:
        connection.close()
        connections["default"] = before


def dump(url: str) -> str:
    """Return the SQL that makes this database; that of PostgreSQL for any version from 15 on."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(_file(url))) as connection:
            return "\n".join(connection.iterdump()) + "\n"
    command = ["pg_dump", "--no-owner", "--no-privileges", "--inserts", "--dbname", url]
    text = subprocess.check_output(command, text=True)
    # Comments, what only psql understands, and what PostgreSQL 15 does not know yet.
    kept = [
        line for line in text.splitlines() if not line.startswith(("--", "\\", "SET transaction_timeout"))
    ]
    return "\n".join(line for line, before in zip(kept, ["", *kept], strict=False) if line or before) + "\n"


def restore(url: str, sql: str) -> None:
    """Fill an empty database."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(_file(url))) as connection:
            connection.executescript(sql)
        return
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(sql.encode())


def _file(url: str) -> Path:
    return Path(urlsplit(url).path.replace("//", "/", 1))
