"""A turn of a subject of the order process: its processes, the customers, and what came of it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks import cpu
from benchmarks.bench import Bench
from benchmarks.order_process import subjects
from benchmarks.order_process.customer import BEGINS, ENDS
from benchmarks.order_process.subjects import Subject
from benchmarks.processes import PYTHON, Child, run
from benchmarks.targets import POSTGRES, SECOND_POSTGRES, is_ours
from migrations_guide.engine import working_copy
from project.processes.cluster import cluster

_KEPT_TABLES = ["django_migrations", "django_content_type", "auth_permission"]


class UnsoundError(Exception):
    """Orders were lost or goods left the shelves twice: how fast that went is no figure."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the customers found, and what it cost."""

    orders: int
    """Placed back to back."""
    seconds: float
    """From the first call of ``place_order`` until the last order was final."""
    placing: Sequence[float]
    """Seconds that each of these calls took."""
    latencies: Sequence[float]
    """Seconds from the call until the order had shipped, of orders placed one by one."""
    cpu: cpu.Spent
    """Processor seconds by part, while orders were placed back to back; empty if PostgreSQL runs elsewhere."""

    @property
    def rate(self) -> float:
        """Orders a second."""
        return self.orders / self.seconds

    @property
    def costs(self) -> dict[str, float]:
        """Milliseconds of processors that an order costs each part."""
        return {part: seconds * 1000 / self.orders for part, seconds in self.cpu.items()}


@dataclass(frozen=True, kw_only=True)
class Databases:
    """What the subjects of a measurement share; each turn begins by emptying it."""

    shop: str
    monolith: str
    second: str
    """On a server of its own."""

    def of(self, subject: Subject) -> list[str]:
        """Return the URLs of a subject's databases."""
        first = self.monolith if subject.is_monolith else self.shop
        return [first, self.second] if subject.has_second_server else [first]


@contextmanager
def prepared(bench: Bench, name: str) -> Iterator[tuple[Databases, Subject]]:
    """Yield migrated databases, and the monolith."""
    monolith = subjects.monolith(working_copy.compose(0, into=bench.folder / f"{name}_monolith"))
    with cluster(durable=True) as second:
        databases = Databases(
            shop=bench.servers.database(name),
            monolith=bench.servers.database(f"{name}_monolith"),
            second=second,
        )
        for subject in (subjects.SHOP, subjects.SHOP_OF_TWO_SERVERS, monolith):
            for url in databases.of(subject):
                run(
                    *(PYTHON, "-m", "django", "migrate", "--verbosity", "0"),
                    env=_environment(subject, databases=[url], broker="amqp://"),
                    log=bench.log("migrate"),
                    cwd=subject.folder,
                )
        yield databases, monolith


def take(
    bench: Bench, subject: Subject, databases: Sequence[str], *, customers: int = 1, singles: int = 0
) -> Answer:
    """Start the processes and then the customers; return what they found.

    Raises:
        UnsoundError: orders were lost, or goods left the shelves twice.
    """
    for url in databases:
        _empty(url)
    broker = bench.servers.vhost("orders")
    environment = _environment(subject, databases=databases, broker=broker) | {
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
                env=environment | {"DATABASE_URL": databases[1 if program.second else 0]},
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
            *("--customers", str(customers)),
            *("--singles", str(singles)),
            *("--seconds", str(bench.sized(full=12, quick=6))),
            *(("--recorder", subject.recorder) if subject.recorder else ()),
            env=environment | {"DJANGO_SETTINGS_MODULE": subject.customer_settings or subject.settings},
            log=bench.log(f"{subject.name.replace('/', '-')} customer"),
            cwd=subject.folder,
        )
        stack.callback(customer.end)
        customer.says(BEGINS, timeout=120)
        sessions = [cpu.sessions(url) for url in databases]
        spent = cpu.clock(
            {
                "customer": [customer.pid],
                "workers": [child.pid for child in children],
                **dict(zip((POSTGRES, SECOND_POSTGRES), sessions, strict=False)),
                "RabbitMQ": [bench.servers.broker_pid],
            }
        )
        customer.says(ENDS, timeout=120)
        seconds = spent()
        customer.wait(timeout=300)
    found = json.loads(answer.read_text())
    lost, doubled = found.pop("lost"), found.pop("doubled")
    if lost or doubled:
        raise UnsoundError(f"{lost} orders were lost, {doubled} pieces too many issued.")
    return Answer(**found, cpu=seconds if all(sessions) else {})


def _environment(subject: Subject, *, databases: Sequence[str], broker: str) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": subject.settings,
        "PYTHONPATH": str(subject.folder),
        "SECRET_KEY": "for-measuring-only",
        "DEBUG": "0",
        "SERVICE": "",
        "LOG_LEVEL": "INFO",
        "WORKER_CONCURRENCY": "1",
        "DATABASE_URL": databases[0],
        "SECOND_DATABASE_URL": databases[-1],
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
