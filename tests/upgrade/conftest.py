"""Fixtures of the upgrades: frozen states, restored where today's code is to go on with them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

pytest.register_assert_rewrite("tests.upgrade.books")

from tests.upgrade import databases  # noqa: E402
from tests.upgrade.frozen import Frozen  # noqa: E402
from tests.upgrade.restored import Restored  # noqa: E402
from tests.upgrade.running import Shop  # noqa: E402

Restore = Callable[..., Restored]


@pytest.fixture
def restore_files(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Restore]:
    """Yield what restores a state into SQLite and the embedded broker, given version, name and the settings of processes."""
    with django_db_blocker.unblock(), ExitStack() as at_the_end:

        def restore(version: str, state: str, **settings: Any) -> Restored:
            database, broker = f"sqlite:///{tmp_path / 'db.sqlite3'}", f"embedded://{tmp_path / 'broker'}"
            shop = at_the_end.enter_context(Shop(tmp_path, database=database, broker=broker, **settings))
            at_the_end.enter_context(databases.used_here(database))
            return Restored(Frozen(version, state), shop)

        yield restore


@pytest.fixture
def restore_servers(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker, rabbitmq_vhost: str
) -> Iterator[Restore]:
    """Yield what restores a state into PostgreSQL and RabbitMQ, given version, name and the settings of processes."""
    with django_db_blocker.unblock(), ExitStack() as at_the_end:

        def restore(version: str, state: str, **settings: Any) -> Restored:
            frozen = Frozen(version, state)
            database = at_the_end.enter_context(databases.postgresql())
            at_the_end.callback(frozen.clear, rabbitmq_vhost)
            shop = at_the_end.enter_context(
                Shop(tmp_path, database=database, broker=rabbitmq_vhost, **settings)
            )
            at_the_end.enter_context(databases.used_here(database))
            return Restored(frozen, shop)

        yield restore
