"""The servers of one run: a RabbitMQ node of its own, and databases of its own on the PostgreSQL that is there."""

import itertools
import json
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.integration.support.node import Node, free_ports
from tests.servers import RUN, postgres_url


class Servers:
    """Everything that it made is gone afterwards. A node of its own can be killed, and speaks STOMP for those who need it.

    Raises:
        MissingServerError: PostgreSQL does not answer, or RabbitMQ is not installed here.
    """

    def __init__(self, folder: Path) -> None:
        self._postgres = postgres_url()
        self._databases: set[str] = set()
        self._numbers = itertools.count()
        (self.stomp_port,) = free_ports(1)
        node = folder / "rabbitmq"
        node.mkdir()
        stomp = f"stomp.listeners.tcp.1 = 127.0.0.1:{self.stomp_port}\n"
        self._node = Node(node, plugins=["rabbitmq_stomp"], configuration=stomp)

    def __enter__(self) -> Self:
        self._node.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node.kill()
        for name in self._databases:
            self._drop(name)

    def database(self, name: str) -> str:
        """Return the URL of a fresh, empty database; one that had this name is dropped."""
        full = f"{RUN}_{name}".replace("test", "bench", 1)
        self._drop(full)
        self._administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(full)))
        self._databases.add(full)
        return urlsplit(self._postgres)._replace(path=f"/{full}").geturl()

    def vhost(self, name: str) -> str:
        """Return the URL of a fresh, empty virtual host."""
        full = f"{name}_{next(self._numbers)}"
        self._node.ctl("add_vhost", full)
        self._node.ctl("set_permissions", "-p", full, "guest", ".*", ".*", ".*")
        return urlsplit(self._node.url)._replace(path=f"/{full}").geturl()

    @property
    def postgres(self) -> str:
        """URL of the PostgreSQL server."""
        return self._postgres

    @property
    def broker(self) -> str:
        """URL of the RabbitMQ node."""
        return self._node.url

    @property
    def broker_pid(self) -> int:
        """Id of the node's process; Erlang's virtual machine is one of its children, or it itself."""
        return self._node.pid

    def limit(self, url: str, queue: str, length: int) -> None:
        """Let a queue hold so many messages at most."""
        policy = json.dumps({"max-length": length})
        self._node.ctl("set_policy", "-p", _vhost(url), "limit", f"^{queue}$", policy, "--apply-to", "queues")

    def unlimit(self, url: str) -> None:
        """Lift that limit."""
        self._node.ctl("clear_policy", "-p", _vhost(url), "limit")

    def kill_broker(self) -> None:
        """Kill -9 the broker."""
        self._node.kill()

    def stop_broker(self) -> None:
        """Stop the broker as an administrator does."""
        self._node.stop()

    def start_broker(self) -> None:
        """Start it again, with what it had on disk."""
        self._node.start()

    def _drop(self, name: str) -> None:
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._postgres, autocommit=True) as connection:
            connection.execute(statement)


def _vhost(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
