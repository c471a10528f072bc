"""The walk on servers: one shop through all stages by the commands of the pages, and back at each, while orders are placed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_guide.engine import pages, stages
from project.processes.servers import database, drop_database, drop_if_killed
from tests import servers
from tests.guide import walking
from tests.guide.walking import Walk


@pytest.fixture
def database_url() -> Iterator[str]:
    """Yield the URL of an empty database; it, and those of single contexts beside it, are dropped at the end."""
    with database(servers.postgres_url(), f"{servers.RUN}_walk") as url:
        own = [f"{url}_{app}" for app in stages.stage(7).databases]
        for each in own:
            drop_if_killed(each)
        yield url
        for each in own:
            drop_database(each)


@pytest.mark.slow
@pytest.mark.acceptance
@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_shop_walks_to_its_last_stage_and_back_at_each_while_orders_are_placed(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    walk = Walk(
        tmp_path,
        environment={**walking.ENVIRONMENT, "DATABASE_URL": database_url, "BROKER_URL": broker_url},
        pause=0.6,
    )
    with walking.under_way(walk):
        for stage in range(1, 10):
            walk.forward(stage)
            walk.customers.wait_for_more()
            if pages.commands(stage, "Going back"):
                walk.back(stage)
                walk.customers.wait_for_more()
                walk.forward(stage)
                walk.customers.wait_for_more()
            walk.tidy(stage)
        walk.customers.wait_for_more()
