"""Measurement 4, the order process end to end: the shop, the monolith that it was, Celery tasks, publish and subscribe.

All write the same rows by the same operations, on the same servers; each order can be paid and is in stock. The
monolith needs no process but the customer's. All others have four workers, of one process each, or where their name says so two
that serve two apps each.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks import cpu
from benchmarks.bench import Bench
from benchmarks.order_process.customer import BEGINS, ENDS
from benchmarks.order_process.destinations import DESTINATIONS
from benchmarks.processes import PYTHON, Child, run
from benchmarks.queues import percentile
from benchmarks.targets import MONOLITH, OURS, OURS_IN_ONE_TRIP, OURS_OF_TWO, is_ours
from migrations_guide.engine import working_copy
from migrations_guide.engine.stages import APPS, ROOT

_MEASUREMENT, _PARTS = "orders", "parts"
_KEPT_TABLES = ["django_migrations", "django_content_type", "auth_permission"]


class UnsoundError(Exception):
    """Orders were lost or goods left the shelves twice: how fast that went is no figure."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A process beside the customer's."""

    command: Sequence[str]
    ready: Sequence[str]
    """What it says when it is."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One way to do the order process."""

    name: str
    settings: str
    programs: Sequence[Program] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it has in its environment besides."""
    recorder: str | None = None
    """What ``place_order`` tells of an order by, where that is not the shop's outbox."""
    folder: Path = ROOT
    """Where its code is."""


def measure(bench: Bench) -> None:
    """Let all take turns; prepare their databases first, the shop's for all that have its tables."""
    monolith = Subject(
        name=MONOLITH,
        settings="project.settings",
        folder=working_copy.compose(0, into=bench.folder / "monolith"),
    )
    shop = bench.servers.database("orders")
    databases = {subject.name: shop for subject in _BROKEN_APART} | {
        monolith.name: bench.servers.database("orders_monolith")
    }
    for subject in (_SHOP, monolith):
        environment = _environment(subject, database=databases[subject.name], broker="amqp://")
        run(
            *(PYTHON, "-m", "django", "migrate", "--verbosity", "0"),
            env=environment,
            log=bench.log("migrate"),
            cwd=subject.folder,
        )

    def turn(subject: Subject) -> Callable[[int], None]:
        return lambda number: _turn(bench, subject, databases[subject.name], number)

    subjects = (_SHOP, _SHOP_OF_TWO, _SHOP_IN_ONE_TRIP, monolith, *_RIVALS)
    bench.interleave(_MEASUREMENT, {subject.name: turn(subject) for subject in subjects})


def _turn(bench: Bench, subject: Subject, database: str, number: int) -> None:
    answer = _answer(bench, subject, database)
    for metric in ("lost", "doubled"):
        if answer[metric]:
            bench.add(_MEASUREMENT, subject.name, metric, answer[metric], round=number)
    if answer["lost"] or answer["doubled"]:
        raise UnsoundError(f"{answer['lost']} orders were lost, {answer['doubled']} pieces too many issued.")
    milliseconds = sorted(seconds * 1000 for seconds in answer["latencies"])
    figures = {
        "orders/s": answer["orders"] / answer["seconds"],
        "p50, ms": percentile(milliseconds, 50),
        "p99, ms": percentile(milliseconds, 99),  # of these few orders the slowest
    }
    parts = {part: seconds * 1000 / answer["orders"] for part, seconds in answer["cpu"].items()}
    if parts:
        figures["CPU, ms/order"] = sum(parts.values())
    for part, value in parts.items():
        bench.add(_PARTS, subject.name, f"{part}, ms/order", value, round=number)
    for metric, value in figures.items():
        bench.add(_MEASUREMENT, subject.name, metric, value, round=number)


def _answer(bench: Bench, subject: Subject, database: str) -> dict[str, Any]:
    """Start the processes and then the customer; return what the customer found."""
    _empty(database)
    broker = bench.servers.vhost("orders")
    environment = _environment(subject, database=database, broker=broker) | {
        "STOMP_PORT": str(bench.servers.stomp_port),
        "STOMP_VHOST": urlsplit(broker).path.removeprefix("/"),
    }
    answer = bench.folder / "orders.json"
    answer.unlink(missing_ok=True)
    with ExitStack() as stack:
        children = []
        for program in subject.programs:
            child = Child(
                *program.command,
                env=environment,
                log=bench.log(subject.name.replace("/", "-")),
                cwd=subject.folder,
            )
            # A worker without a relay takes two seconds to stop; nothing is on its way any more.
            stack.callback(child.end if is_ours(subject.name) else child.kill)
            children.append(child)
        for child, program in zip(children, subject.programs, strict=True):
            for text in program.ready:
                child.says(text, timeout=60)
        customer = Child(
            *(PYTHON, "-m", "benchmarks.order_process.customer", "--answer", str(answer)),
            *("--orders", str(bench.sized(full=300, quick=100))),
            *("--singles", str(bench.sized(full=60, quick=20))),
            *("--seconds", str(bench.sized(full=12, quick=6))),
            *(("--recorder", subject.recorder) if subject.recorder else ()),
            env=environment,
            log=bench.log(f"{subject.name.replace('/', '-')} customer"),
            cwd=subject.folder,
        )
        stack.callback(customer.end)
        customer.says(BEGINS, timeout=120)
        sessions = cpu.sessions(database)
        spent = cpu.clock(
            {
                "customer": [customer.pid],
                "workers": [child.pid for child in children],
                "PostgreSQL": sessions,
                "RabbitMQ": [bench.servers.broker_pid],
            }
        )
        customer.says(ENDS, timeout=120)
        seconds = spent()
        customer.wait(timeout=300)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found | {"cpu": seconds if sessions else {}}


def _environment(subject: Subject, *, database: str, broker: str) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": subject.settings,
        "PYTHONPATH": str(subject.folder),
        "SECRET_KEY": "for-measuring-only",
        "DEBUG": "0",
        "SERVICE": "",
        "LOG_LEVEL": "INFO",
        "WORKER_CONCURRENCY": "1",
        "DATABASE_URL": database,
        "BROKER_URL": broker,
        **subject.environment,
    }


def _empty(database: str) -> None:
    """Remove what the last one wrote: it takes a hundredth of the time of new tables."""
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(%s)",
            [_KEPT_TABLES],
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(name) for (name,) in tables)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))


def _worker(application: str, *apps: str, relays: bool = False) -> Program:
    return Program(
        command=[
            *(PYTHON, "-m", "celery", "-A", application, "worker"),
            *("-Q", ",".join(apps), "-n", f"{apps[0]}@%h"),
        ],
        ready=[" ready.", *(f"relay {app}: leads" for app in apps if relays)],
    )


def _subscriber(callback: str) -> Program:
    path = f"benchmarks.order_process.subscriptions.{callback}"
    return Program(
        command=[PYTHON, "-m", "django", "subscribe", path, DESTINATIONS[callback], callback],
        ready=["Waiting for messages to be consumed"],
    )


_PAIRS = (("orders", "payments"), ("inventory", "shipping"))
_SHOP = Subject(
    name=OURS,
    settings="project.settings",
    programs=[_worker("project", app, relays=True) for app in APPS],
)
_SHOP_OF_TWO = Subject(
    name=OURS_OF_TWO,
    settings="project.settings",
    programs=[_worker("project", *pair, relays=True) for pair in _PAIRS],
)
_SHOP_IN_ONE_TRIP = replace(_SHOP_OF_TWO, name=OURS_IN_ONE_TRIP, environment={"ONE_TRIP": "1"})
_RIVALS = (
    Subject(
        name="Celery chain with delay_on_commit",
        settings="benchmarks.order_process.settings",
        programs=[_worker("benchmarks.order_process.celery_app", app) for app in APPS],
        recorder="benchmarks.order_process.chain",
    ),
    Subject(
        name="Celery chain with delay_on_commit, two workers",
        settings="benchmarks.order_process.settings",
        programs=[_worker("benchmarks.order_process.celery_app", *pair) for pair in _PAIRS],
        recorder="benchmarks.order_process.chain",
    ),
    Subject(
        name="Celery tasks with delay_on_commit, apps kept apart",
        settings="benchmarks.order_process.settings",
        programs=[_worker("benchmarks.order_process.celery_app", app) for app in APPS],
        recorder="benchmarks.order_process.apart",
    ),
    Subject(
        name="django-outbox-pattern 3.2.1, publish/subscribe",
        settings="benchmarks.order_process.settings",
        programs=[
            *(_subscriber(callback) for callback in DESTINATIONS),
            Program(
                command=[PYTHON, "-m", "django", "publish"],
                ready=["Waiting for messages to be published"],
            ),
        ],
        recorder="benchmarks.order_process.subscriptions",
    ),
)
_BROKEN_APART = (_SHOP, _SHOP_OF_TWO, _SHOP_IN_ONE_TRIP, *_RIVALS)
