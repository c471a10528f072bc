"""Fixtures of the moves: a source in which the shop has worked for a while, and an empty target."""

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.db import connections
from pytest_django import DjangoDbBlocker, Settings

from project.processes.servers import database
from tests import servers
from tests.earlier_shop import earlier_shop
from tests.integration.cutover import shop
from tests.integration.support.processes import Launcher

_numbers = itertools.count()

On = Callable[[str], AbstractContextManager[None]]
Kill = Callable[..., None]


@pytest.fixture(autouse=True)
def monolith(settings: Settings) -> Iterator[None]:
    """Make this the process of a monolith that hands all contexts over."""
    settings.MICROWORKFLOWS = {"CUTOVER": shop.CONTEXTS}
    with earlier_shop():
        yield


@pytest.fixture(scope="session")
def filled(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Yield the URL of a database to make sources from."""
    with django_db_blocker.unblock(), _database() as url:
        with _on(url), earlier_shop():
            call_command("migrate", verbosity=0)
            shop.fill()
        yield url


@pytest.fixture
def source(filled: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Yield the URL of the database that this process runs on."""
    with django_db_blocker.unblock(), _database(template=filled) as url, _on(url):
        yield url


@pytest.fixture(scope="session")
def migrated(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Yield the URL of a database to make targets from whose tables are there."""
    with django_db_blocker.unblock(), _database() as url:
        with _on(url):
            call_command("migrate", verbosity=0)
        yield url


@pytest.fixture
def empty(source: str) -> Iterator[str]:
    """Yield the URL of an empty database."""
    with _database() as url:
        yield url


@pytest.fixture
def prepared(source: str, migrated: str) -> Iterator[str]:
    """Yield the URL of a database with tables and without rows, as a move finds it that was given up before."""
    with _database(template=migrated) as url:
        yield url


@pytest.fixture
def target(empty: str) -> str:
    """Return the URL of the database that a context moves to."""
    return empty


@pytest.fixture
def on(source: str) -> On:
    """Return what makes this process run on another database in a block, given its URL."""
    return _on


def _database(*, template: str = "/template1") -> AbstractContextManager[str]:
    name = f"{servers.RUN}_split_{next(_numbers)}"
    return database(servers.postgres_url(), name, template=urlsplit(template).path.removeprefix("/"))


@contextmanager
def _on(url: str) -> Iterator[None]:
    before, parts = connections["default"], urlsplit(url)
    connection = before.copy()
    connection.settings_dict.update(
        NAME=parts.path.removeprefix("/"),
        USER=parts.username or "",
        PASSWORD=parts.password or "",
        HOST=parts.hostname or "",
        PORT=str(parts.port or ""),
    )
    connections["default"] = connection
    try:
        yield
    finally:
        connection.close()
        connections["default"] = before


@pytest.fixture
def launcher(source: str, broker_url: str, tmp_path: Path) -> Iterator[Launcher]:
    """Yield what starts workers, relays and commands on the source; all are ended after the test."""
    launcher = Launcher(tmp_path, database=source, broker=broker_url)
    yield launcher
    launcher.end()


@pytest.fixture
def kill(source: str, tmp_path: Path) -> Iterator[Kill]:
    """Yield what starts the command and lets it be killed: ``kill("copy", database=source, to=target, seconds=0.1)``."""
    launcher = Launcher(tmp_path, database=source, broker=f"embedded://{tmp_path / 'broker'}")

    def killed(step: str, *, database: str, to: str, seconds: float = 0.05) -> None:
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.integration.cutover.killed_settings",
            "DATABASE_URL": database,
            "KILLED_IN": step,
            "KILLED_AFTER": str(seconds),
        }
        command = ("split_database", "payments", "--to", to, "--unproven", shop.UNPROVEN)
        process = launcher.manage(*command, environment=environment)
        assert process.wait(timeout=600) == -signal.SIGKILL, process.output
        assert f"\n{step}: " in process.output

    yield killed
    launcher.end()
