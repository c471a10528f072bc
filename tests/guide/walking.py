"""The walk: one shop taken from stage to stage by the commands of the pages, while customers go on ordering.

What a page says under *Commands*, *Going back* and *Tidying up* is done line by line. A comment there that begins
with "deploy", "restart" or "wait" is an instruction to whoever follows the page, and so to the walk.
"""

import itertools
import json
import os
import re
import shlex
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from string import Template

from migrations_guide.engine import acceptance, databases, pages, stages, verifying, working_copy
from migrations_guide.engine.processes import Processes, manage
from migrations_guide.engine.shop import Order, Shop, ShopError
from migrations_guide.engine.stages import Stage
from project.processes.waiting import eventually

_DEPLOY = re.compile(r"# deploy the code of stage (\d)(?P<shared> on the monolith's database)?")
_RESTART = re.compile(r"# restart the processes of (\w+) on (?:(?P<own>their own)|the monolith's) database")
_WAIT = re.compile(r"# wait until no (\w+) flow of (\w+) is under way")
_LOOK_AT_IT = re.compile(r"# look at it for a \w+")
_CREATE = re.compile(r"createdb (\w+)")
_LOOK_SECONDS = 0.2

BASKETS: Sequence[tuple[str, Mapping[str, int]]] = (
    ("tok_visa", {"TEA-SENCHA-100": 2, "MUG-STONE-350": 1}),
    ("tok_visa", {"COFFEE-HOUSE-500": 1}),
    ("tok_declined", {"TEA-SENCHA-100": 1}),
    ("tok_visa", {"CUP-RAKU-LTD": 1, "MUG-STONE-350": 1}),
)
"""What customers order, in turn; the cup is never on the shelf."""

ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {"DATABASE_URL", "BROKER_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE"}
}
"""What a walk without servers runs with."""

_ON_HAND = 5000
"""Pieces of each product that is sold at all: enough for all who order."""

_ROWS = """
import json
from django.db import connection
def rows(table, columns):
    if table.split()[0] not in connection.introspection.table_names():
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table}")
        return [[str(value).replace("-", "") for value in row] for row in cursor.fetchall()]
print(json.dumps({
    "orders": rows("orders_order", "id, state, cancel_reason, total"),
    "payments": rows("payments_payment", "order_id, state, amount"),
    "reservations": rows("inventory_reservation", "order_id, state"),
    "lines": rows("orders_orderline JOIN orders_product ON orders_product.id = product_id", "order_id, sku, quantity"),
    "shipments": rows("shipping_shipment", "order_id, tracking_number"),
    "stock": rows("inventory_stockitem", "sku, on_hand, reserved"),
    "unhandled": rows("received", "msg_id, status"),
}))
"""

_FLOWS = """
import io, json, time
from django.core.management import call_command
awaited = $awaited
before = []
while True:
    said = io.StringIO()
    call_command("cutover", format="json", stdout=said)
    in_flight = {shown["name"]: shown["in_flight"] for shown in json.loads(said.getvalue())}
    left = [[in_flight[context][mode], mode, context] for mode, context in awaited if in_flight[context][mode]]
    if not left:
        break
    if left != before:
        print("still under way:", left, flush=True)
    before = left
    time.sleep(0.2)
"""
"""Waits in one process: each start of Django costs more than all its looks."""


class WalkError(AssertionError):
    """On the way something was lost, doubled or refused."""


@dataclass
class Customers:
    """Who order one basket after the other, wherever the shop is served at that moment; and at once if somebody waits for it."""

    pause: float
    placed: list[Order] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._shop: Shop | None = None
        self._in_use: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._awaited = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._order, name="customers", daemon=True)

    def send_to(self, shop: Shop) -> None:
        """Send everybody there from now on; returns when nobody is at the old place any more."""
        with self._changed:
            old, self._shop = self._shop, shop
            self._changed.notify_all()
            self._changed.wait_for(lambda: old is None or not self._in_use[id(old)])

    def wait_for_more(self) -> None:
        """Wait until some more was ordered."""
        enough = len(self.placed) + 2
        self._awaited.set()
        try:
            eventually(
                lambda: len(self.placed) >= enough,
                what="a next order",
                every=_LOOK_SECONDS,
                progress=lambda: (len(self.placed), self.refused[-3:]),
            )
        finally:
            self._awaited.clear()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Let nobody order while the block runs."""
        with self._turn:
            yield

    @contextmanager
    def ordering(self) -> Iterator[None]:
        """Let them order while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._awaited.set()
            self._thread.join()

    def _order(self) -> None:
        number = 0
        while not self._ended.wait(_LOOK_SECONDS):
            self._awaited.wait(self.pause)
            with self._turn:
                self._place(number)
            number += 1

    def _place(self, number: int) -> None:
        pays, lines = BASKETS[number % len(BASKETS)]
        with self._changed:
            assert self._shop is not None
            shop = self._shop
            self._in_use[id(shop)] += 1
        try:
            self.placed.append(shop.place(pays=pays, lines=lines))
        except (ShopError, OSError, ValueError, LookupError) as error:
            self.refused.append(f"{type(error).__name__}: {error}")
        finally:
            with self._changed:
                self._in_use[id(shop)] -= 1
                self._changed.notify_all()


class Walk:
    """One shop on its way. Leaving the block ends all its processes."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str], pause: float = 2.0) -> None:
        """Begin nowhere.

        Args:
            folder: Where the working copies are made, and where the embedded default keeps its data.
            environment: ``DATABASE_URL`` and ``BROKER_URL`` in it are used.
            pause: Seconds between two orders while nobody waits for one.
        """
        self._folder = folder
        self._given = {
            **environment,
            # What one machine shares whatever stage it runs.
            "SECRET_KEY": "for-the-walk-only",
            "VAR_DIR": str(folder / "var"),
        }
        self._moved: set[str] = set()
        self._running: Processes | None = None
        # A new deployment logs nobody out.
        self._cookies = {app: CookieJar() for app in stages.APPS}
        self._ended = 0
        """Number of orders of customers that were seen to have ended."""
        self.put_on_shelves: Counter[str] = Counter()
        """Pieces that came to the shelves on the way, by SKU as the books have it."""
        self.customers = Customers(pause)
        self.at: Stage | None = None
        self.tell: Callable[[str], None] = print

    def begin(self) -> dict[str, int]:
        """Start at stage 0 with a filled shop; return the stock."""
        stage = stages.stage(0)
        surroundings = self._environment(stage)
        many = f"exclude(on_hand__lte=1).update(on_hand={_ON_HAND})"  # the last piece stays the last
        fill = f"from inventory.models import StockItem; StockItem.objects.{many}"
        verifying.prepare(stage, self._copy(stage), environment=surroundings, anew=False)
        manage(self._copy(stage), f"shell --verbosity 0 --command '{fill}'", environment=surroundings)
        self._deploy(stage)
        return {sku: int(there) for sku, there, _ in self.books()["stock"]}

    def forward(self, number: int) -> None:
        """Do what a stage's page says under *Commands*."""
        self._follow(number, "Commands")

    def back(self, number: int) -> None:
        """Do what a stage's page says under *Going back*, which leads to the stage before."""
        self._follow(number, "Going back")

    def tidy(self, number: int) -> None:
        """Do what a stage's page says under *Tidying up*."""
        self._follow(number, "Tidying up")

    def accept(self) -> None:
        """Do at the present stage what ``verify`` does there once its processes run; meanwhile customers rest.

        Raises:
            ShopError: a scenario of the acceptance suite does not hold.
            WalkError: a command that must print nothing does.
        """
        assert self.at is not None
        assert self._running is not None
        stage, shop = self.at, self._shop(self.at, self._running)
        run = partial(manage, self._copy(stage), environment=self._environment(stage))
        began = time.monotonic()
        with self.customers.resting():
            self._wait_until_customers_are_served(shop)
            self._put_one_on_the_shelf(shop, "TEAPOT-IRON-800")
            if stage.switch:
                run(*stage.switch)
            _hold(acceptance.SCENARIOS, shop)
            for command in stage.silent:
                if said := run(command):
                    raise WalkError(
                        f"Stage {stage.number}: {command} must print nothing; it printed:\n{said}"
                    )
        self.tell(f"stage {stage.number}, accepted: {time.monotonic() - began:.1f} s")

    def end(self) -> None:
        """End all processes."""
        if self._running is not None:
            self._running.end()

    def books(self) -> dict[str, list[list[str]]]:
        """Return the rows that tell how orders ended, each taken from the database that it belongs to."""
        assert self.at is not None
        owners = {
            "payments": "payments",
            "reservations": "inventory",
            "stock": "inventory",
            "shipments": "shipping",
        }
        common = self._rows(self._environment(self.at))
        own = {app: self._rows(self._own(app)) for app in self.at.databases}
        kept = {name: own.get(owners.get(name, "orders"), common)[name] for name in common}
        unhandled = [row for rows in (common, *own.values()) for row in rows["unhandled"] if row[1] != "2"]
        return kept | {"unhandled": unhandled}

    def _rows(self, surroundings: Mapping[str, str]) -> dict[str, list[list[str]]]:
        assert self.at is not None
        said = manage(
            self._copy(self.at), f"shell --verbosity 0 --command '{_ROWS}'", environment=surroundings
        )
        rows: dict[str, list[list[str]]] = json.loads(said.splitlines()[-1])
        return rows

    # Acceptance

    def _wait_until_customers_are_served(self, shop: Shop) -> None:
        for order in self.customers.placed[self._ended :]:
            acceptance.agree(shop, order, acceptance.settled(shop, order))
            self._ended += 1

    def _put_one_on_the_shelf(self, shop: Shop, sku: str) -> None:
        on_hand, _ = shop.stock()[sku]
        shop.count(sku, on_hand=1)
        self.put_on_shelves[_plain(sku)] += 1 - on_hand

    # Following a page

    def _follow(self, number: int, section: str) -> None:
        stage = stages.stage(number)
        ordered, began = len(self.customers.placed), time.monotonic()
        for kind, lines in itertools.groupby(pages.commands(number, section), key=_kind):
            self._do(stage, kind, list(lines))
        if self._running is not None:
            self._running.watch()
        took, ordered = time.monotonic() - began, len(self.customers.placed) - ordered
        self.tell(f"stage {number}, {section.lower()}: {took:.1f} s, {ordered} orders meanwhile")

    def _do(self, stage: Stage, kind: str, lines: Sequence[str]) -> None:
        """Do lines of one kind, which follow each other."""
        if kind == "manage":
            self._manage(stage, lines)
        elif kind == "wait":
            self._wait_for_flows([found.groups() for line in lines if (found := _WAIT.fullmatch(line))])
        else:
            for line in lines:
                self._do_one(stage, line)

    def _do_one(self, stage: Stage, line: str) -> None:
        if deployed := _DEPLOY.fullmatch(line):
            if deployed["shared"]:
                self._moved.clear()
            self._deploy(stages.stage(int(deployed[1])))
        elif restarted := _RESTART.fullmatch(line):
            self._restart(restarted[1], own=bool(restarted["own"]))
        elif _LOOK_AT_IT.fullmatch(line):
            self.customers.wait_for_more()
        elif created := _CREATE.fullmatch(line):
            databases.make(self._database_of(created[1]))
        elif line.startswith("#"):
            raise WalkError(
                f"The page of stage {stage.number} says {line!r}, which the walk does not understand."
            )
        else:
            ended = subprocess.run(
                ["/bin/sh", "-c", line],
                cwd=self._copy(stage),
                env=self._environment(stage, moving=True),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if ended.returncode:
                raise WalkError(f"Stage {stage.number}: {line}: status {ended.returncode}\n{ended.stdout}")

    def _manage(self, stage: Stage, lines: Sequence[str]) -> None:
        """Run commands of ``manage.py``, those with the same environment in one process."""
        surroundings = self._environment(stage, moving=True)
        for before, group in itertools.groupby(
            lines, key=lambda line: line.partition("python manage.py ")[0]
        ):
            commands = [
                Template(line.partition("python manage.py ")[2]).substitute(surroundings)
                if "createsuperuser" not in line
                else f"shell --verbosity 0 --command '{verifying.SUPERUSER}'"
                for line in group
            ]
            settings = dict(
                setting.split("=", 1) for setting in Template(before).substitute(surroundings).split()
            )
            verifying.patiently(
                partial(manage, self._copy(stage), *commands, environment=surroundings | settings)
            )

    def _wait_for_flows(self, awaited: Sequence[Sequence[str]]) -> None:
        """Ask the code that runs at present: the next may know of no switch any more."""
        stage = self.at
        assert stage is not None
        surroundings = self._environment(stage, moving=True)

        code = Template(_FLOWS).substitute(awaited=[list(flows) for flows in awaited])
        # What it prints is progress, so it has no limit in seconds as long as flows end.
        manage(
            self._copy(stage), f"shell --verbosity 0 --command {shlex.quote(code)}", environment=surroundings
        )

    # Processes

    def _deploy(self, stage: Stage) -> None:
        """Start the stage's web servers, send the customers there, end what ran before, and start the workers.

        Not two workers of one name at once: RabbitMQ refuses the second. Meanwhile events wait.
        """
        old, self._running = self._running, Processes(self._copy(stage), environment=self._environment(stage))
        try:
            self._running.start(web=True)
            self.customers.send_to(self._shop(stage, self._running))
        finally:
            if old is not None:
                old.end()
        self._running.start(web=False)
        self.at = stage

    def _shop(self, stage: Stage, running: Processes) -> Shop:
        return verifying.shop_of(stage, running, cookies=self._cookies)

    def _restart(self, app: str, *, own: bool) -> None:
        """End the processes of one context, and start them on their other database."""
        assert self._running is not None
        (self._moved.add if own else self._moved.discard)(app)
        assert self.at is not None
        self._running.restart([app, f"{app}-web"], environment=self._environment(self.at))

    # Surroundings

    def _copy(self, stage: Stage) -> Path:
        folder = self._folder / f"stage-{stage.number}"
        return folder if folder.exists() else working_copy.compose(stage.number, into=folder)

    def _environment(self, stage: Stage, *, moving: bool = False) -> dict[str, str]:
        """Return what a stage's processes run with; for commands that move contexts, the own databases by their names."""
        surroundings = verifying.stage_environment(
            self._folder / f"stage-{stage.number}", self._given, stage=stage
        )
        if stage.split and not moving:
            main = self._given["DATABASE_URL"]
            surroundings |= {
                databases.variable(app): main for app in stage.databases if app not in self._moved
            }
        return surroundings | {"VAR_DIR": self._given["VAR_DIR"]}

    def _own(self, app: str) -> dict[str, str]:
        assert self.at is not None
        return verifying.own_environment(self.at, app, environment=self._environment(self.at))

    def _database_of(self, app: str) -> str:
        return self._environment(stages.stage(7), moving=True)[databases.variable(app)]


@contextmanager
def under_way(walk: Walk) -> Iterator[None]:
    """Let customers order while the block takes a shop from stage 0 on; afterwards nothing is lost, doubled or refused."""
    try:
        stock = walk.begin()
        with walk.customers.ordering():
            yield
        assert walk.customers.refused == []
        wait_until_books_add_up(walk, stock=stock)
    finally:
        walk.end()


def there_back_and_there(walk: Walk, stage: int) -> None:
    """Do all that a stage's page says, each part while orders are placed."""
    assert pages.commands(stage, "Going back")
    for follow in (walk.forward, walk.back, walk.forward):
        follow(stage)
        walk.customers.wait_for_more()
    walk.tidy(stage)


def _hold(scenarios: Sequence[acceptance.Scenario], shop: Shop) -> None:
    """Run scenarios at once, and then the one that counts what others would take from the shelves."""
    alone = acceptance.the_shelves_hold_what_was_not_shipped
    with ThreadPoolExecutor() as at_once:
        held = [at_once.submit(scenario, shop) for scenario in scenarios if scenario is not alone]
    for one in held:
        one.result()
    alone(shop)


def discrepancies(
    books: Mapping[str, list[list[str]]], placed: Sequence[Order], *, stock: Mapping[str, int]
) -> list[str]:
    """Return what does not add up over all books: an order without an end or with two, money, goods, messages."""
    of = {name: _by_order(books[name]) for name in ("payments", "reservations", "shipments", "lines")}
    states = {order: (state, reason) for order, state, reason, _ in books["orders"] if state != "draft"}
    totals = {order: float(total) for order, state, _, total in books["orders"] if state != "draft"}
    found = [f"{order.number} was placed and is gone." for order in placed if _plain(order.id) not in states]
    shipped: Counter[str] = Counter()
    for order, (state, reason) in states.items():
        money, goods, parcels = {
            ("shipped", ""): ("received", ["issued"], 1),
            ("cancelled", "payment_declined"): ("declined", [], 0),
            ("cancelled", "out_of_stock"): ("refunded", ["refused"], 0),
        }.get((state, reason), ("", [], 0))
        payments = [(one, float(amount)) for one, amount in of["payments"].get(order, [])]
        reservations = [one for (one,) in of["reservations"].get(order, []) if one != "dropped"]
        shipments = of["shipments"].get(order, [])
        if payments != [(money, totals[order])] or reservations != goods or len(shipments) != parcels:
            found.append(f"{order} is {state} {reason}: {payments}, {reservations}, {len(shipments)} parcels")
        if state == "shipped":
            for sku, quantity in of["lines"][order]:
                shipped[sku] += int(quantity)
    expected = {sku: (pieces - shipped[sku], 0) for sku, pieces in stock.items()}
    shelves = {sku: (int(on_hand), int(reserved)) for sku, on_hand, reserved in books["stock"]}
    found += [
        f"{sku}: {shelves.get(sku)} on the shelf, not {row}"
        for sku, row in expected.items()
        if shelves.get(sku) != row
    ]
    return found + [f"not handled: {message}" for message, _ in books["unhandled"]]


def wait_until_books_add_up(walk: Walk, *, stock: Mapping[str, int]) -> None:
    """Wait until every order has ended and everything adds up."""
    found: list[str] = []

    def add_up() -> bool:
        filled = {sku: pieces + walk.put_on_shelves[sku] for sku, pieces in stock.items()}
        found[:] = discrepancies(walk.books(), walk.customers.placed, stock=filled)
        return not found

    eventually(add_up, what="agreement of all books", every=1, timeout=60, progress=lambda: found[:20])


def _kind(line: str) -> str:
    return "manage" if "python manage.py " in line else "wait" if _WAIT.fullmatch(line) else "other"


def _by_order(rows: Sequence[Sequence[str]]) -> dict[str, list[tuple[str, ...]]]:
    grouped: dict[str, list[tuple[str, ...]]] = {}
    for order, *rest in rows:
        grouped.setdefault(order, []).append(tuple(rest))
    return grouped


def _plain(name: str) -> str:
    """Return an order's id or a SKU as the books have it."""
    return name.replace("-", "")
