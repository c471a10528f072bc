"""The small monolith, on the database that the run uses: a file, or a schema of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.integration.bridging.shop import Shop

SCHEMA = "loosened"


@pytest.fixture
def databases(transactional_db: None, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Yield the settings of a database with no tables."""
    if connection.vendor == "sqlite":
        yield {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "shop.sqlite3")}}
        return
    used = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    settings = {name: connection.settings_dict[name] for name in used}
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    yield {"default": {**settings, "OPTIONS": {"options": f"-c search_path={SCHEMA}"}}}
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


@pytest.fixture
def monolith(databases: dict[str, Any], tmp_path: Path) -> Shop:
    """The small monolith, without tables yet."""
    return Shop(tmp_path, databases)
