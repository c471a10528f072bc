"""What several measurements do with the kit: a database, a virtual host, and the commands that a team types."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks.bench import Bench
from benchmarks.processes import PYTHON, Child, run
from benchmarks.queues import QueueWatch
from project.processes.waiting import eventually

SUBJECT = "microworkflows"
_CELERY = str(Path(PYTHON).with_name("celery"))
_APPS = {"microworkflows": "project", "bare Celery task": "benchmarks.bare"}


@dataclass(frozen=True, kw_only=True)
class Kit:
    """The kit on a database and a virtual host of its own, with the context ``probe``."""

    bench: Bench
    database: str
    broker: str
    settings: Mapping[str, Any]
    has_journal: bool = False
    more: Mapping[str, str] = field(default_factory=dict)
    """Adds to the environment of every command."""

    @staticmethod
    def fresh(bench: Bench, name: str, *, journal: bool = False, **settings: Any) -> "Kit":
        """Return it on a migrated, empty database and an empty virtual host; ``settings`` are the kit's own."""
        kit = Kit(
            bench=bench, database=bench.servers.database(name), broker=bench.servers.vhost(name), settings=settings,
            has_journal=journal,
        )  # fmt: skip
        kit.manage("migrate", "--verbosity", "0")
        return kit

    @property
    def environment(self) -> dict[str, str]:
        """Environment of every command."""
        return {
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "DATABASE_URL": self.database,
            "BROKER_URL": self.broker,
            "SECRET_KEY": "for-benchmarks-only",
            "BENCH_MICROWORKFLOWS": json.dumps(self.settings),
            "BENCH_JOURNAL": "1" if self.has_journal else "",
            **self.more,
        }

    def manage(self, *arguments: str, timeout: float = 900) -> str:
        """Run a management command to its end."""
        log = self.bench.log(arguments[0])
        return run(PYTHON, "-m", "django", *arguments, env=self.environment, log=log, timeout=timeout)

    def start(self, *arguments: str) -> Child:
        """Start a management command."""
        return Child(
            PYTHON, "-m", "django", *arguments, env=self.environment, log=self.bench.log(arguments[0])
        )

    def relay(self, *contexts: str) -> Child:
        """Start the relay of contexts."""
        return self.start("relay", *(contexts or ("probe",)))

    def worker(self, *options: str, processes: int = 1, queue: str = "probe", app: str = "project") -> Child:
        """Start a Celery worker; without ``--no-relay`` among its options a relay runs beside it."""
        command = (_CELERY, "-A", app, "worker", "-Q", queue, "-n", f"{queue}@%h", "-c", str(processes))
        return Child(*command, *options, env=self.environment, log=self.bench.log("worker"))

    def query(self, statement: str) -> list[Any]:
        """Return the first row that a statement gives."""
        return list(self.rows(statement)[0])

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows that a statement gives."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def preload(self, count: int, *, context: str = "probe") -> None:
        """Bring so many events into the context's queue."""
        self.manage("probe_record", str(count), "--context", context, "--items")
        with self.relay(context), QueueWatch(self.broker, context) as watch:
            eventually(lambda: watch.ready() >= count, timeout=120, every=0.1)

    @property
    def name(self) -> str:
        """Name of the database."""
        return urlsplit(self.database).path.removeprefix("/")


def hop_rate(kit: Kit, *, processes: int, count: int, bare: bool = False) -> float:
    """Return how many steps a second a worker does once it is warm; their messages are in its queue already.

    The first tenth is left out; each step notes when it begins, so that looking on costs nothing.
    """
    if bare:
        worker = kit.worker(processes=processes, queue="bare", app="benchmarks.bare")
    else:
        worker = kit.worker("--no-relay", processes=processes)
    with worker:
        eventually(lambda: kit.query("SELECT count(*) FROM probe_effect")[0] >= count, timeout=180, every=0.3)
    (rate,) = kit.query(
        f"""SELECT (count(*) - 1) / ((max(started_ns) - min(started_ns)) / 1e9) FROM (
                SELECT started_ns FROM probe_effect ORDER BY started_ns OFFSET {count // 10}
            ) AS warm"""  # noqa: S608  (own number)
    )
    return float(rate)
