"""The shop as four services at work, seen in the admin of one: what the tests in a real browser share."""

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from migrations_guide.engine.shop import USER, Order, Shop
from tests import servers
from tests.acceptance import services
from tests.acceptance.admin import Admin
from tests.acceptance.services import Services
from tests.integration.support.proxy import Proxy

FLOWS = "/admin/microworkflows_journal/flow/"
MARKS = [
    pytest.mark.acceptance,
    pytest.mark.browser,
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.slow,
]


@dataclass(frozen=True, kw_only=True)
class Running:
    """The four services at work, and the site of the one that has the journal."""

    services: Services
    shop: Shop
    url: str
    broker: Proxy
    """All services' way to the broker."""
    databases: dict[str, Proxy]
    """The way of each service to its database."""

    def run_python(self, name: str, code: str) -> None:
        """Run Python in a shell of a service."""
        self.services.run(name, f"python manage.py shell --verbosity 0 --command {shlex.quote(code)}")

    @contextmanager
    def without_worker(self, name: str) -> Iterator[None]:
        """Let a service be without its worker for the block."""
        self.services.stop_worker(name)
        try:
            yield
        finally:
            self.services.start_worker(name)

    @contextmanager
    def without_relay(self, name: str) -> Iterator[None]:
        """Let a service be without its relay for the block; its worker works."""
        self.services.stop_worker(name)
        self.services.start_worker(name, relays=False)
        try:
            yield
        finally:
            self.services.stop_worker(name)
            self.services.start_worker(name)

    def place(self) -> Order:
        """Place an order, as a customer does."""
        return self.shop.place(pays="tok_visa", lines={"TEA-SENCHA-100": 1})


@contextmanager
def running() -> Iterator[Running]:
    """Yield four services with their workers; the journal is that of orders, whose parcels leave within seconds."""
    folder = servers.SCRATCH / "whole"
    folder.mkdir()
    with ExitStack() as stack:
        databases = stack.enter_context(services.databases())
        brokers = stack.enter_context(services.broker_users())
        to_broker = stack.enter_context(_proxy(next(iter(brokers.values())), 5672))
        to_databases = {name: stack.enter_context(_proxy(url, 5432)) for name, url in databases.items()}
        hasty = {"orders": {"DJANGO_SETTINGS_MODULE": "tests.acceptance.hasty.settings"}}
        four = Services(
            folder,
            databases={name: _through(to_databases[name], url) for name, url in databases.items()},
            brokers={name: _through(to_broker, url) for name, url in brokers.items()},
            more=hasty,
        )
        try:
            four.prepare()
            four.run("orders", f"python manage.py createsuperuser --noinput --username={USER} --email=")
            four.start_workers()
            url = four.start_web("orders")
            yield Running(
                services=four,
                shop=Shop({"orders": url}),
                url=url,
                broker=to_broker,
                databases=to_databases,
            )
        except AssertionError:
            print(four.said())  # noqa: T201  (pytest shows it with the failure)
            raise
        finally:
            four.end()


@contextmanager
def away(server: Proxy) -> Iterator[None]:
    """Let a server refuse every connection for the block, as one that does not run."""
    server.vanish()
    try:
        yield
    finally:
        server.restore()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process for the block where it is, as a debugger does, or a machine that has no memory left."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def open_journey(admin: Admin, term: str) -> None:
    """Find a flow by what somebody has in hand, such as the number of its order, and open its journey."""
    admin.open(f"{FLOWS}?q={term}")
    admin.reload_until("#content table", term)
    admin.follow("#content table th a")


def _proxy(url: str, port: int) -> Proxy:
    parts = urlsplit(url)
    return Proxy(parts.hostname or "127.0.0.1", parts.port or port)


def _through(proxy: Proxy, url: str) -> str:
    """Return an address that leads through a proxy."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}").geturl()
