"""Who does the order process: the shop, the monolith that it was, Celery tasks, publish and subscribe.

All write the same rows by the same operations; each order can be paid and is in stock. The monolith needs no process but the
customer's. All others have four workers, of one process each, or where their name says so two that serve two apps each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from benchmarks.order_process.destinations import DESTINATIONS
from benchmarks.processes import PYTHON
from benchmarks.targets import CHAIN, MONOLITH, OURS, OURS_IN_ONE_TRIP, OURS_OF_TWO, OURS_OF_TWO_SERVERS
from migrations_guide.engine.stages import APPS, ROOT


@dataclass(frozen=True, kw_only=True)
class Program:
    """A process beside the customer's."""

    command: Sequence[str]
    ready: Sequence[str]
    """What it says when it is."""
    charges: bool = False
    """It asks the payment gateway."""
    second: bool = False
    """Its database is on the second server."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One way to do the order process."""

    name: str
    settings: str
    programs: Sequence[Program] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it has in its environment besides."""
    customer_settings: str = ""
    """Of the customer, where they are others."""
    recorder: str | None = None
    """What ``place_order`` tells of an order by, where that is not the shop's outbox."""
    folder: Path = ROOT
    """Where its code is."""

    @property
    def is_monolith(self) -> bool:
        """Whether its tables are the monolith's."""
        return self.name == MONOLITH

    @property
    def has_second_server(self) -> bool:
        """Whether some of its tables are on a second database server."""
        return any(program.second for program in self.programs)

    def with_patient_gateway(self, *, processes: int) -> Self:
        """Return the same with a payment gateway that takes its time, and so many processes that wait for it."""
        waiting = ("-c", str(processes))
        return replace(
            self,
            settings="benchmarks.order_process.patient_settings",
            environment={**self.environment, "BASE_SETTINGS": self.settings},
            programs=[
                replace(program, command=(*program.command, *waiting)) if program.charges else program
                for program in self.programs
            ],
        )


def monolith(folder: Path) -> Subject:
    """Return the synchronous monolith, whose code is in a folder."""
    return Subject(name=MONOLITH, settings="project.settings", folder=folder)


def _worker(application: str, *apps: str, relays: bool = False, second: bool = False) -> Program:
    return Program(
        command=[
            *(PYTHON, "-m", "celery", "-A", application, "worker"),
            *("-Q", ",".join(apps), "-n", f"{apps[0]}@%h"),
        ],
        ready=[" ready.", *(f"relay {app}: leads" for app in apps if relays)],
        charges="payments" in apps,
        second=second,
    )


def _subscriber(callback: str) -> Program:
    path = f"benchmarks.order_process.subscriptions.{callback}"
    return Program(
        command=[PYTHON, "-m", "django", "subscribe", path, DESTINATIONS[callback], callback],
        ready=["Waiting for messages to be consumed"],
    )


_ONE, _OTHER = _PAIRS = (("orders", "payments"), ("inventory", "shipping"))

SHOP = Subject(
    name=OURS,
    settings="project.settings",
    programs=[_worker("project", app, relays=True) for app in APPS],
)
SHOP_OF_TWO = Subject(
    name=OURS_OF_TWO,
    settings="project.settings",
    programs=[_worker("project", *pair, relays=True) for pair in _PAIRS],
)
SHOP_IN_ONE_TRIP = replace(SHOP_OF_TWO, name=OURS_IN_ONE_TRIP, environment={"ONE_TRIP": "1"})
SHOP_OF_TWO_SERVERS = replace(
    SHOP_OF_TWO,
    name=OURS_OF_TWO_SERVERS,
    programs=[
        _worker("project", *_ONE, relays=True),
        _worker("project", *_OTHER, relays=True, second=True),
    ],
    customer_settings="benchmarks.order_process.two_servers_settings",
)
CHAIN_OF_TWO = Subject(
    name=f"{CHAIN}, two workers",
    settings="benchmarks.order_process.settings",
    programs=[_worker("benchmarks.order_process.celery_app", *pair) for pair in _PAIRS],
    recorder="benchmarks.order_process.chain",
)
RIVALS = (
    Subject(
        name=CHAIN,
        settings="benchmarks.order_process.settings",
        programs=[_worker("benchmarks.order_process.celery_app", app) for app in APPS],
        recorder="benchmarks.order_process.chain",
    ),
    CHAIN_OF_TWO,
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
