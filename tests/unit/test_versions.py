"""Two versions of one fact, by real outbox and inbox: whoever hears both acts once, on the newest."""

import json
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from microworkflows import (
    DomainEvent,
    IncomingEvent,
    bundling,
    drift,
    inbox,
    journeys,
    microworkflow,
    outbox,
    purging,
    registry,
    times,
    unreceived,
)
from microworkflows.checks import declarations
from microworkflows.cloudevents import FACT, FACT_TYPES, CloudEvent
from microworkflows.errors import InvalidCloudEventError
from microworkflows.events import in_all_versions
from microworkflows.flowmap import flow_map
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import versions
from microworkflows.relay.publisher import Batch, Message, Outcome
from microworkflows.testing import Flow, delivered

pytestmark = pytest.mark.django_db

V1, V2 = "letters.letter_priced.v1", "letters.letter_priced.v2"


@pytest.fixture
def priced(empty_registry: None) -> SimpleNamespace:
    """Letters announce their price in two versions; ``hear`` declares what code of the desk listens to."""

    class LetterPriced(DomainEvent, type=V1):
        number: int
        total: Decimal

    class LetterPricedV2(DomainEvent, type=V2, previous=LetterPriced):
        number: int
        net: Decimal
        tax: Decimal

        def to_previous(self) -> LetterPriced:
            return LetterPriced(number=self.number, total=self.net + self.tax)

    class Priced(IncomingEvent, type=V1):
        number: int
        total: Decimal

    class PricedV2(IncomingEvent, type=V2, previous=Priced):
        number: int
        net: Decimal
        tax: Decimal | None

        @classmethod
        def from_previous(cls, previous: Priced) -> "PricedV2":
            return cls(number=previous.number, net=previous.total, tax=None)

    class LetterBooked(DomainEvent, type="desk.letter_booked.v1"):
        number: int

    class LetterBookedV2(DomainEvent, type="desk.letter_booked.v2", previous=LetterBooked):
        number: int
        account: str

        def to_previous(self) -> LetterBooked:
            return LetterBooked(number=self.number)

    made = SimpleNamespace(**{name: each for name, each in locals().items() if isinstance(each, type)})
    made.calls = []
    made.declared = []

    def hear(on: Any, *, name: str = "book_letter", context: str = "desk") -> None:
        for each in [each for each in registry._workflows if each.label == f"{context}.{name}"]:
            registry._workflows.remove(each)
        registry._listening.clear()

        def book(event: Any) -> list[DomainEvent]:
            made.calls.append(event)
            if made.fail is not None:
                raise made.fail
            return [LetterBookedV2(number=event.number, account="1")] if context == "desk" else []

        book.__name__ = name
        microworkflow(on=on, emits=[LetterBookedV2] if context == "desk" else [], context=context)(book)

    made.hear, made.fail = hear, None
    made.event = LetterPricedV2(number=7, net=Decimal(10), tax=Decimal(2))
    return made


def _record(priced: SimpleNamespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Record the fact; return the bodies of the newer and the older version, as the relay publishes them."""
    with transaction.atomic():
        meta = outbox.record(priced.event)
    newer, older = OutboxEvent.objects.filter(destination__startswith="letters.").order_by("pk")
    assert (newer.type, older.type) == (V2, V1)
    assert meta.id == older.pk == newer.event_id == older.event_id
    assert meta.correlation_id == str(meta.id)
    return newer.body, older.body


def test_new_version_is_recorded_with_the_one_before_as_one_fact(priced: SimpleNamespace, flow: Flow) -> None:
    priced.hear([priced.Priced, priced.PricedV2])

    newer, older = _record(priced)
    flow.run()

    assert newer["id"] != older["id"] == newer[FACT] == older[FACT]
    assert newer[FACT_TYPES] == older[FACT_TYPES] == f"{V2} {V1}"
    assert older["data"] == {"number": 7, "total": "12"}
    read, before = CloudEvent.from_dict(newer), CloudEvent.from_dict(older)
    assert read.meta.id == before.meta.id == UUID(older["id"])
    assert (read.to_dict(), before.to_dict()) == (newer, older)
    assert priced.calls == [priced.PricedV2(number=7, net=Decimal(10), tax=Decimal(2))]
    booked = OutboxEvent.objects.filter(destination__startswith="desk.").order_by(
        "pk"
    )  # a returned event, too
    assert [(row.type, row.causation_id) for row in booked] == [
        ("desk.letter_booked.v2", older["id"]),
        ("desk.letter_booked.v1", older["id"]),
    ]
    assert {row.event_id for row in booked} == {booked[1].pk}


@pytest.mark.parametrize("newer_first", [True, False])
@pytest.mark.parametrize("bundled", [True, False])
def test_whoever_hears_both_versions_acts_once_on_the_newest_reading(
    priced: SimpleNamespace, newer_first: bool, bundled: bool
) -> None:
    priced.hear([priced.Priced, priced.PricedV2])
    newer, older = _record(priced)
    bodies = [newer, older] if newer_first else [older, newer]

    if bundled:
        inbox.receive_bundle(bodies, queue="desk")
    for body in bodies:
        inbox.receive(body, queue="desk")

    (read,) = priced.calls
    assert read == (
        priced.PricedV2(number=7, net=Decimal(10), tax=Decimal(2))
        if newer_first
        else priced.PricedV2(number=7, net=Decimal(12), tax=None)
    )
    assert read.meta.id == UUID(older["id"])  # the idempotency key for effects elsewhere
    assert [row.msg_id for row in InboxEvent.objects.all()] == [f"desk.book_letter:{older['id']}"]
    assert OutboxEvent.objects.filter(destination__startswith="desk.").count() == 2


def test_old_code_with_the_queue_of_new_code_loses_and_doubles_nothing(
    priced: SimpleNamespace, flow: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    newer, older = _record(priced)
    priced.hear(priced.Priced)  # old code, whose queue new code has bound to the new version

    inbox.receive(newer, queue="desk")  # before the other: nobody can know yet that this comes
    (waiting,) = flow.waiting
    assert "OtherVersionError" in str(waiting.error)
    inbox.receive(older, queue="desk")
    inbox.receive(older, queue="desk")
    _brought_back(waiting)

    assert len(priced.calls) == 1
    assert "desk.book_letter has it in another version" in caplog.text
    assert [row.label for row in InboxEvent.objects.all()] == ["desk.book_letter"]
    priced.hear(priced.PricedV2)  # code that has dropped the version before, which is still bound
    inbox.receive(older, queue="desk")
    inbox.receive(newer, queue="desk")
    assert len(priced.calls) == 1
    assert [row.status for row in InboxEvent.objects.all()] == [InboxEvent.Status.HANDLED]


def test_version_that_nobody_listens_to_is_parked_after_the_last_attempt_if_no_other_comes(
    priced: SimpleNamespace, flow: Flow
) -> None:
    newer, _ = _record(priced)
    priced.hear(priced.Priced)
    inbox.receive(newer, queue="desk")

    for _ in range(9):
        _brought_back(flow.waiting[0])

    assert not flow.waiting
    (parked,) = flow.parked
    assert (parked.label, parked.attempts) == ("desk", 10)
    priced.hear([priced.Priced, priced.PricedV2])
    InboxEvent.objects.parked().replay(by="clerk")
    _brought_back(flow.waiting[0])
    assert len(priced.calls) == 1
    assert not flow.waiting


def _brought_back(row: InboxEvent) -> None:
    """Deliver a message as the relay brings it back that was received when nobody listened to its type."""
    InboxEvent.objects.filter(pk=row.pk).delete()
    inbox.receive(row.body, queue="desk", attempt=row.attempts)


def test_version_that_failed_is_retried_with_its_own_reading_and_the_other_is_a_duplicate(
    priced: SimpleNamespace, flow: Flow
) -> None:
    priced.hear(priced.Priced)  # an old worker
    priced.fail = ValueError("no ink")
    newer, older = _record(priced)
    inbox.receive(older, queue="desk")
    priced.hear([priced.Priced, priced.PricedV2])  # a new one
    priced.fail = None

    inbox.receive(newer, queue="desk")
    assert len(flow.waiting) == 1
    flow.retry()

    assert [type(each) for each in priced.calls] == [priced.Priced, priced.PricedV2]
    assert priced.calls[-1].tax is None  # made from the version before, which is kept
    assert [row.status for row in InboxEvent.objects.all()] == [InboxEvent.Status.HANDLED]


def test_reading_that_cannot_be_made_of_the_version_before_is_parked(
    priced: SimpleNamespace, flow: Flow
) -> None:
    _, older = _record(priced)
    for made in ("nothing", priced.Priced(number=1, total=Decimal(1))):
        InboxEvent.objects.all().delete()
        priced.PricedV2.from_previous = classmethod(lambda cls, previous, made=made: made)
        priced.hear([priced.PricedV2, priced.Priced])
        inbox.receive(older, queue="desk")
        assert "from_previous() returned" in str(flow.parked[0].error)
    InboxEvent.objects.all().delete()
    priced.PricedV2.from_previous = classmethod(lambda cls, previous: cls(number="x", net=1, tax=2))
    inbox.receive(older, queue="desk")
    assert "does not satisfy" in str(flow.parked[0].error)
    priced.LetterPricedV2.to_previous = lambda self: None
    with pytest.raises(TypeError, match="to_previous\\(\\) returned NoneType"):
        in_all_versions(priced.event)


def test_journey_shows_one_fact_whatever_versions_it_has(priced: SimpleNamespace, flow: Flow) -> None:
    priced.hear([priced.Priced, priced.PricedV2])
    priced.hear(priced.Priced, name="file_letter", context="archive")
    priced.hear(priced.PricedV2, name="count_letter", context="counter")
    newer, older = _record(priced)
    inbox.receive(newer, queue="desk")

    fact, booked = journeys.journey(older["id"]).steps

    assert (fact.id, fact.type, fact.name) == (UUID(older["id"]), V2, "Letter priced (v2)")
    assert {each.label: str(each.status) for each in fact.deliveries} == {
        "desk.book_letter": "handled",
        "archive.file_letter": "expected",
        "counter.count_letter": "expected",
    }
    assert fact.relay.status == "pending"
    assert (booked.cause, booked.depth) == ("Letter priced (v2)", 1)
    assert fact.deliveries[2].emitted == (booked.id,)
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    ago = times.now()
    found = unreceived.count(since=ago.replace(year=2000), until=ago.replace(year=2100))
    assert {each.listener for each in found} == {"archive.file_letter", "counter.count_letter"}
    inbox.receive(older, queue="archive")
    inbox.receive(newer, queue="counter")
    assert journeys.journey(older["id"]).settled


def _batch(bodies: list[dict[str, Any]], *, unheard: Callable[[str], bool]) -> Batch:
    rows = [OutboxEvent.objects.get(destination=body["type"]) for body in bodies]
    outcome = Outcome(
        confirmed=[row.pk for row in rows if not unheard(row.type)],
        unheard=[row.pk for row in rows if unheard(row.type)],
    )
    return Batch(messages=[Message(row.pk, row.type, json.dumps(row.body)) for row in rows], outcome=outcome)


def test_version_without_a_queue_is_unheard_only_if_no_version_of_the_fact_has_one(
    priced: SimpleNamespace,
) -> None:
    newer, older = _record(priced)

    together = _batch([newer, older], unheard=lambda type: type == V2)
    nobody = _batch([newer, older], unheard=lambda type: True)
    for batch in (together, nobody):
        versions.settle(batch)
    assert len(together.outcome.confirmed) == 2
    assert len(nobody.outcome.unheard) == 2

    # In two batches: the one that was unheard before is so no longer, and the one that is now is not.
    OutboxEvent.objects.filter(destination=V2).update(status=OutboxEvent.Status.UNHEARD)
    later = _batch([older], unheard=lambda type: False)
    versions.settle(later)
    assert not OutboxEvent.objects.unheard()
    last = _batch([newer], unheard=lambda type: True)
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    versions.settle(last)
    assert last.outcome.confirmed
    assert not last.outcome.unheard


def test_purge_keeps_a_version_while_another_is_still_to_leave(priced: SimpleNamespace) -> None:
    _record(priced)
    OutboxEvent.objects.filter(destination=V1).update(status=OutboxEvent.Status.RELAYED)
    later = times.now().replace(year=2100)

    assert purging.purge(now=later, although_unreceived=True).outbox == 0
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    assert purging.purge(now=later, although_unreceived=True).outbox == 2


def test_checks_map_and_drift_take_versions_for_what_they_are(priced: SimpleNamespace, flow: Flow) -> None:
    priced.hear(priced.Priced)
    assert [each.id for each in declarations.check_heard() if "letters" in each.msg] == []
    assert "PricedV2" in declarations.check_unused_readings()[0].msg

    priced.hear([priced.Priced, priced.PricedV2])
    observer = drift.Observer()
    flow.record(priced.event)
    for row in OutboxEvent.objects.filter(destination__startswith="letters."):
        event = CloudEvent.from_dict(row.body)
        observer.recorded([event])
    inbox.receive(row.body, queue="desk")
    attempt = SimpleNamespace(event=event, consumer="desk.book_letter")
    emitted = OutboxEvent.objects.get(destination="desk.letter_booked.v1")
    observer.handled(attempt, [emitted.pk])  # type: ignore[arg-type]  # what it reads of an attempt
    assert not drift.compare(declared=drift.declared_here(), observed=observer.observed)
    assert not declarations.check_triggers()
    assert not declarations.check_cycles()
    assert not declarations.check_unused_readings()
    assert flow_map().count("book_letter|") == 0
    assert "LetterPriced v2" in flow_map()
    assert registry.subscriptions("desk") == [V1, V2]

    priced.hear(priced.PricedV2)
    (old,) = [each for each in declarations.check_heard() if V1 in each.msg]
    assert "A newer version is announced with it" in str(old.hint)


def test_versions_that_are_declared_wrongly_are_told_at_once(priced: SimpleNamespace) -> None:
    class Other(IncomingEvent, type="desk.other.v1"):
        pass

    for previous, said in (
        (priced.LetterPriced, "Name the IncomingEvent"),
        (Other, "Both are of one context"),
        (priced.Priced, "does not say how. Declare a class method from_previous"),
    ):
        with pytest.raises(TypeError, match=said):
            type(
                "Wrong",
                (IncomingEvent,),
                {"__module__": __name__},
                type="letters.letter_priced.v3",
                previous=previous,
            )
    with pytest.raises(TypeError, match=r"Declare to_previous\(self\)"):
        type(
            "Wrong",
            (DomainEvent,),
            {"__module__": __name__},
            type="letters.x.v2",
            previous=priced.LetterPriced,
        )
    for on, said in (
        ([priced.Priced, Other], "not versions of one"),
        ([], "is no event"),
        ([priced.LetterPriced, priced.LetterPricedV2], "LetterPricedV2 does not say how it is made"),
    ):
        with pytest.raises(TypeError, match=said):
            microworkflow(on=on)
    assert delivered(priced.PricedV2(number=1, net=Decimal(1), tax=None)).number == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {FACT: "7"},
        {FACT: "0190a1b2-0000-7000-8000-000000000000"},
        {FACT: "0190a1b2-0000-7000-8000-000000000000", FACT_TYPES: V1},
        {FACT: 7, FACT_TYPES: V2},
    ],
)
def test_wrong_id_of_a_fact_is_refused_and_a_strangers_is_not_believed(
    priced: SimpleNamespace, wrong: dict[str, Any]
) -> None:
    newer, _ = _record(priced)
    body = {key: value for key, value in newer.items() if key not in (FACT, FACT_TYPES)} | wrong

    with pytest.raises(InvalidCloudEventError, match=FACT):
        CloudEvent.from_dict(body)
    stranger = CloudEvent.from_dict(body | {"source": "/elsewhere"})
    assert stranger.meta.id != wrong[FACT]
    assert not stranger.meta.versions
    assert stranger.extensions[FACT] == wrong[FACT]


def test_both_versions_of_a_fact_fail_and_succeed_as_one_in_a_bundle(
    priced: SimpleNamespace, flow: Flow
) -> None:
    priced.hear([priced.Priced, priced.PricedV2])
    priced.fail = ValueError("no ink")
    newer, older = _record(priced)
    (workflow,) = registry.workflows()

    bundling.handle([(workflow, CloudEvent.from_dict(newer)), (workflow, CloudEvent.from_dict(older))])

    assert len(priced.calls) == 1
    (waiting,) = flow.waiting
    assert waiting.attempts == 1
