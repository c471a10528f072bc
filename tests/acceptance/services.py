"""The shop as four services: a database each, one virtual host at the broker, and there a user each with few rights.

What the users may do, and the queues, are taken from ``docker/broker.json``, as the containers take them.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from migrations_guide.engine.shop import PASSWORD, Order, Shop
from project.processes.process import Process, end
from project.processes.servers import database
from project.service import CONTEXTS
from tests import servers
from tests.acceptance.running import PROJECT, free_port, processes_of, wait_until

BIN = Path(sys.executable).parent
_BLOCK = re.search(
    r"```sh\nexport SERVICE=.*?\n(.*?)```", (PROJECT / "docs/howto/services.md").read_text(), re.DOTALL
)
assert _BLOCK
MIGRATE, WORKER, WEB = _BLOCK[1].splitlines()
"""The commands of the how-to, which it shows for payments."""


class Services:
    """Services, each with its environment and, once started, its processes."""

    def __init__(
        self,
        folder: Path,
        *,
        databases: dict[str, str],
        brokers: dict[str, str],
        more: Mapping[str, Mapping[str, str]] = {},
    ) -> None:
        """Prepare the environment of each service; ``more`` adds to it, by service."""
        self.folder = folder
        self.databases = databases
        self.ports = {name: free_port() for name in databases}
        self._environments = {
            name: {
                **os.environ,
                "SERVICE": name,
                "DATABASE_URL": databases[name],
                "BROKER_URL": brokers[name],
                "BROKER_USERS": ",".join(f"{each}={urlsplit(url).username}" for each, url in brokers.items()),
                "SECRET_KEY": f"for-this-test-and-{name}-only",
                "WORKER_CONCURRENCY": "1",
                "VAR_DIR": str(folder),
                "DJANGO_SETTINGS_MODULE": "project.settings",
                "JOURNAL_ADMIN_URL": f"{self.address(name)}/admin/",
                "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
                "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
                **more.get(name, {}),
            }
            for name in databases
        }
        self._started: dict[str, Process] = {}

    def prepare(self) -> None:
        """Migrate each database, by its own service and no other's help; fill the catalogue and the shelves."""
        with ThreadPoolExecutor() as at_once:
            list(at_once.map(lambda name: self.run(name, MIGRATE), self.databases))
            seeds = {"orders": "python manage.py seed_catalogue", "inventory": "python manage.py seed_stock"}
            there = [name for name in seeds if name in self.databases]
            list(at_once.map(lambda name: self.run(name, seeds[name]), there))

    def run(self, name: str, command: str, *, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command of a service to its end, with one of these exit codes; return what it printed."""
        ended = subprocess.run(
            shlex.split(command),
            cwd=PROJECT,
            env=self._environments[name],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ended.returncode in codes, f"{name}: {command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def start_workers(self, *names: str) -> None:
        """Start one worker for each of these services, by default for all, and wait until they and their relays are ready."""
        names = names or tuple(self.databases)
        for name in names:
            self._start_worker(name)
        for name in names:
            self._await_worker(name)

    def start_worker(self, name: str, *, relays: bool = True) -> None:
        """Start the worker of one service, with its relay or without, and wait until they are ready."""
        self._start_worker(name, relays=relays)
        self._await_worker(name, relays=relays)

    def _start_worker(self, name: str, *, relays: bool = True) -> None:
        command = WORKER.replace("payments", name)
        self._start(name, f"{name}-worker", command if relays else f"{command} --no-relay")

    def _await_worker(self, name: str, *, relays: bool = True) -> None:
        worker = self._started[f"{name}-worker"]
        worker.says(" ready.")
        if relays:
            worker.says(f"relay {name}: leads")

    def stop_worker(self, name: str) -> None:
        """Ask a service's worker to stop, as a supervisor does, and wait until it has."""
        worker = self._started.pop(f"{name}-worker")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0

    def kill_worker(self, name: str) -> None:
        """Kill a service's worker and its children, as a power cut does."""
        self._started.pop(f"{name}-worker").kill()

    def broker(self, name: str) -> str:
        """Return the URL with which a service comes into the broker."""
        return self._environments[name]["BROKER_URL"]

    def worker(self, name: str) -> int:
        """Return the id of a service's worker process."""
        return self._started[f"{name}-worker"].pid

    def address(self, name: str) -> str:
        """Return the address of a service's web server, whether it runs or not."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def start_web(self, name: str) -> str:
        """Start the web server of a service; return its address."""
        web = self._start(name, f"{name}-web", re.sub(r":\d+", f":{self.ports[name]}", WEB))
        web.says(f"Listening at: {self.address(name)}")
        return self.address(name)

    def said(self) -> str:
        """Return what all processes wrote."""
        return "".join(process.output for process in self._started.values())

    def stop(self) -> None:
        """Ask every process to end, as a supervisor does; nothing may be left of any."""
        running = list(self._started.values())
        for process in running:
            process.send(signal.SIGTERM)
        assert [process.wait() for process in running] == [0] * len(running)
        wait_until("every process has ended", lambda: not processes_of(self.folder), seconds=10)

    def end(self) -> None:
        """Leave nothing running, whatever the test did."""
        end(list(self._started.values()), seconds=0)

    def ask(self, name: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows that a service's database has for this query."""
        with psycopg.connect(self.databases[name]) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def tell(self, name: str, statements: str) -> None:
        """Execute statements in a service's database."""
        with psycopg.connect(self.databases[name]) as connection:
            connection.execute(statements.encode())

    def _start(self, name: str, process: str, command: str) -> Process:
        self._started[process] = Process(
            *shlex.split(command),
            environment=self._environments[name],
            log=self.folder / f"{process}.log",
            cwd=PROJECT,
        )
        return self._started[process]


@contextmanager
def databases(names: Iterable[str] = CONTEXTS) -> Iterator[dict[str, str]]:
    """Yield the URL of a new database for each of these services."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(database(servers.postgres_url(), f"{servers.RUN}_{name}"))
            for name in names
        }


@contextmanager
def broker_users() -> Iterator[dict[str, str]]:
    """Yield, by service, the URL with which its own user comes into one virtual host."""
    server = servers.rabbitmq()
    vhost, password = f"{servers.RUN}_{uuid4().hex[:6]}", "for-this-test-only"
    users = {context: f"{vhost}_{context}" for context in CONTEXTS}
    definitions: dict[str, list[dict[str, Any]]] = json.loads((PROJECT / "docker/broker.json").read_text())
    definitions["vhosts"] = [{"name": vhost}]
    definitions["users"] = [{"name": user, "password": password, "tags": []} for user in users.values()]
    for kind in definitions.keys() - {"vhosts", "users"}:
        for one in definitions[kind]:
            one["vhost"] = vhost
    for one in definitions["permissions"] + definitions["topic_permissions"]:
        one["user"] = users[one["user"]]
    try:
        server.define(**definitions)
        yield {
            context: urlsplit(server.url)
            ._replace(
                netloc=f"{user}:{password}@{urlsplit(server.url).netloc.rpartition('@')[2]}", path=f"/{vhost}"
            )
            .geturl()
            for context, user in users.items()
        }
    finally:
        server.delete("vhosts", vhost)
        for user in users.values():
            server.delete("users", user)


@contextmanager
def prepared(folder: Path, *, more: Mapping[str, Mapping[str, str]] = {}) -> Iterator[Services]:
    """Yield the four services, prepared; nothing runs yet. ``more`` is as in :class:`Services`."""
    with databases() as own, broker_users() as brokers:
        running = Services(folder, databases=own, brokers=brokers, more=more)
        running.prepare()
        try:
            yield running
        finally:
            running.end()


def ends(shop: Shop, order: Order, expected: str, *, seconds: float = 40) -> None:
    """Wait until an order has come to an end, as the admin words it."""
    wait_until(f"{order.number} is {expected}", lambda: shop.state(order) == expected, seconds=seconds)
