"""What an earlier version left behind is finished by today's code: each order once, alone or beside an old worker."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker, Settings

from microworkflows.cutover.models import ModeChange, ShadowComparison
from microworkflows.models import InboxEvent, OutboxEvent
from orders.models import Order
from tests.upgrade import books, databases
from tests.upgrade import settings as monolith
from tests.upgrade.frozen import VERSIONS, Frozen, unpack_code
from tests.upgrade.running import QUEUES, Shop

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

every_version = pytest.mark.parametrize("version", VERSIONS)

MUG, SOLD_OUT, VISA, DECLINED = "MUG-STONE-350", "CUP-RAKU-LTD", "tok_visa", "tok_declined"


class Restored:
    """A frozen state in a database that this process works on too, and in a broker."""

    def __init__(self, frozen: Frozen, shop: Shop, *, queues: list[str]) -> None:
        self.expected = frozen.expected
        self.shop = shop
        self.queues = queues
        frozen.restore(database=shop.database, broker=shop.broker)
        self.errors = books.errors()
        shop.migrate()

    def wait(self, *, parked: str = "parked") -> None:
        """Wait until nothing is left to do but to look after what is parked."""
        look = partial(books.left_to_do, self.shop.broker, self.queues, parked=self.expected[parked])
        books.wait_until_nothing_is_left(look)


@pytest.fixture
def at_the_end(django_db_blocker: DjangoDbBlocker) -> Iterator[ExitStack]:
    with django_db_blocker.unblock(), ExitStack() as stack:
        yield stack


def restored(
    version: str, state: str, folder: Path, at_the_end: ExitStack, *, broker: str = "", **options: Any
) -> Restored:
    """Restore a state, in PostgreSQL and RabbitMQ if the URL of a broker is given, else in files."""
    database = f"sqlite:///{folder / 'db.sqlite3'}"
    if broker:
        database = at_the_end.enter_context(databases.postgresql())
    shop = Shop(folder, database=database, broker=broker or f"embedded://{folder / 'broker'}", **options)
    at_the_end.callback(shop.end)
    queues = [*QUEUES, "monolith"] if state == "monolith" else QUEUES
    frozen = Frozen(version, state)
    at_the_end.enter_context(databases.used_here(database))
    return Restored(frozen, shop, queues=queues)


def finish(restored: Restored, ends: Mapping[str, str]) -> None:
    """Let today's worker finish what was left, replay what is parked, and look at the books."""
    worker = restored.shop.worker(restored.queues)
    restored.wait()
    assert restored.errors
    assert restored.errors.items() <= books.errors().items()
    assert {
        name: OutboxEvent.objects.unheard().of_type(name).count() for name in restored.expected["unheard"]
    } == restored.expected["unheard"]
    listed = restored.shop.run("-m", "django", "dead_letters")
    assert {
        queue: int(count) for count, queue in re.findall(r"(\d+)  (\w+\.dead)", listed) if int(count)
    } == restored.expected["dead letters"]

    call_command("replay", all=True, verbosity=0)
    restored.wait(parked="parked for good")

    assert worker.stop() == 0, worker.output
    books.assert_each_order_was_done_once(ends, stock=restored.expected["stock"])


@every_version
def test_new_code_finishes_what_was_left_in_files(
    version: str, tmp_path: Path, at_the_end: ExitStack
) -> None:
    left = restored(version, "shop", tmp_path, at_the_end)

    finish(left, left.expected["ends"])


@every_version
@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_new_code_finishes_what_was_left_on_servers(
    version: str, tmp_path: Path, at_the_end: ExitStack, broker_url: str
) -> None:
    left = restored(version, "shop", tmp_path, at_the_end, broker=broker_url)

    finish(left, left.expected["ends"])


@every_version
@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_old_worker_and_new_worker_work_side_by_side(
    version: str, tmp_path: Path, at_the_end: ExitStack, broker_url: str
) -> None:
    left = restored(version, "shop", tmp_path, at_the_end, broker=broker_url)
    old_code = unpack_code(version, tmp_path / "old")
    wishes = {"shipped": (MUG, VISA), "payment_declined": (MUG, DECLINED), "out_of_stock": (SOLD_OUT, VISA)}
    ends = dict(left.expected["ends"])

    def place(who: str, *, code: Path | None = None) -> None:
        orders = {f"{who} {number}, {end}": wishes[end] for number in range(2) for end in wishes}
        ends.update((name, name.partition(", ")[2]) for name in orders)
        left.shop.place(orders, code=code)

    old, new = left.shop.worker(code=old_code), left.shop.worker()
    place("by the old code", code=old_code)
    place("by the new code")
    left.wait()
    assert " handled " in old.output
    assert " handled " in new.output
    place("by the old code at last", code=old_code)
    assert old.stop() == 0, old.output
    place("by the new code alone")
    left.wait()
    call_command("replay", all=True, verbosity=0)
    left.wait(parked="parked for good")

    assert new.stop() == 0, new.output
    books.assert_each_order_was_done_once(ends, stock=left.expected["stock"])


@every_version
@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_flows_that_are_cut_over_are_finished_as_they_were_stamped(
    version: str, tmp_path: Path, at_the_end: ExitStack, broker_url: str, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = monolith.MICROWORKFLOWS
    left = restored(version, "monolith", tmp_path, at_the_end, broker=broker_url, settings=monolith.__name__)
    changes = list(ModeChange.objects.values_list())
    left.shop.place({"placed by the new code": (MUG, VISA)})

    finish(left, {**left.expected["ends"], "placed by the new code": "shipped"})

    flows = {str(pk): name for pk, name in Order.objects.values_list("pk", "customer_name")}
    modes = defaultdict(set)
    for row in InboxEvent.objects.all():
        kind = flows[row.correlation_id].partition(",")[0]
        modes[kind, row.context].add(row.headers.get("mode", "live"))
    assert {key: found for key, found in modes.items() if key[0] != "placed by the new code"} == {
        **{("inline", context): {"inline"} for context in QUEUES},
        **{("payments live", context): {"inline"} for context in QUEUES},
        ("payments live", "payments"): {"live"},
        **{("payments in shadow", context): {"inline"} for context in QUEUES},
        ("payments in shadow", "payments"): {"shadow"},
        ("payments in shadow", "inventory"): {"live"},
        **{("live", context): {"live"} for context in QUEUES},
    }
    assert Counter(ShadowComparison.objects.values_list("workflow", "outcome")) == {
        ("payments.take_payment", "agreed"): 3,
        ("payments.take_payment", "differs"): 1,
        ("payments.refund_payment", "agreed"): 1,
    }
    assert list(ModeChange.objects.values_list()) == changes
