"""The room in which the model runs."""

import logging
from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django import Settings

from microworkflows import failures, purging, registry, times
from tests.model.machine import Protocol
from tests.model.world import EFFECTS, Clock, stopping


@pytest.fixture
def room(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> Iterator[type[Protocol]]:
    """Yield the machine, in a database with a table for effects, with a clock of its own and nothing else declared."""
    clock = Clock()
    monkeypatch.setattr(times, "now", clock)
    monkeypatch.setattr(purging, "_REST", 0)
    monkeypatch.setattr(failures, "keep", stopping(failures.keep))
    monkeypatch.setattr(Protocol, "clock", clock, raising=False)
    settings.MICROWORKFLOWS = {"MAX_ATTEMPTS": 2}
    logging.disable(logging.CRITICAL)
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {EFFECTS} (label text, event_id uuid)")
        # Nothing here is about a crash of PostgreSQL itself.
        cursor.execute(
            f"ALTER DATABASE {database} SET synchronous_commit = off; SET synchronous_commit = off"
        )
    with registry.isolated():
        yield Protocol
    logging.disable(logging.NOTSET)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} RESET synchronous_commit; RESET synchronous_commit")
        cursor.execute(f"DROP TABLE {EFFECTS}")
