"""Fixtures of the foreign projects: a copy of one, its environment, its databases, its Redis."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project.processes.process import Process, free_ports
from tests import servers
from tests.conftest import go_without
from tests.projects import environment
from tests.projects.foreign import ForeignProject

collect_ignore = ["bookshop", "kiosk", "parcels"]  # their tests are run in their own environment


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of the programs that the projects run on."""
    return environment.make()


@pytest.fixture
def new_database() -> Iterator[Callable[[str], str]]:
    """Yield what makes an empty database, and returns its URL."""
    server = servers.postgres_url()
    made: list[str] = []

    def make(name: str) -> str:
        made.append(f"{servers.RUN}_{name}")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(made[-1])))
        return f"{server.rpartition('/')[0]}/{made[-1]}"

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for name in made:
            for each in (name, f"test_{name}"):
                connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(each)))


@pytest.fixture
def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an empty Redis."""
    program = shutil.which("redis-server")
    if program is None:
        go_without(servers.MissingServerError("Redis", "redis-server is not on the PATH"), request.config)
    (port,) = free_ports(1)
    with Process(
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
        environment={},
        log=tmp_path / "redis.log",
        cwd=tmp_path,
    ) as server:
        server.says("Ready to accept connections")
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def foreign(programs: Path, tmp_path: Path) -> Iterator[Callable[..., ForeignProject]]:
    """Yield what copies a project as it is before it knows the kit."""
    opened: list[ForeignProject] = []

    def open_project(name: str, *, source: str = ".", **variables: str) -> ForeignProject:
        opened.append(ForeignProject(name, tmp_path / name, programs, source=source, variables=variables))
        return opened[-1]

    yield open_project
    for project in opened:
        project.end()
