"""The servers of one run: a RabbitMQ node of its own, and databases of its own on the PostgreSQL that is there."""

import itertools
import json
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from project.processes import servers, watchdog
from project.processes.node import Node
from project.processes.process import free_ports


class Servers:
    """Everything that it made is gone afterwards. A node of its own can be killed, and speaks STOMP for those who need it.

    Raises:
        MissingServerError: PostgreSQL does not answer, or RabbitMQ is not installed here.
    """

    def __init__(self, folder: Path) -> None:
        self._postgres = servers.postgres_url()
        self._databases: set[str] = set()
        self._vhosts: dict[str, str] = {}
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
        for url in self._databases:
            servers.drop_database(url)

    def database(self, name: str) -> str:
        """Return the URL of a fresh, empty database; one that had this name is dropped."""
        run = watchdog.mark().replace("-", "_")
        url = servers.database_url(self._postgres, f"microworkflows_bench_{run}_{name}")
        servers.drop_if_killed(url)
        servers.drop_database(url)
        servers.make_database(url)
        self._databases.add(url)
        return url

    def vhost(self, name: str) -> str:
        """Return the URL of a fresh, empty virtual host; the last one that had this name is deleted.

        A node keeps its memory and processes for each, and reads them all when it starts.
        """
        if name in self._vhosts:
            self._node.ctl("delete_vhost", self._vhosts.pop(name))
        full = self._vhosts[name] = f"{name}_{next(self._numbers)}"
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


def _vhost(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
