"""The walk: one shop through all stages by the commands of the pages, while orders are placed; and back at each."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_guide.engine import pages, stages
from project.processes.servers import database, drop_database, drop_if_killed
from tests import servers
from tests.guide import walking
from tests.guide.walking import Walk

ON_HAND = 5000
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {"DATABASE_URL", "BROKER_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE"}
}


def walk_through(walk: Walk, *, last: int, back: bool) -> None:
    """Take a shop to a stage; at each go back to the one before, if asked to, and forward again."""
    stock = walk.begin(on_hand=ON_HAND)
    with walk.customers.ordering():
        for stage in range(1, last + 1):
            walk.forward(stage)
            walk.customers.wait_for_more()
            if back and pages.commands(stage, "Going back"):
                walk.back(stage)
                walk.customers.wait_for_more()
                walk.forward(stage)
                walk.customers.wait_for_more()
            walk.tidy(stage)
        walk.customers.wait_for_more()

    assert walk.customers.refused == []
    walking.wait_until_books_add_up(walk, stock=stock)


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


@pytest.mark.acceptance
@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.timeout(900)
def test_shop_walks_to_its_last_stage_and_back_at_each_while_orders_are_placed(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    walk = Walk(
        tmp_path,
        environment={**ENVIRONMENT, "DATABASE_URL": database_url, "BROKER_URL": broker_url},
        pause=0.6,
    )
    try:
        walk_through(walk, last=9, back=True)
    finally:
        walk.end()


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_shop_walks_until_everybody_is_live_without_a_server(tmp_path: Path) -> None:
    walk = Walk(tmp_path, environment=ENVIRONMENT, pause=0.5)
    try:
        walk_through(walk, last=6, back=False)
    finally:
        walk.end()
