"""Fixtures of the walks on servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_guide.engine import stages
from project.processes.servers import database, drop_database, drop_if_killed
from tests import servers
from tests.guide import walking
from tests.guide.walking import Walk


@pytest.fixture
def walk(broker_url: str, tmp_path: Path) -> Iterator[Walk]:
    """Yield a walk on an empty database; it, and those of single contexts beside it, are dropped at the end."""
    with database(servers.postgres_url(), f"{servers.RUN}_walk") as url:
        own = [f"{url}_{app}" for app in stages.stage(7).databases]
        for each in own:
            drop_if_killed(each)
        yield Walk(
            tmp_path,
            environment={**walking.ENVIRONMENT, "DATABASE_URL": url, "BROKER_URL": broker_url},
        )
        for each in own:
            drop_database(each)
