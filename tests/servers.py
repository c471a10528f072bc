"""Finds the servers that the tests use: PostgreSQL, RabbitMQ, and the browser; conftest.py says what follows."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import kombu
from amqp.exceptions import AMQPError
from kombu.exceptions import KombuError

from project.processes import servers
from tests import runs

DEFAULT_BROKER_URL = "amqp://guest:guest@127.0.0.1:5672//"
MANAGEMENT_PORT = 15672

RUN = runs.name_of(os.getpid()) or f"{runs.PREFIX}_{uuid4().hex[:12]}"
"""Names what this run makes on a server, so that two runs side by side do not meet and leftovers tell whose they are."""

SCRATCH = Path(tempfile.mkdtemp(prefix=f"{RUN}_"))
"""Folder for this run's SQLite file and embedded broker; removed at its end."""

HOW_TO_START = {
    "PostgreSQL": "start one at 127.0.0.1:5432 that trusts user postgres, or name one: TEST_DATABASE_URL=postgresql://…",
    "RabbitMQ": "start one at 127.0.0.1:5672 and run as a user who may use rabbitmqctl, or turn its management plugin"
    " on, or name one: TEST_BROKER_URL=amqp://…",
    "PgBouncer": "install it; on Debian: apt-get install pgbouncer",
    "Redis": "install it; on Debian: apt-get install redis-server",
    "promtool": "install it; on Debian: apt-get install prometheus",
    "axe-core": "let pip and npm reach their registries once; it is kept in var/asyncapi",
    "Chromium": "install it with its driver; on Debian: apt-get install chromium chromium-driver",
}


def choose_environment() -> None:
    """Set the environment for Django's settings, and for processes that tests start; once, before they are read."""
    try:
        database = postgres_url()
    except MissingServerError:
        database = f"sqlite:///{SCRATCH / 'db.sqlite3'}"
    for name in [
        "DEBUG",
        "VAR_DIR",
        "ALLOWED_HOSTS",
        "CSRF_TRUSTED_ORIGINS",
        "HTTPS",
        "LOG_LEVEL",
        "WORKER_CONCURRENCY",
        "PREPARE",
        "SERVICE",
        "BROKER_USERS",
    ]:
        os.environ.pop(name, None)
    # Tests start hundreds of processes: none is to compile anew what another has compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["DATABASE_URL"] = database
    os.environ["BROKER_URL"] = f"embedded://{SCRATCH / 'broker'}"
    os.environ["SECRET_KEY"] = "for-tests-only"


def remove_scratch() -> None:
    """Remove this run's files."""
    shutil.rmtree(SCRATCH, ignore_errors=True)


# Missing servers

MissingServerError = servers.MissingServerError

Found = TypeVar("Found")


def _once(look: Callable[[], Found]) -> Callable[[], Found]:
    """Look for a server once in a run, and remember it or that it was missing."""
    outcome: list[Found | MissingServerError] = []

    @wraps(look)
    def found() -> Found:
        if not outcome:
            try:
                outcome.append(look())
            except MissingServerError as error:
                outcome.append(error)
        if isinstance(outcome[0], MissingServerError):
            raise outcome[0]
        return outcome[0]

    return found


# PostgreSQL


postgres_url = _once(servers.postgres_url)


def database_name(vendor: str) -> str:
    """Return the name of this run's own test database."""
    return str(SCRATCH / "test.sqlite3") if vendor == "sqlite" else RUN


# RabbitMQ


@dataclass(frozen=True, kw_only=True)
class RabbitMQ:
    """A server on which this run makes virtual hosts of its own, by ``rabbitmqctl`` or the management API."""

    url: str
    by_command: bool
    _made: list[str] = field(default_factory=list)

    def make_vhost(self) -> str:
        """Make an empty virtual host and return the broker URL that leads into it."""
        name = f"{RUN}_{len(self._made)}"
        self._made.append(name)
        user = urllib.parse.unquote(urllib.parse.urlsplit(self.url).username or "guest")
        self.define(
            vhosts=[{"name": name}],
            permissions=[{"user": user, "vhost": name, "configure": ".*", "write": ".*", "read": ".*"}],
        )
        return urllib.parse.urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def delete_vhost(self, url: str) -> None:
        """Delete a virtual host that ``make_vhost`` made, with all its queues."""
        self.delete("vhosts", urllib.parse.urlsplit(url).path.removeprefix("/"))

    def define(self, **definitions: list[dict[str, Any]]) -> None:
        """Make virtual hosts, users, permissions and more, in RabbitMQ's format of definitions."""
        body = json.dumps(definitions).encode()
        if self.by_command:
            _rabbitmqctl("import_definitions", given=body)
        else:
            _management_api(self.url, "POST", "definitions", body)

    def names(self, kind: str) -> list[str]:
        """Return the names of all ``vhosts`` or ``users``."""
        if self.by_command:
            listed = json.loads(_rabbitmqctl(f"list_{kind}", "--formatter=json"))
        else:
            listed = json.loads(_management_api(self.url, "GET", kind))
        return [one.get("name") or one["user"] for one in listed]

    def delete(self, kind: str, name: str) -> None:
        """Delete one of the ``vhosts`` or ``users``."""
        if self.by_command:
            _rabbitmqctl(f"delete_{kind.removesuffix('s')}", name)
        else:
            _management_api(self.url, "DELETE", f"{kind}/{name}")


@_once
def rabbitmq() -> RabbitMQ:
    """Return the RabbitMQ server of this run.

    Raises:
        MissingServerError: there is none, or this user may not make virtual hosts there.
    """
    url = os.environ.get("TEST_BROKER_URL") or DEFAULT_BROKER_URL
    try:
        with kombu.Connection(url, connect_timeout=5) as connection:
            connection.connect()
    except (OSError, KombuError, AMQPError) as error:
        raise MissingServerError("RabbitMQ", f"{connection.as_uri()}: {error}") from error
    reasons = []
    for by_command in (True, False):
        server = RabbitMQ(url=url, by_command=by_command)
        try:
            server.define()  # nothing; but it needs the rights that the tests need
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{'rabbitmqctl' if by_command else 'management API'}: {error}")
        else:
            return server
    raise MissingServerError("RabbitMQ", "no virtual host can be made. " + "; ".join(reasons))


def _rabbitmqctl(*arguments: str, given: bytes = b"") -> str:
    command = shutil.which("rabbitmqctl") or "/usr/sbin/rabbitmqctl"
    return subprocess.run(
        [command, "--quiet", *arguments], input=given, check=True, capture_output=True
    ).stdout.decode()


def _management_api(broker_url: str, method: str, path: str, body: bytes | None = None) -> bytes:
    broker = urllib.parse.urlsplit(broker_url)
    login = f"{urllib.parse.unquote(broker.username or 'guest')}:{urllib.parse.unquote(broker.password or 'guest')}"
    headers = {
        "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
        "Content-Type": "application/json",
    }
    address = f"http://{broker.hostname}:{MANAGEMENT_PORT}/api/{path}"
    request = urllib.request.Request(address, data=body, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: bytes = answer.read()
        return found


# Chromium


def chromium() -> tuple[str, str]:
    """Return the paths of Chromium and of its driver.

    Raises:
        MissingServerError: one of them is not installed.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        raise MissingServerError("Chromium", "chromium or chromedriver is not on the PATH")
    return browser, driver


# Prometheus


@_once
def promtool() -> str:
    """Return the path of the program that checks what Prometheus would read."""
    found = shutil.which("promtool")
    if found is None:
        raise MissingServerError("promtool", "promtool is not installed")
    return found
