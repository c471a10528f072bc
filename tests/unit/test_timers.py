"""Timers: recorded now, sent when they are due, unless an event of their flow cancels them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils.safestring import SafeString

from microworkflows import (
    DomainEvent,
    IncomingEvent,
    Later,
    accounts,
    drift,
    flows,
    gone,
    ids,
    in_flight,
    journeys,
    microworkflow,
    outbox,
    overviews,
    purging,
    registry,
    times,
    unreceived,
)
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import UndeclaredEventError, UnrecordableEventError
from microworkflows.journeys import RelayStatus
from microworkflows.models import OutboxEvent
from microworkflows.relay import store
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

QUARTER = timedelta(minutes=15)


@pytest.fixture
def invoices(empty_registry: None) -> SimpleNamespace:
    """A bill is sent, and a reminder follows after a quarter of an hour, unless it was paid; the cashier tells of that."""

    class BillSent(DomainEvent, type="billing.bill_sent.v1"):
        bill: UUID

    class BillOverdue(DomainEvent, type="billing.bill_overdue.v1"):
        bill: UUID

    class BillPaid(DomainEvent, type="cashier.bill_paid.v1"):
        bill: UUID

    class PaidAtBilling(IncomingEvent, type="cashier.bill_paid.v1"):
        bill: UUID

    made = SimpleNamespace(reminded=[], paid=[], **{each.__name__: each for each in (BillSent, BillOverdue)})
    made.BillPaid, made.PaidAtBilling = BillPaid, PaidAtBilling

    @microworkflow(on=BillSent, emits=[BillOverdue], context="billing")
    def watch(event: BillSent) -> Later:
        return Later(BillOverdue(bill=event.bill), QUARTER, unless=[PaidAtBilling])

    @microworkflow(on=BillOverdue, context="billing")
    def remind(event: BillOverdue) -> None:
        made.reminded.append(event.bill)

    @microworkflow(on=PaidAtBilling, context="billing")
    def close(event: PaidAtBilling) -> None:
        made.paid.append(event.bill)

    made.watch = watch
    return made


def sent(invoices: SimpleNamespace, flow: Flow, number: str = "bill-1") -> UUID:
    bill = uuid4()
    flow.record(invoices.BillSent(bill=bill), correlation_id=number)
    flow.run()
    return bill


def timer() -> OutboxEvent:
    return OutboxEvent.objects.get(destination="billing.bill_overdue.v1")


def be_overdue(row: OutboxEvent) -> None:
    """Let a timer have been due an hour ago."""
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    OutboxEvent.objects.filter(pk=row.pk).update(
        id=ids.uuid7_at(an_hour_ago), expires_at=times.stored(an_hour_ago)
    )


def status_of(row: OutboxEvent) -> Any:
    return OutboxEvent.objects.get(pk=row.pk).status


def test_timer_is_sent_when_it_is_due_and_not_before(invoices: SimpleNamespace, flow: Flow) -> None:
    bill = sent(invoices, flow)

    flow.wait(QUARTER - timedelta(seconds=30))
    flow.run()
    before = list(invoices.reminded)
    flow.wait(QUARTER)
    flow.run()
    flow.wait(QUARTER)
    flow.run(times=2)

    assert before == []
    assert invoices.reminded == [bill]


def test_event_of_the_flow_cancels_the_timer_whether_it_comes_before_or_after(
    invoices: SimpleNamespace, flow: Flow
) -> None:
    paid_after, paid_before, unpaid = uuid4(), uuid4(), uuid4()
    flow.record(invoices.BillSent(bill=paid_after), correlation_id="after")
    flow.run()
    flow.record(invoices.BillPaid(bill=paid_after), correlation_id="after")
    flow.record(invoices.BillPaid(bill=paid_before), correlation_id="before")
    flow.run()
    flow.record(invoices.BillSent(bill=paid_before), correlation_id="before")
    flow.record(invoices.BillSent(bill=unpaid), correlation_id="unpaid")
    flow.run()

    flow.wait(QUARTER)
    flow.run()

    assert invoices.reminded == [unpaid]
    assert OutboxEvent.objects.filter(status=OutboxEvent.Status.CANCELLED).count() == 2


def test_event_that_another_service_recorded_cancels_by_being_received(
    invoices: SimpleNamespace, flow: Flow
) -> None:
    bill = sent(invoices, flow)
    flow.record(invoices.BillPaid(bill=bill), correlation_id="bill-1")
    flow.run()
    OutboxEvent.objects.filter(destination="cashier.bill_paid.v1").delete()  # as if its outbox were elsewhere

    flow.wait(QUARTER)
    flow.run()

    assert invoices.reminded == []
    assert status_of(timer()) == OutboxEvent.Status.CANCELLED


def test_id_and_time_of_a_timer_are_those_at_which_it_is_due(invoices: SimpleNamespace) -> None:
    at = datetime.now(UTC) + timedelta(days=3)
    with transaction.atomic():
        meta = outbox.record(invoices.BillOverdue(bill=uuid4()), at=at)
    later = ids.uuid7()

    row = timer()

    assert (meta.time, meta.is_timer, row.pk) == (at, True, meta.id)
    assert abs(ids.timestamp(meta.id) - at) < timedelta(milliseconds=2)
    assert meta.id > later
    assert row.recorded_at == row.due_at == at
    assert row.body["microworkflowstimer"] is True
    assert CloudEvent.from_dict(row.body).meta == meta


def test_timers_join_the_order_of_events_when_they_are_due(invoices: SimpleNamespace, flow: Flow) -> None:
    with transaction.atomic():
        for minutes in (3, 1, 2):
            outbox.record(Later(invoices.BillOverdue(bill=UUID(int=minutes)), timedelta(minutes=minutes)))
    flow.record(invoices.BillSent(bill=UUID(int=0)))

    flow.wait(timedelta(minutes=5))
    due = store.due_events("billing", limit=10, now=times.now())

    assert [UUID(json.loads(each.body)["data"]["bill"]).int for each in due.messages] == [0, 1, 2, 3]


def test_time_in_the_past_is_due_at_once(invoices: SimpleNamespace, flow: Flow) -> None:
    bill = uuid4()
    with transaction.atomic():
        meta = outbox.record(invoices.BillOverdue(bill=bill), at=datetime(1789, 7, 14, tzinfo=UTC))

    store.fire_timers("billing")
    flow.run()

    assert invoices.reminded == [bill]
    assert abs(datetime.now(UTC) - meta.time) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (datetime(2030, 1, 1), "has no time zone"),  # noqa: DTZ001
        (timedelta(seconds=-1), "lies in the past"),
        (timedelta(days=4_000), "more than ten years ahead"),
        (datetime(9999, 1, 1, tzinfo=UTC), "more than ten years ahead"),
    ],
)
def test_time_that_cannot_be_meant_is_refused(
    invoices: SimpleNamespace, when: timedelta | datetime, said: str
) -> None:
    with pytest.raises(UnrecordableEventError, match=said):
        Later(invoices.BillOverdue(bill=uuid4()), when)


def test_event_that_is_sent_at_once_cannot_be_cancelled(invoices: SimpleNamespace) -> None:
    with transaction.atomic(), pytest.raises(TypeError, match="Give at= as well"):
        outbox.record(invoices.BillOverdue(bill=uuid4()), unless=[invoices.PaidAtBilling])


def test_event_that_the_context_does_not_hear_cannot_cancel(
    invoices: SimpleNamespace, post: SimpleNamespace
) -> None:
    with pytest.raises(
        UnrecordableEventError, match=r"neither announces nor hears letters\.letter_written\.v1"
    ):
        Later(invoices.BillOverdue(bill=uuid4()), QUARTER, unless=[post.LetterWritten])


def test_microworkflow_returns_later_only_what_it_declares(invoices: SimpleNamespace, flow: Flow) -> None:
    @microworkflow(on=invoices.PaidAtBilling, context="billing")
    def thank(event: Any) -> Later:
        return Later(invoices.BillOverdue(bill=event.bill), QUARTER)

    with pytest.raises(UndeclaredEventError, match="BillOverdue"):
        thank.handle(invoices.PaidAtBilling(bill=uuid4()))
    assert invoices.watch(invoices.BillSent(bill=UUID(int=1))) == Later(
        invoices.BillOverdue(bill=UUID(int=1)), QUARTER, unless=[invoices.PaidAtBilling]
    )


def test_timer_of_a_transaction_that_rolls_back_was_never_recorded(invoices: SimpleNamespace) -> None:
    with transaction.atomic():
        outbox.record(invoices.BillOverdue(bill=uuid4()), at=datetime.now(UTC) + QUARTER)
        transaction.set_rollback(True)

    assert not OutboxEvent.objects.exists()


def test_all_versions_of_a_timer_are_due_together_and_handled_once(empty_registry: None, flow: Flow) -> None:
    class Rung(DomainEvent, type="clock.rung.v1"):
        """The alarm rang."""

    class RungV2(DomainEvent, type="clock.rung.v2", previous=Rung):
        loud: bool

        def to_previous(self) -> Rung:
            return Rung()

    heard: list[DomainEvent] = []

    @microworkflow(on=Rung, context="ear")
    def hear(event: Rung) -> None:
        heard.append(event)

    @microworkflow(on=RungV2, context="eye")
    def see(event: RungV2) -> None:
        heard.append(event)

    meta = flow.record(Later(RungV2(loud=True), timedelta(hours=8)))
    before = [row.status for row in OutboxEvent.objects.all()]

    flow.wait(timedelta(hours=8))
    flow.run()

    assert before == [OutboxEvent.Status.SCHEDULED] * 2
    assert meta.type == "clock.rung.v2"
    assert sorted(map(repr, heard)) == ["Rung()", "RungV2(loud=True)"]


def test_next_timer_of_a_context_is_known_with_its_time(invoices: SimpleNamespace) -> None:
    none = store.seconds_to_next_timer("billing")
    with transaction.atomic():
        for minutes in (9, 1):
            outbox.record(Later(invoices.BillOverdue(bill=uuid4()), timedelta(minutes=minutes)))

    left = store.seconds_to_next_timer("billing")

    assert none is None
    assert left is not None
    assert 0 < left < 61  # by the database's clock
    assert store.seconds_to_next_timer("cashier") is None


def test_timers_lie_in_an_index_of_their_own(db: None) -> None:
    if connection.vendor == "postgresql":
        statement = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'published'"
    else:
        statement = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'published'"
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = dict(cursor.fetchall())

    assert "status = 5" in found["microworkflows_scheduled"]
    assert "status <> 2" not in found["microworkflows_unrelayed"]


def test_journey_says_when_a_timer_is_due_and_that_it_was_cancelled(
    invoices: SimpleNamespace, flow: Flow
) -> None:
    bill = sent(invoices, flow)
    waits = journeys.journey("bill-1")
    flow.record(invoices.BillPaid(bill=bill), correlation_id="bill-1")
    flow.run()

    cancelled = journeys.journey("bill-1")

    (due,) = (step for step in waits.steps if step.type == "billing.bill_overdue.v1")
    assert (due.relay.status, due.relay.due_at, due.deliveries) == (
        RelayStatus.SCHEDULED,
        due.recorded_at,
        (),
    )
    assert (due.emitted_by, waits.open) == ("billing.watch", True)
    assert {step.relay.status for step in cancelled.steps if step.id == due.id} == {RelayStatus.CANCELLED}
    assert (cancelled.duration or QUARTER) < QUARTER
    assert cancelled.settled
    flow.wait(QUARTER)
    assert journeys.journey("bill-1").settled


def test_account_of_a_flow_says_when_a_timer_is_due(invoices: SimpleNamespace, flow: Flow) -> None:
    sent(invoices, flow)

    account = accounts.account("bill-1")

    assert account is not None
    due_at = timer().due_at
    texts = [line.text for line in account.lines]
    assert f"Bill overdue (scheduled, due at {times.local(due_at):%H:%M:%S})" in texts
    plain: Any = account.plain
    assert [each["due_at"] for each in plain["events"]] == [None, due_at.isoformat()]


def test_overview_beyond_this_database_is_told_with_the_timers_here(
    invoices: SimpleNamespace, flow: Flow, login: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Beyond(overviews.Overview):
        def account(self, term: str) -> overviews.Account:
            return overviews.Account(title="", summary="", lines=[], plain={"correlation_id": term})

        def picture(self, request: Any, correlation_id: str) -> overviews.Picture:
            return overviews.Picture(title="", summary=SafeString("Done."), body=SafeString(), ended=True)

    monkeypatch.setattr(overviews, "overview", Beyond())
    sent(invoices, flow)

    account, of_another = accounts.account("bill-1"), accounts.account("bill-2")
    page = login("view_outboxevent").get(reverse("admin:microworkflows_journey", args=["bill-1"]))

    assert account is not None
    assert of_another is not None
    assert account.hints == [f"  Bill overdue is due at {times.local(timer().due_at):%H:%M:%S}."]
    assert [each["type"] for each in account.plain["timers"]] == ["billing.bill_overdue.v1"]
    assert (of_another.hints, of_another.plain) == ((), {"correlation_id": "bill-2"})
    assert "Bill overdue is due at" in page.content.decode()


def test_admin_shows_a_timer_with_its_time(
    invoices: SimpleNamespace, flow: Flow, login: Callable[..., Client]
) -> None:
    sent(invoices, flow)
    client = login("view_outboxevent")

    page = client.get(reverse("admin:microworkflows_outboxevent_change", args=[timer().pk])).content.decode()
    listed = client.get(
        reverse("admin:microworkflows_outboxevent_changelist"), {"status": "scheduled"}
    ).content.decode()
    journey = client.get(reverse("admin:microworkflows_journey", args=["bill-1"])).content.decode()
    until_now, searched = (
        client.get(reverse("admin:microworkflows_outboxevent_changelist"), query).content.decode()
        for query in ({}, {"q": "bill-1"})
    )

    assert f"{times.local(timer().due_at):%H:%M:%S}" in page
    assert "Bill overdue" in listed
    assert "Bill sent" not in listed
    assert "Due at <time" in journey
    assert "Bill sent" in until_now
    assert "Bill overdue" not in until_now
    assert "Bill overdue" in searched


def test_timer_is_not_pending(invoices: SimpleNamespace, flow: Flow) -> None:
    sent(invoices, flow)

    assert not OutboxEvent.objects.pending().exists()


def test_timer_that_is_overdue_is_told_as_what_waits_for_a_relay(
    invoices: SimpleNamespace, flow: Flow
) -> None:
    sent(invoices, flow)
    before = journeys.absences(journeys.journey("bill-1"))
    be_overdue(timer())

    assert before == ()
    assert [each.context for each in journeys.absences(journeys.journey("bill-1"))] == ["billing"]


def test_purge_spares_the_flow_of_a_timer_and_deletes_a_cancelled_one(
    invoices: SimpleNamespace, flow: Flow
) -> None:
    bill = sent(invoices, flow)
    now = times.now() + timedelta(days=400)

    waiting = purging.purge(now=now, rest=lambda _: None)
    left = OutboxEvent.objects.count()
    flow.record(invoices.BillPaid(bill=bill), correlation_id="bill-1")
    flow.run()
    flow.wait(QUARTER)
    purging.purge(now=now, rest=lambda _: None)

    assert (waiting.outbox, left) == (0, 2)
    assert not OutboxEvent.objects.exists()


def test_relaying_again_passes_over_timers(invoices: SimpleNamespace, flow: Flow) -> None:
    sent(invoices, flow)
    cancelled = sent(invoices, flow, "bill-2")
    flow.record(invoices.BillPaid(bill=cancelled), correlation_id="bill-2")
    flow.run()
    store.fire_timers("billing", ahead=QUARTER)
    OutboxEvent.objects.pending().update(status=OutboxEvent.Status.SCHEDULED)

    number = store.relay_again(
        ["billing"], types=["billing.bill_overdue.v1"], since=datetime(2020, 1, 1, tzinfo=UTC)
    )

    assert number == 0


def test_what_is_in_flight_holds_timers_against_the_code(invoices: SimpleNamespace, flow: Flow) -> None:
    sent(invoices, flow)
    with registry.isolated():
        registry.clear()

        found = in_flight.look()

    assert found.looked_at["scheduled"] == 1
    assert [problem.kind for problem in found.problems if problem.state == "scheduled"] == ["unknown"]


def test_timers_of_a_context_that_is_gone_are_counted(invoices: SimpleNamespace, flow: Flow) -> None:
    sent(invoices, flow)
    with registry.isolated():
        registry.clear()

        (rows,) = gone.events()

    assert rows == gone.Rows("billing", "scheduled", 1)


def test_timer_that_is_not_due_or_cancelled_is_not_counted_as_unreceived(
    invoices: SimpleNamespace, flow: Flow
) -> None:
    bill = sent(invoices, flow)
    since, until = times.now() - timedelta(days=1), times.now() + timedelta(days=1)
    assert not unreceived.count(since=since, until=until)
    flow.record(invoices.BillPaid(bill=bill), correlation_id="bill-1")
    flow.run()
    flow.wait(QUARTER)

    assert not unreceived.count(since=since, until=until)


def test_handled_event_names_no_timer_to_the_guests(
    invoices: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(flows, "has_guests", lambda: True)
    monkeypatch.setattr(flows, "handled", lambda attempt, emitted: told.append((attempt.consumer, emitted)))

    sent(invoices, flow)

    assert told == [("billing.watch", [])]


def test_edge_of_a_timer_is_seen_though_it_is_not_sent(
    invoices: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = drift.Observer()
    monkeypatch.setattr(flows, "_guests", [observer])

    sent(invoices, flow)

    assert drift.edge("billing.watch", "billing.bill_overdue.v1") in observer.observed
