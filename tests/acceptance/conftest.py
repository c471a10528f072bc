"""Fixtures of the acceptance tests: servers for a demo of its own, and one open shop that tests share."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from selenium.webdriver import Chrome

from migrations_guide.engine.shop import PASSWORD, USER
from tests import servers
from tests.acceptance import whole
from tests.acceptance.admin import Admin
from tests.acceptance.running import Demo


@pytest.fixture
def server_urls(broker_url: str) -> Iterator[dict[str, str]]:
    """Yield DATABASE_URL and BROKER_URL of an empty database and an empty virtual host."""
    server = servers.postgres_url()
    name = f"{servers.RUN}_demo"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    yield {"DATABASE_URL": urlsplit(server)._replace(path=f"/{name}").geturl(), "BROKER_URL": broker_url}
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture(scope="session")
def open_shop() -> Iterator[Demo]:
    """Yield a demo that serves the admin, on the embedded default."""
    with Demo(servers.SCRATCH / "open_shop") as demo:
        demo.wait_for("Ctrl-C ends everything", seconds=120)
        yield demo


@pytest.fixture(scope="module")
def four() -> Iterator[whole.Running]:
    """Yield four services at work."""
    with whole.running() as running:
        yield running


@pytest.fixture
def admin(browser: Chrome, four: whole.Running) -> Admin:
    """Return the admin of orders, the service that has the journal, logged in."""
    page = Admin(browser, four.url)
    page.log_in(USER, PASSWORD)
    return page
