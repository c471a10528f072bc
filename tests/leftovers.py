"""Removes what a killed run left: its databases, its virtual hosts and users, and last its folder.

Living runs, and runs of other machines on the same servers, are left alone.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from tests import runs, servers


def remove() -> set[str]:
    """Remove the leftovers of the dead runs that left a folder or a database; return the names of these runs."""
    folders = _of_the_dead(folder.name for folder in Path(tempfile.gettempdir()).glob(f"{runs.PREFIX}_*"))
    databases: dict[str, set[str]] = {}
    try:
        url = servers.postgres_url()
    except servers.MissingServerError:
        url = ""
    else:
        databases = _drop_databases(url)
    dead = {*folders, *databases}
    if dead:
        _clear_broker()
    for names in folders.values():
        for name in names:
            shutil.rmtree(Path(tempfile.gettempdir()) / name, ignore_errors=True)
    return dead


def _of_the_dead(names: Iterable[str]) -> dict[str, set[str]]:
    """Return, by run, those names that dead runs gave."""
    found: dict[str, set[str]] = {}
    for name in names:
        if run := runs.dead(name):
            found.setdefault(run, set()).add(name)
    return found


def _drop_databases(url: str) -> dict[str, set[str]]:
    with psycopg.connect(url, autocommit=True) as server:
        own = "SELECT datname FROM pg_database WHERE pg_has_role(datdba, 'USAGE')"
        left = _of_the_dead(name for (name,) in server.execute(own).fetchall())
        for name in {name for of_run in left.values() for name in of_run}:
            server.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
    return left


def _clear_broker() -> None:
    try:
        broker = servers.rabbitmq()
    except servers.MissingServerError:
        return
    for what in ("vhosts", "users"):
        for names in _of_the_dead(broker.names(what)).values():
            for name in names:
                _delete(broker, what, name)


def _delete(broker: servers.RabbitMQ, what: str, name: str) -> None:
    try:
        broker.delete(what, name)
    except (OSError, subprocess.SubprocessError):
        if name in broker.names(what):  # else another run was quicker
            raise


if __name__ == "__main__":
    remove()
