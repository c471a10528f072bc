"""Reconcile: two sides of the same data are compared by key; what a context did not receive is counted."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db.models import CharField, F, Value

from inventory.models import StockItem
from microworkflows import past
from microworkflows.bridging import Comparison, comparing, receipts
from microworkflows.bridging.comparing import IncomparableError, compare
from microworkflows.cloudevents import MARK
from microworkflows.cutover.stamps import DONE
from microworkflows.errors import PermanentError
from microworkflows.models import OutboxEvent
from microworkflows.testing import Flow
from microworkflows.unreceived import Missing
from orders.models import Product
from tests.unit.test_timers import QUARTER, invoices, sent  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db(transaction=True)

LEFT, RIGHT = "orders.Product in default", "inventory.StockItem in default"


@pytest.fixture
def comparison() -> Comparison:
    return Comparison(
        left=Product.objects.values("sku", kept=F("name"), has=F("price")),
        right=StockItem.objects.values("sku", kept=F("reserved"), has=F("on_hand")),
        key="sku",
    )


def products(*skus: str, name: str = "0", price: int = 3) -> None:
    Product.objects.bulk_create(Product(sku=sku, name=name, price=price) for sku in skus)


def stock(*skus: str, reserved: int = 0, on_hand: int = 3) -> None:
    StockItem.objects.bulk_create(StockItem(sku=sku, reserved=reserved, on_hand=on_hand) for sku in skus)


@pytest.mark.parametrize("at_once", [2, 1_000])
def test_rows_and_values_that_differ_are_counted_by_what_differs(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(comparing, "_AT_ONCE", at_once)
    products("A", "B", "C", "LEFT-1", "LEFT-2")
    products("D", name="1")
    stock("A", "B", "D", "RIGHT")
    stock("C", on_hand=2, reserved=2)

    found = compare(comparison)

    assert found.compared == 7
    assert found.counts == {f"only {LEFT}": 2, f"only {RIGHT}": 1, "kept": 2, "has": 1}
    assert {each.key for each in found.examples["kept"]} == {"C", "D"}
    (quantity,) = found.examples["has"]
    assert (quantity.key, quantity.left, quantity.right) == ("C", 3, 2)


def test_sides_that_agree_have_no_differences(comparison: Comparison) -> None:
    products("A", "B")
    stock("A", "B")

    found = compare(comparison)

    assert (found.compared, found.counts.total()) == (2, 0)


def test_what_was_under_way_does_not_count(comparison: Comparison) -> None:
    products("A", "B", "GONE", "LATE", "STAYS")
    stock("A")

    def meanwhile(seconds: float) -> None:
        assert seconds == 5
        stock("LATE", "B")
        Product.objects.filter(sku="GONE").delete()

    found = compare(comparison, settle=5, sleep=meanwhile)

    assert found.is_settled
    assert found.counts == {f"only {LEFT}": 1}
    assert [each.key for each in found.examples[f"only {LEFT}"]] == ["STAYS"]
    assert found.compared == 5


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_key_that_one_side_has_twice_is_a_difference_of_its_own(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(comparing, "_AT_ONCE", at_once)
    products("A", "B", name="1")
    products("C", name="2")
    stock("X", on_hand=1)
    stock("Y", on_hand=2)

    found = compare(
        Comparison(
            left=Product.objects.values(code=F("name")),
            right=StockItem.objects.values(code=F("on_hand")),
            key="code",
        )
    )

    assert found.counts == {f"more than once in {LEFT}": 1}
    assert found.compared == 2


def test_values_of_two_types_that_read_the_same_do_not_differ() -> None:
    products("A")
    stock("A")
    number = UUID(int=7)
    left = Product.objects.values("sku").annotate(
        n=Value(str(number)), none=Value(None, output_field=CharField())
    )
    right = StockItem.objects.values("sku").annotate(n=Value(str(number)), none=Value("None"))

    found = compare(Comparison(left=left, right=right, key="sku"))

    assert found.counts == {"none": 1}
    assert comparing._same(number, str(number))
    assert not comparing._same("1.0", "1.00")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"left": Product.objects.all()}, "gives Product without a value 'sku'"),
        ({"left": Product.objects.values("name")}, "gives dict without a value 'sku'"),
        ({"left": [{"sku": "A"}]}, "A side is list"),
        ({"left": Product.objects.values("sku")}, "has the values sku, and .* has has, kept, sku"),
        (
            {"left": Product.objects.values(code=Value(None, output_field=CharField())), "key": "code"},
            "has rows whose code is empty",
        ),
        (
            {
                "left": Product.objects.values(code=F("name")),
                "right": StockItem.objects.values(code=F("on_hand")),
                "key": "code",
            },
            "has no code like those of the other side",
        ),
    ],
)
def test_sides_that_cannot_be_compared_are_told_what_is_wrong(
    comparison: Comparison, given: dict[str, Any], why: str
) -> None:
    products("A")
    products("B", name="no number")
    stock("A")

    with pytest.raises(IncomparableError, match=why):
        compare(Comparison(**{"left": comparison.left, "right": comparison.right, "key": "sku", **given}))


@pytest.fixture
def path(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("comparisons")
    module.__dict__.update(stock=comparison, made=lambda: comparison, nothing=3)
    monkeypatch.setitem(sys.modules, "comparisons", module)
    return "comparisons.stock"


def test_command_groups_the_differences_and_shows_values_on_request(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    products("A", "B")
    stock("A")
    stock("B", on_hand=2)

    with pytest.raises(CommandError, match="Something differs") as ended:
        call_command("reconcile", path, settle=0)

    assert ended.value.returncode == 1
    said = capsys.readouterr().out
    assert f"comparisons.stock: {LEFT} and {RIGHT}, 2 keys, 1 differences\n         1  has: B\n" in said

    with pytest.raises(CommandError):
        call_command("reconcile", "comparisons.made", settle=0, values=True)

    assert "has: B (3.00 → 2)" in capsys.readouterr().out

    StockItem.objects.update(on_hand=3)
    call_command("reconcile", path)

    assert "2 keys, 0 differences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "Name a COMPARISON"),
        (["comparisons.lost"], "comparisons.lost: "),
        (["comparisons.nothing"], "is int; it must be a .*Comparison"),
        (["--context", "desk", "--database", "elsewhere"], "DATABASES has no 'elsewhere'"),
        (["--context", "nobody"], "nobody has no microworkflow that is known here"),
    ],
)
def test_command_that_is_given_wrong_says_so_with_a_code_of_its_own(
    post: SimpleNamespace, path: str, given: list[str], why: str
) -> None:
    with pytest.raises(CommandError, match=why) as ended:
        call_command("reconcile", *given)

    assert ended.value.returncode == 2


# Receipts

LETTER = "letters.letter_written.v1"


@pytest.fixture
def letters(post: SimpleNamespace, flow: Flow) -> Callable[..., list[OutboxEvent]]:
    """Return a function that records letters, which have the status given."""

    def write(number: int, status: OutboxEvent.Status = OutboxEvent.Status.RELAYED, **body: str) -> list[Any]:
        ids = [flow.record(post.LetterWritten(letter_id=uuid4())).id for _ in range(number)]
        rows = list(OutboxEvent.objects.filter(pk__in=ids).order_by("pk"))
        for row in rows:
            row.status, row.body = status, {**row.body, **body}
            row.save(update_fields=["status", "body"])
        return rows

    return write


def test_events_that_a_context_has_not_received_are_counted_with_what_mends_it(
    post: SimpleNamespace,
    letters: Callable[..., list[OutboxEvent]],
    flow: Flow,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (handled, *_) = letters(3)
    flow.deliver(handled)
    letters(1, OutboxEvent.Status.PENDING)
    letters(1, **{MARK: DONE})
    letters(1, **{MARK: past.mark()})
    post.fail = PermanentError("no stamp")
    (parked,) = letters(1)
    flow.deliver(parked)
    now = datetime.now(UTC)

    found = receipts.of(
        "desk", database="default", since=now - timedelta(hours=1), until=now + timedelta(minutes=1)
    )

    missing = Missing(LETTER, "desk.stamp_letter")
    assert (found.received, found.missing, found.unrelayed) == (2, {missing: 2}, {missing: 1})
    assert (found.flows, found.waiting, found.parked) == (3, 0, 1)

    with pytest.raises(CommandError) as ended:
        call_command("reconcile", context="desk", minutes=0)

    assert ended.value.returncode == 1
    said = capsys.readouterr().out
    assert "desk: 2 deliveries received, 2 missing, 1 not relayed yet, in 3 flows" in said
    assert f"2  missing: {LETTER}  desk.stamp_letter" in said
    assert "manage.py relay --again --since " in said
    assert "Start the relay of letters;" in said
    assert "1 messages are parked there and 0 wait: `manage.py replay --context desk`" in said


def test_context_that_has_everything_is_well(
    post: SimpleNamespace, letters: Callable[..., list[OutboxEvent]], flow: Flow
) -> None:
    for row in letters(2):
        flow.deliver(row)

    call_command("reconcile", context="desk", minutes=0)


def test_event_that_is_too_young_may_be_under_way(
    post: SimpleNamespace, letters: Callable[..., list[OutboxEvent]]
) -> None:
    letters(2)

    call_command("reconcile", context="desk")


def test_timer_is_unrelayed_until_it_is_due_and_not_missing_once_cancelled(
    invoices: SimpleNamespace,  # noqa: F811
    flow: Flow,
) -> None:
    since, until = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    bill = sent(invoices, flow)
    waiting = receipts.of("billing", database="default", since=since, until=until)
    flow.record(invoices.BillPaid(bill=bill), correlation_id="bill-1")
    flow.run()
    flow.wait(QUARTER)

    cancelled = receipts.of("billing", database="default", since=since, until=until)

    assert sum(waiting.unrelayed.values()) == 1
    assert (cancelled.missing, cancelled.unrelayed) == ({}, {})
