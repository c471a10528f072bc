"""Bootstrap: rows of the past become events, each once; only who wants the past acts on it."""

import logging
import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import router
from pytest_django import Settings

from microworkflows import Subject, microworkflow, past, recording, registry, unreceived
from microworkflows.bridging import Past, bootstrapping, checks
from microworkflows.bridging.models import Bootstrapped
from microworkflows.cloudevents import MARK, CloudEvent
from microworkflows.cutover.stamps import Stamp
from microworkflows.errors import UnreadableMarkError
from microworkflows.flows import Router
from microworkflows.journeys import journey
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders.models import Product
from payments.models import Payment
from tests.unit.shop.conftest import Draft

TYPE = "letters.letter_written.v1"
LETTERS = [UUID(int=number) for number in range(1, 8)]

Query = Callable[[Callable[[], Iterable[Any]]], str]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def query(monkeypatch: pytest.MonkeyPatch) -> Query:
    """Return a function that gives another one the dotted path ``old_letters.written``."""

    def make(function: Callable[[], Iterable[Any]]) -> str:
        module = ModuleType("old_letters")
        module.__dict__["written"] = function
        monkeypatch.setitem(sys.modules, "old_letters", module)
        return "old_letters.written"

    return make


@pytest.fixture
def read(post: SimpleNamespace) -> SimpleNamespace:
    """A context ``search``, which wants the past, beside the desk, which does not; ``post.read`` tells what it got."""
    post.read = []

    @microworkflow(on=post.WrittenAtDesk, context="search", bootstrap=True)
    def index_letter(event: Any) -> None:
        post.read.append(event)

    return post


@pytest.fixture
def letters(read: SimpleNamespace, query: Query) -> str:
    """The path of a function that yields seven letters."""
    return query(
        lambda: [
            (read.LetterWritten(letter_id=each), Subject(kind="letters.letter", key=each)) for each in LETTERS
        ]
    )


def test_rows_of_the_past_reach_in_their_order_who_wants_them_and_nobody_else(
    read: SimpleNamespace, letters: str, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("bootstrap", TYPE, query=letters)
    flow.run(times=2)

    assert [event.letter_id for event in read.read] == LETTERS
    assert read.calls == []  # the desk did not stamp them
    assert set(InboxEvent.objects.values_list("msg_id", flat=True)) == {
        f"search.index_letter:{event.meta.id}" for event in read.read
    }
    assert flow.parked == []
    said = capsys.readouterr().out
    assert "search.index_letter will act on them.\ndesk.stamp_letter will not.\n" in said
    assert "7 events recorded; 0 rows were recorded before." in said


def test_event_of_the_past_is_missed_by_nobody_and_its_journey_says_so(
    read: SimpleNamespace, letters: str, flow: Flow
) -> None:
    call_command("bootstrap", TYPE, query=letters)
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    now = datetime.now(UTC)
    span = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}

    assert unreceived.count(**span) == {unreceived.Missing(TYPE, "search.index_letter"): 7}

    flow.deliver(OutboxEvent.objects.order_by("pk")[0])

    assert unreceived.count(**span) == {unreceived.Missing(TYPE, "search.index_letter"): 6}
    found = journey(f"letters.letter:{LETTERS[0]}")
    assert [(each.label, str(each.status)) for each in found.deliveries] == [
        ("search.index_letter", "handled")
    ]


def test_second_run_records_only_what_is_new(
    read: SimpleNamespace, letters: str, flow: Flow, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("bootstrap", TYPE, query=letters)
    call_command("bootstrap", TYPE, query=letters)
    late = uuid4()
    query(
        lambda: [
            (read.LetterWritten(letter_id=each), Subject(kind="letters.letter", key=each))
            for each in [*LETTERS, late]
        ]
    )
    call_command("bootstrap", TYPE, query=letters)

    flow.run()

    assert [event.letter_id for event in read.read] == [*LETTERS, late]
    assert "1 events recorded; 7 rows were recorded before." in capsys.readouterr().out


def test_rows_of_a_query_are_recorded_while_it_is_read(
    read: SimpleNamespace, flow: Flow, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrapping, "_BATCH", 3)
    Product.objects.bulk_create(Product(sku=f"S{number}", name="Tea", price=3) for number in range(10))
    keys = list(Product.objects.order_by("pk").values_list("pk", flat=True))

    def written() -> Iterable[Any]:
        for product in Product.objects.order_by("pk").iterator(chunk_size=2):
            yield read.LetterWritten(letter_id=UUID(int=product.pk)), product

    call_command("bootstrap", TYPE, query=query(written))
    flow.run()

    assert [event.letter_id.int for event in read.read] == keys


def test_run_that_fails_between_two_batches_goes_on_where_it_was(
    read: SimpleNamespace, flow: Flow, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrapping, "_BATCH", 2)
    power = SimpleNamespace(fails=True)

    def written() -> Iterable[Any]:
        for number, each in enumerate(LETTERS):
            if power.fails and number == 5:
                raise KeyboardInterrupt
            yield Past(event=read.LetterWritten(letter_id=each), key=str(each))

    path = query(written)
    with pytest.raises(CommandError, match=r"4 events recorded.*Run it again to go on") as stopped:
        call_command("bootstrap", TYPE, query=path)
    assert stopped.value.returncode == 130

    power.fails = False
    call_command("bootstrap", TYPE, query=path)
    flow.run()

    assert [event.letter_id for event in read.read] == LETTERS


def test_event_and_mark_commit_together(
    read: SimpleNamespace, letters: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "store", store)

    with pytest.raises(CommandError):
        call_command("bootstrap", TYPE, query=letters)

    assert not Bootstrapped.objects.exists()


def test_one_context_alone_gets_what_is_recorded_for_it(
    read: SimpleNamespace, letters: str, flow: Flow
) -> None:
    filed = []

    @microworkflow(on=read.WrittenAtDesk, context="archive", bootstrap=True)
    def keep_letter(event: Any) -> None:
        filed.append(event.letter_id)

    call_command("bootstrap", TYPE, query=letters, only_for="archive")
    flow.run()

    assert (read.read, filed) == ([], LETTERS)

    # Those of another context are rows of their own.
    call_command("bootstrap", TYPE, query=letters, only_for="search")
    flow.run()

    assert ([event.letter_id for event in read.read], filed) == (LETTERS, LETTERS)


def test_what_follows_from_the_past_is_of_the_past(read: SimpleNamespace, letters: str, flow: Flow) -> None:
    @microworkflow(on=read.WrittenAtDesk, emits=[read.LetterStamped], context="desk", bootstrap=True)
    def note_stamp(event: Any) -> Any:
        return read.LetterStamped(letter_id=event.letter_id)

    call_command("bootstrap", TYPE, query=letters, only_for="desk")
    flow.run()

    assert len(flow.emitted(read.LetterStamped)) == len(LETTERS)
    assert read.calls == []  # the archive filed nothing


def test_again_records_every_row_anew(
    read: SimpleNamespace, letters: str, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("bootstrap", TYPE, query=letters)
    call_command("bootstrap", TYPE, query=letters, again=True)
    flow.run()

    assert [event.letter_id for event in read.read] == LETTERS * 2
    assert "7 rows of earlier runs count as new." in capsys.readouterr().out


def test_dry_run_counts_shows_the_first_and_records_nothing(
    read: SimpleNamespace, letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("bootstrap", TYPE, query=letters, dry_run=True)

    said = capsys.readouterr().out
    assert "7 events would be recorded; 0 rows were recorded before. Nothing was recorded." in said
    assert [str(each) in said for each in LETTERS] == [True] * 3 + [False] * 4
    assert not OutboxEvent.objects.exists()
    assert not Bootstrapped.objects.exists()

    call_command("bootstrap", TYPE, query=letters)
    call_command("bootstrap", TYPE, query=letters, dry_run=True)
    call_command("bootstrap", TYPE, query=letters, dry_run=True, again=True)

    said = capsys.readouterr().out
    assert "0 events would be recorded; 7 rows were recorded before." in said
    assert "7 events would be recorded; 0 rows were recorded before." in said


def test_rate_is_not_exceeded(read: SimpleNamespace, letters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(bootstrapping, "time", clock)

    call_command("bootstrap", TYPE, query=letters, rate=2)

    assert sum(slept) == pytest.approx(3.5)
    assert OutboxEvent.objects.count() == 7


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("batch", [2, 500])
def test_rows_that_cannot_be_told_apart_are_refused(
    read: SimpleNamespace, query: Query, monkeypatch: pytest.MonkeyPatch, dry_run: bool, batch: int
) -> None:
    monkeypatch.setattr(bootstrapping, "_BATCH", batch)
    twice = [*LETTERS[:3], LETTERS[0]]
    path = query(lambda: [read.LetterWritten(letter_id=each) for each in twice])

    with pytest.raises(CommandError, match="Two rows have the same values"):
        call_command("bootstrap", TYPE, query=path, dry_run=dry_run)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (lambda post: [3], "Row 1 of .* is int"),
        (
            lambda post: [post.LetterStamped(letter_id=uuid4())],
            "is .*LetterStamped. It must be a .*LetterWritten",
        ),
        (lambda post: None, "returned NoneType"),
        (
            lambda post: [
                Past(
                    event=post.LetterWritten(letter_id=uuid4()),
                    at=datetime.now(UTC) + timedelta(days=1),
                    key="1",
                )
            ],
            "row with the key 1 is of .* to come",
        ),
        (
            lambda post: [(post.LetterWritten(letter_id=uuid4()), Subject(kind="a", key=1)), (1, 2, 3)],
            "Row 2 of .* is tuple",
        ),
    ],
)
def test_function_that_yields_something_else_is_told_what_to_yield(
    read: SimpleNamespace, query: Query, found: Callable[[SimpleNamespace], Any], why: str
) -> None:
    path = query(lambda: found(read))

    with pytest.raises(CommandError, match=why):
        call_command("bootstrap", TYPE, query=path)

    assert not OutboxEvent.objects.exists()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"type": "letters.letter_lost.v1"}, "No context installed here announces letters.letter_lost.v1"),
        ({"query": "old_letters.burnt"}, "--from old_letters.burnt: "),
        ({"query": "microworkflows.past.MODE"}, "is no function"),
        ({"rate": 0}, "--rate 0 records nothing"),
        ({"only_for": "No Context"}, "is no label of a context"),
        ({"only_for": "desk"}, "No microworkflow of desk known here wants"),
    ],
)
def test_command_that_cannot_work_says_why(
    read: SimpleNamespace, letters: str, given: dict[str, Any], why: str
) -> None:
    asked = {"type": TYPE, "query": letters} | given

    with pytest.raises(CommandError, match=why):
        call_command("bootstrap", asked.pop("type"), **asked)

    assert not OutboxEvent.objects.exists()


def test_context_of_another_service_is_said_to_be_unknown(
    read: SimpleNamespace, letters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("bootstrap", TYPE, query=letters, only_for="elsewhere")

    assert "Who acts on them is unknown here: elsewhere is another service's." in capsys.readouterr().out
    assert set(OutboxEvent.objects.values_list(f"body__{MARK}", flat=True)) == {"bootstrapped:elsewhere"}


def test_event_of_the_past_tells_as_of_when_it_is_true(
    read: SimpleNamespace, query: Query, flow: Flow
) -> None:
    began = datetime.now(UTC)
    long_ago = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    path = query(
        lambda: [
            Past(event=read.LetterWritten(letter_id=LETTERS[0]), at=long_ago),
            Past(event=read.LetterWritten(letter_id=LETTERS[1])),
        ]
    )

    call_command("bootstrap", TYPE, query=path)
    flow.record(read.LetterWritten(letter_id=LETTERS[2]))
    flow.run()

    known, read_now, live = (event.meta for event in read.read)
    assert (known.as_of, live.as_of) == (long_ago, None)
    assert read_now.as_of is not None
    assert read_now.as_of < live.time
    assert known.time > began


@pytest.mark.postgres
def test_time_of_a_row_without_one_lies_before_each_transaction_that_is_still_open(
    read: SimpleNamespace, letters: str, database_url: str
) -> None:
    import psycopg

    with psycopg.connect(database_url) as other:
        ((began,),) = other.execute("SELECT now()").fetchall()

        call_command("bootstrap", TYPE, query=letters)

    (row, *_) = OutboxEvent.objects.all()
    assert CloudEvent.from_dict(row.body).meta.as_of <= began


@pytest.mark.parametrize("handed_over", [[], ["orders", "payments", "inventory", "shipping"]])
def test_old_orders_are_not_paid_again(
    draft: Draft, query: Query, flow: Flow, settings: Settings, handed_over: list[str]
) -> None:
    """Neither by the contexts nor by a monolith, nor does anything else follow from what somebody makes of them."""
    settings.MICROWORKFLOWS = {"CUTOVER": handed_over}
    from orders.events import OrderAccepted
    from payments.events import OrderAccepted as Read
    from payments.events import PaymentReceived

    indexed = []
    order = draft()
    with registry.isolated():

        @microworkflow(on=Read, context="reports", bootstrap=True)
        def count_order(event: Read) -> None:
            indexed.append(event.order_id)

        @microworkflow(on=Read, emits=[PaymentReceived], context="payments", bootstrap=True)
        def tell_payment(event: Read) -> PaymentReceived:
            return PaymentReceived(
                order_id=event.order_id, amount=event.total, currency=event.currency, payment_reference="old"
            )

        path = query(
            lambda: [
                (
                    OrderAccepted(
                        order_id=order.pk,
                        number=order.number,
                        total="12.00",
                        currency="EUR",
                        payment_token="tok_visa",
                        lines=[{"sku": "TEA-SENCHA-100", "quantity": 1}],
                        ship_to={"name": "A", "street": "B", "postcode": "C", "city": "D", "country": "DE"},
                    ),
                    order,
                )
            ]
        )

        call_command("bootstrap", "orders.order_accepted.v1", query=path)
        flow.run()

    assert indexed == [order.pk]
    order.refresh_from_db()
    assert order.is_draft
    assert not Payment.objects.exists()
    assert flow.types() == ["orders.order_accepted.v1", "payments.payment_received.v1"]


def test_context_without_anybody_who_wants_the_past_says_that_it_skips_it(
    read: SimpleNamespace, letters: str, flow: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    call_command("bootstrap", TYPE, query=letters)
    flow.run()

    assert sum("in this flow desk is bootstrapped" in message for message in caplog.messages) == 7


@pytest.mark.parametrize("only_for", ["", "search", "inline"])
def test_worker_that_does_not_know_the_mark_refuses_the_message_and_the_monolith_leaves_it(
    only_for: str,
) -> None:
    mark = past.mark(only_for=only_for)

    # As one whose core asks its router.
    with pytest.raises(UnreadableMarkError):
        Router().queue_for("payments", mark)
    # The stamps that 0.1 reads; all else is a dead letter there.
    assert re.fullmatch(r"done|[a-z_][a-z0-9_]*=(inline|shadow)", mark) is None
    assert Stamp.parse(mark).done


def test_marks_in_another_database_than_the_outbox_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_database(None) == []

    monkeypatch.setattr(router, "db_for_write", lambda model: "other" if model is Bootstrapped else "default")

    assert [found.id for found in checks.check_database(None)] == ["microworkflows.E068"]
