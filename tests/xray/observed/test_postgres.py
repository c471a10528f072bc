"""What only PostgreSQL shows: waits for locks, and statements that go past Django."""

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from tests import servers
from tests.xray.observed.workshop import RECORDER, Workshop, unit, written

pytestmark = pytest.mark.postgres


@pytest.fixture
def database() -> Iterator[str]:
    """Yield the settings of a database that the workshop's tests may make."""
    server = servers.postgres_url()
    login = conninfo_to_dict(server)
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    name = f"test_{servers.RUN}_workshop"
    yield json.dumps(
        {names[each]: value for each, value in login.items() if each in names} | {"TEST": {"NAME": name}}
    )
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def test_wait_for_a_lock_is_measured_and_raw_statements_are_seen(workshop: Workshop, database: str) -> None:
    recorded = ("-m", "pytest", "-p", "no:microworkflows", "-p", "no:xdist", *RECORDER, "locks")

    ended = workshop.run(*recorded, WORKSHOP_POSTGRES=database)
    observed = workshop.recording()

    assert ended.returncode == 0, ended.stdout
    assert unit(observed, "atomic", "sales.services.reserve").lock_wait_seconds > 0.2
    raw = unit(observed, "statement", "sales.services.write_below")
    assert written(raw.accesses) == {("insert", "sales_note", "sales.services.write_below")}
    assert observed.gaps == ()
    assert "secret" not in (workshop.folder / "xray-observed.json").read_text()
