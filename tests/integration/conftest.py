"""Fixtures of the integration tests: the probe's contexts on real servers, with real processes."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from django.db import connection
from kombu import Connection

from microworkflows.relay.loop import Relay
from project.processes.cluster import cluster
from tests import servers
from tests.conftest import go_without, vhost
from tests.integration.support import probing
from tests.integration.support.brokers import Broker
from tests.integration.support.link import Link
from tests.integration.support.node import Node
from tests.integration.support.processes import Launcher, Process, pause
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

QUEUES = ["probe", "probe.dead", "echo", "echo.dead"]
OWNERS = ["probe.owner", "echo.owner"]

StartRelay = Callable[..., "RelayThread"]


# Database


@pytest.fixture
def link() -> Iterator[Link]:
    """Yield a link to another machine."""
    try:
        with Link() as made:
            yield made
    except servers.MissingServerError as error:
        pytest.skip(str(error))  # not every CI lets its user make one


@pytest.fixture
def server(link: Link, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a database on this end of the link."""
    try:
        with cluster(link.here, network=f"{link.here}/30") as url:
            yield url
    except servers.MissingServerError as error:
        go_without(error, request.config)


@pytest.fixture
def database(transactional_db: None) -> Iterator[str]:
    """Yield the URL of the run's database, in which the kit's and the probe's tables are empty."""
    probing.empty_tables()
    yield _database_url()
    probing.empty_tables()


def _database_url() -> str:
    database = connection.settings_dict
    login = quote(database["USER"], safe="")
    if database["PASSWORD"]:
        login += ":" + quote(database["PASSWORD"], safe="")
    return f"postgresql://{login}@{database['HOST']}:{database['PORT'] or 5432}/{database['NAME']}"


@pytest.fixture
def database_proxy(database: str) -> Iterator[Proxy]:
    """Yield a proxy in front of PostgreSQL."""
    server = urlsplit(database)
    with Proxy(server.hostname or "127.0.0.1", server.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def database_through_proxy(database: str, database_proxy: Proxy) -> str:
    """Return the URL of the run's database by way of the proxy."""
    return _through(database_proxy, database)


@pytest.fixture
def heard(database: str) -> Iterator[Callable[[], list[str]]]:
    """Yield what tells which notifications came in since it was last asked."""
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute('LISTEN "microworkflows_probe"')
        yield lambda: [notification.channel for notification in listener.notifies(timeout=0.3)]


# Broker


@pytest.fixture(scope="session")
def probe_vhost(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the broker URL of a virtual host that the integration tests share."""
    yield from vhost(request)


@pytest.fixture
def broker(probe_vhost: str, probe: None) -> Iterator[Broker]:
    """Yield an empty virtual host in which the probe's queues are declared."""
    found = Broker(probe_vhost)
    _delete_queues(found)
    found.declare()
    yield found
    _delete_queues(found)


def _delete_queues(broker: Broker) -> None:
    with broker.channel() as channel:
        for queue in QUEUES:
            channel.queue_delete(queue)
        for exchange in ("microworkflows", *OWNERS):
            channel.exchange_delete(exchange)


@pytest.fixture
def broker_proxy(broker: Broker) -> Iterator[Proxy]:
    """Yield a proxy in front of RabbitMQ."""
    server = urlsplit(broker.url)
    with Proxy(server.hostname or "127.0.0.1", server.port or 5672) as proxy:
        yield proxy


@pytest.fixture
def broker_through_proxy(broker: Broker, broker_proxy: Proxy) -> str:
    """Return the broker URL by way of the proxy."""
    return _through(broker_proxy, broker.url)


def _through(proxy: Proxy, url: str) -> str:
    server = urlsplit(url)
    login = server.netloc.rpartition("@")[0]
    return server._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()


@pytest.fixture(scope="session")
def running_node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Yield a RabbitMQ node that nobody else uses."""
    try:
        node = Node(tmp_path_factory.mktemp("node"))
    except servers.MissingServerError as error:
        go_without(error, request.config)
    try:
        node.start()
        with probing.declared():
            Broker(node.url).declare()
        pause(2)  # RabbitMQ keeps a new quorum queue in memory for a moment: not even a restart knows it yet
        yield node
    except servers.MissingServerError as error:
        go_without(error, request.config)
    finally:
        node.kill()


@pytest.fixture
def node(running_node: Node, probe: None) -> Node:
    """Return the node of the tests' own, with the probe's queues, which are empty."""
    with Broker(running_node.url).channel() as channel:
        for queue in QUEUES:
            channel.queue_purge(queue)
    return running_node


# Processes and threads


@pytest.fixture
def probe() -> Iterator[None]:
    """Make the test process know the probe's events, so that it can record them and relay."""
    with probing.declared():
        yield


@pytest.fixture
def launch(database: str, broker: Broker, tmp_path: Path) -> Iterator[Launcher]:
    """Yield what starts workers, relays and commands; all are ended after the test."""
    launcher = Launcher(tmp_path, database=database, broker=broker.url)
    yield launcher
    launcher.end()


@pytest.fixture(scope="module")
def shared_launch(
    django_db_setup: None, probe_vhost: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launcher]:
    """Yield what starts the processes that all tests of a module share; the queues are new, and empty."""
    with probing.declared():
        broker = Broker(probe_vhost)
        _delete_queues(broker)
        broker.declare()
        launcher = Launcher(tmp_path_factory.mktemp("shared"), database=_database_url(), broker=probe_vhost)
        yield launcher
        launcher.stop()
        launcher.end()
        _delete_queues(broker)


@pytest.fixture
def shared_broker(shared_launch: Launcher, probe_vhost: str, probe: None) -> Broker:
    """Return the broker of those processes."""
    return Broker(probe_vhost)


@pytest.fixture
def worker(database: str, running: Process, shared_broker: Broker) -> Iterator[Process]:
    """Yield the worker that a module's ``running`` returns; it outlives each test, and works after it."""
    assert running.status is None, running.output[-5000:]
    yield running
    assert running.status is None, running.output[-5000:]
    (meta,) = probing.ask()
    eventually(lambda: str(meta.id) in probing.effects(), what="an event handled by a worker that lives on")


class RelayThread:
    """A relay in this process."""

    def __init__(self, context: str, url: str) -> None:
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self.tries = 0
        self._url = url
        self._relay = Relay(context, broker=self._broker, stop=self._stop)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _broker(self) -> Connection:
        self.tries += 1
        return Connection(self._url, connect_timeout=1)

    def _run(self) -> None:
        try:
            self._relay.run()
        except BaseException as error:
            self._error = error

    @property
    def refusal(self) -> str:
        """Return the reason for which the relay has ended by itself."""
        return self._relay.refusal

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        self._stop.set()

    def stop(self) -> None:
        self._stop.set()
        eventually(lambda: not self._thread.is_alive(), what="the end of the relay")
        if self._error is not None:
            raise self._error


@pytest.fixture
def relay(database: str, probe: None) -> Iterator[StartRelay]:
    """Yield what starts a relay in a thread of this process: ``relay(broker_url)``."""
    started: list[RelayThread] = []

    def start(url: str, context: str = "probe", **_: Any) -> RelayThread:
        started.append(RelayThread(context, url))
        return started[-1]

    yield start
    for thread in started:
        thread.ask_to_stop()
    for thread in started:
        thread.stop()
