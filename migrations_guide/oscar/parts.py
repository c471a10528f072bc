"""Real parts: a shop's web server and workers on PostgreSQL and RabbitMQ, from the start of a block to its end."""

import json
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, LiteralString, Self

import kombu
import psycopg

from migrations_guide.oscar.shops import Shop
from migrations_guide.oscar.telling import WalkError, expect
from project.processes import process
from project.processes.process import Process, free_ports
from project.processes.waiting import eventually


def ask(url: str, query: LiteralString, *values: Any) -> Any:
    """Return the first value that a database answers."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query, values).fetchone()
        return row[0] if row else None


def do(url: str, statement: LiteralString, *values: Any) -> None:
    """Run one statement in a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement, values)


class Parts:
    """The processes of a shop; its commands run with the same variables."""

    def __init__(self, shop: Shop, *contexts: str) -> None:
        self.shop = shop
        self._contexts = contexts
        self._workers: dict[str, Process] = {}
        self._web: list[Process] = []
        self.site = ""

    def __enter__(self) -> Self:
        try:
            for context in ("monolith", *self._contexts):
                self.work(context)
            port = free_ports(1)[0]
            self.site = f"http://127.0.0.1:{port}"
            options = (
                "--workers",
                "2",
                "--threads",
                "4",
                "--bind",
                f"127.0.0.1:{port}",
                "--timeout",
                "300",
                "--no-control-socket",
            )
            self._web.append(self.shop.start("web", "gunicorn", "shop.wsgi", *options))
            for worker in self._workers.values():
                worker.says(" ready.", timeout=120)
            eventually(self._answers, what="the shop's first page", timeout=120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process.end([*self._web, *self._workers.values()], family_seconds=0)
        remove_from_broker(self.shop)

    def work(self, context: str, **variables: str) -> None:
        """Start the worker of a context."""
        options = ("-Q", context, "-n", f"{context}@%h", "-c", "1", "-l", "INFO")
        self._workers[context] = self.shop.start(
            f"worker-{context}", "celery", "-A", "shop", "worker", *options, **variables
        )

    def rest(self, context: str) -> None:
        """End the worker of a context, as a deployment does."""
        self._workers[context].end(family_seconds=0)

    def kill(self, context: str) -> None:
        """Kill the worker of a context with all its processes at once."""
        self._workers[context].kill()
        self._workers[context].kill_family()

    def switch(self, context: str, percent: int, *, although: Sequence[str] = ()) -> str:
        """Let a context go live, as soon as its worker is seen; return what was said."""
        mode = ("cutover", context, "--mode", "live", "--percent", str(percent), "--why", "the case study")
        doubts = ("--although", *although) if although else ()

        def said() -> str:
            answer = self.shop.manage(*mode, *doubts, may_fail=True)
            unseen = "so nobody would do its steps" in answer
            expect(unseen or "is live" in answer, f"{context} does not go live:\n{answer}")
            return "" if unseen else answer

        return eventually(said, what=f"the worker of {context} to be seen", timeout=60)

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.site}/", timeout=60):  # noqa: S310  (http, as made above)
            return True
        return False


def remove_from_broker(shop: Shop) -> None:
    """Delete the queues and exchanges that a shop has declared under its prefix."""
    prefix = shop.variables["BROKER_PREFIX"]
    try:
        declared = json.loads(shop.manage("broker_definitions"))
    except json.JSONDecodeError as error:
        raise WalkError(f"broker_definitions printed no JSON: {error}") from error
    with kombu.Connection(shop.variables["BROKER_URL"]) as connection:
        for kind, delete in (("queues", "queue_delete"), ("exchanges", "exchange_delete")):
            for name in [each["name"] for each in declared[kind] if each["name"].startswith(prefix)]:
                getattr(connection.default_channel, delete)(name)
