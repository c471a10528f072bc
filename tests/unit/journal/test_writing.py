"""The collector's writing: rows tell the same in whatever order, and however often, their messages come."""

import itertools
import random
from datetime import timedelta
from typing import Any

import pytest

from microworkflows.journal import merging, numbering, reading, retention, writing
from microworkflows.journal.models import Attempt, Context, Delivery, Event, Flow, Gap, Minute, Process
from microworkflows.journal.notices import Kind
from microworkflows.journal.reading import Sent
from microworkflows.journal.writing import Memory
from tests.unit.journal.messages import BEGAN, Speaker, at, declared, event, failed, handled, relayed

pytestmark = pytest.mark.django_db

ACCEPTED, PAID = "orders.accepted.v1", "payments.paid.v1"
DECLARED = declared(
    ("payments.take", ACCEPTED, [PAID]),
    ("orders.finish", PAID, []),
    contexts=["orders", "payments"],
    outcomes={PAID: "paid"},
)


def _write(*messages: Sent) -> None:
    for message in messages:
        writing.write([message], Memory())


def _an_order() -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    accepted = event(ACCEPTED, about=["orders.order", "42", "A-000042"])
    paid = event(PAID, after=2, cause=accepted["id"])
    return (
        accepted,
        paid,
        [
            DECLARED,
            relayed(accepted, after=1),
            failed(accepted, "payments.take", after=2),
            handled(accepted, "payments.take", after=12, number=2, emitted=[paid]),
            relayed(paid, after=13),
            handled(paid, "orders.finish", after=14),
        ],
    )


def _told() -> list[Any]:
    """Return all that the rows tell, less the keys."""
    flows = Flow.objects.values_list(
        *("correlation_id", "kind", "key", "name", "trace_id", "began_at", "last_at", "state", "since"),
        *("outcome", "waiting_for", "variant", "events_count", "failures_count"),
    )
    events = Event.objects.order_by("recorded_at").values_list(
        "id", "type", "emitted_by", "causation_id", "recorded_at", "relayed_at", "status"
    )
    deliveries = Delivery.objects.order_by("received_at").values_list(
        *("event", "consumer", "status", "received_at", "handled_at", "changed_at", "duration", "attempts"),
        *("due_at", "error", "emitted"),
    )
    attempts = Attempt.objects.order_by("ended_at").values_list("number", "ending", "ended_at", "error")
    minutes = Minute.objects.order_by("at", "type", "consumer").values_list(
        "at", "type", "consumer", "count", "failed", "parked"
    )
    return [list(rows) for rows in (flows, events, deliveries, attempts, minutes)]


def test_messages_become_the_rows_of_their_flow() -> None:
    accepted, paid, notices = _an_order()

    _write(Speaker().says(*notices))

    flow = Flow.objects.get()
    assert (flow.kind, flow.key, flow.name) == ("orders.order", "42", "A-000042")
    assert (flow.state, flow.outcome, flow.waiting_for) == (Flow.State.DONE, "paid", [])
    assert (flow.began_at, flow.last_at, flow.since) == (
        BEGAN,
        BEGAN + timedelta(seconds=14),
        BEGAN + timedelta(seconds=14),
    )
    assert (flow.events_count, flow.failures_count, flow.trace_id) == (2, 1, "a" * 32)
    first, second = Event.objects.order_by("recorded_at")
    assert (str(first.id), first.status, first.emitted_by) == (accepted["id"], Event.Status.RELAYED, "")
    assert (str(second.id), second.emitted_by, second.causation_id) == (
        paid["id"],
        "payments.take",
        accepted["id"],
    )
    taken = Delivery.objects.get(consumer="payments.take")
    assert (taken.status, taken.attempts, taken.error) == (Delivery.Status.HANDLED, 2, "")
    assert taken.received_at == BEGAN + timedelta(seconds=1.5), "its first attempt took half a second"
    assert taken.handled_at == BEGAN + timedelta(seconds=12)
    (attempt,) = Attempt.objects.all()
    assert (attempt.number, attempt.ending, attempt.error) == (1, "failed", "ValueError: no")
    counts = {(row.type, row.consumer): (row.count, row.failed) for row in Minute.objects.all()}
    assert counts[ACCEPTED, "payments.take"] == (1, 1)
    assert counts[ACCEPTED, ""] == counts[PAID, ""] == (1, 0)
    hops = Minute.objects.get(consumer="payments.take").hops
    assert (sum(hops), len(hops)) == (1, 15), "12 seconds, from 8,192 ms to 16,384 ms"


def test_order_and_repetition_of_messages_change_nothing() -> None:
    _, _, notices = _an_order()
    speakers = [Speaker(kind=f"p{number}") for number in range(len(notices))]
    messages = [speaker.says(notice) for speaker, notice in zip(speakers, notices, strict=True)]
    _write(*messages)
    expected = _told()

    for order in itertools.islice(itertools.permutations(messages), 1, None, 240):
        for model in (Attempt, Delivery, Event, Flow, Minute, Gap, Process, Context):
            model.objects.all().delete()
        _write(*order, *random.Random(1).choices(messages, k=3))

        assert _told() == expected
    assert not Gap.objects.exists()


def test_bundle_of_messages_tells_the_same_as_each_by_itself() -> None:
    _, _, notices = _an_order()
    speaker = Speaker()

    writing.write([speaker.says(notice) for notice in notices], Memory())

    assert Flow.objects.get().state == Flow.State.DONE
    assert Process.objects.get().next_number == len(notices)


def test_missing_numbers_are_a_gap_until_they_come() -> None:
    _, _, notices = _an_order()
    speaker = Speaker("orders", kind="relay")
    messages = [speaker.says(notice, sent=60 + number) for number, notice in enumerate(notices)]

    _write(*messages[:2], messages[4], messages[5])

    (gap,) = Gap.objects.all()
    assert (gap.first, gap.number, gap.filled_at) == (2, 2, None)
    assert (gap.since, gap.until) == (
        BEGAN + timedelta(seconds=61, milliseconds=0),
        BEGAN + timedelta(seconds=64),
    )
    _write(messages[3])
    (gap,) = Gap.objects.all()
    assert (gap.first, gap.number) == (2, 1)
    _write(messages[2])
    assert not Gap.objects.exists()
    assert Flow.objects.get().state == Flow.State.DONE


def test_first_message_that_is_missing_is_a_gap_too() -> None:
    speaker = Speaker()
    speaker.says(DECLARED)

    _write(speaker.says(relayed(event())))

    (gap,) = Gap.objects.all()
    assert (gap.first, gap.number, gap.since) == (0, 1, BEGAN)


def test_process_that_falls_silent_without_a_word_leaves_a_gap_of_unknown_size() -> None:
    killed, stopped = Speaker(), Speaker()
    _write(killed.says(DECLARED), stopped.says(DECLARED, (Kind.STOPPED, at(60), {})))

    assert numbering.find_the_dead(BEGAN + timedelta(seconds=89)) == []
    (gap,) = numbering.find_the_dead(BEGAN + timedelta(seconds=91))
    assert (gap.process_id, gap.first, gap.number) == (killed.id, 1, None)
    assert numbering.find_the_dead(BEGAN + timedelta(seconds=95)) == [], "it is noted once"
    _write(killed.says((Kind.ALIVE, at(99), {}), sent=100))
    assert not Gap.objects.exists(), "it was frozen, and goes on"


def test_flow_is_unknown_rather_than_done_while_a_relays_notices_are_missing() -> None:
    _, _, notices = _an_order()
    relay, pool = Speaker("orders, payments", kind="relay"), Speaker("orders, payments")
    _write(relay.says(DECLARED, sent=0))
    relay.says(relayed(event(ACCEPTED, flow="another")), sent=6)

    _write(relay.says(*notices[1:], sent=60))

    assert Gap.objects.get().number == 1
    assert Flow.objects.get().state == Flow.State.UNKNOWN
    Gap.objects.update(filled_at=BEGAN)
    writing.refresh(list(Flow.objects.values_list("pk", flat=True)), now=BEGAN)
    assert Flow.objects.get().state == Flow.State.DONE
    assert pool.number == 0


def test_clocks_are_compared_by_messages_that_did_not_wait() -> None:
    early, late = Speaker("orders", kind="relay", host="early", clock=-300), Speaker(host="late", clock=300)
    accepted = event(ACCEPTED)
    memory = Memory()

    writing.write([early.says(DECLARED, sent=0), late.says((Kind.ALIVE, at(0), {}), sent=0)], memory)
    writing.write(
        [early.says(relayed(accepted), sent=3), late.says(handled(accepted, "payments.take"))], memory
    )

    row, delivery = Event.objects.get(), Delivery.objects.get()
    assert _seconds(row.recorded_at) == pytest.approx(0, abs=0.1)
    assert _seconds(row.relayed_at) == pytest.approx(1, abs=0.1)
    assert _seconds(delivery.handled_at) == pytest.approx(2, abs=0.1)
    assert Process.objects.get(host="early").clock_offset == timedelta(seconds=300.01)


def _seconds(time: Any) -> float:
    return float((time - BEGAN).total_seconds())


def test_message_that_waited_in_the_queue_tells_nothing_of_clocks() -> None:
    speaker = Speaker()

    _write(speaker.says(relayed(event()), sent=60, arrived=7200, fresh=False))

    assert Process.objects.get().clock_offset is None
    assert Event.objects.get().recorded_at == BEGAN


def test_hosts_in_step_are_left_as_they_are() -> None:
    _write(Speaker().says(relayed(event()), arrived=60.3))

    assert Process.objects.get().clock_offset == timedelta()


def test_parked_message_that_somebody_replays_or_dismisses_is_followed() -> None:
    accepted, speaker = event(ACCEPTED), Speaker()
    act = {
        "event": accepted["id"],
        "consumer": "payments.take",
        "by": "an operator",
        "why": "the bank is back",
    }

    _write(speaker.says(DECLARED, relayed(accepted), failed(accepted, "payments.take", parked=True)))
    assert Flow.objects.get().state == Flow.State.FAILED
    _write(speaker.says((Kind.REPLAYED, at(20), act)))
    assert (Flow.objects.get().state, Flow.objects.get().waiting_for) == (
        Flow.State.ON_ITS_WAY,
        ["payments.take"],
    )
    _write(speaker.says(failed(accepted, "payments.take", after=30, parked=True)))
    _write(speaker.says((Kind.DISMISSED, at(40), act)))

    assert Delivery.objects.get().status == Delivery.Status.DISMISSED
    endings = [(each.ending, each.by) for each in Attempt.objects.order_by("ended_at")]
    assert endings == [
        ("parked", ""),
        ("replayed", "an operator"),
        ("parked", ""),
        ("dismissed", "an operator"),
    ]
    assert Minute.objects.get(consumer="payments.take").parked == 2


def test_run_that_takes_long_is_seen_while_it_lasts() -> None:
    accepted, speaker = event(ACCEPTED), Speaker()
    running = (
        Kind.RECEIVED,
        at(3),
        {"event": accepted, "consumer": "payments.take", "began": at(1.5)},
    )

    _write(speaker.says(DECLARED, relayed(accepted), running))

    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.received_at) == (
        Delivery.Status.RUNNING,
        BEGAN + timedelta(seconds=1.5),
    )
    _write(speaker.says(handled(accepted, "payments.take", after=9)))
    assert Delivery.objects.get().status == Delivery.Status.HANDLED


def test_unheard_and_rejected_events_are_told_with_the_reason() -> None:
    unheard, rejected = event(ACCEPTED), event(PAID)

    _write(
        Speaker().says(
            DECLARED,
            relayed(unheard, kind=Kind.UNHEARD),
            relayed(rejected, kind=Kind.REJECTED, error="too large"),
        )
    )

    rows = {str(row.id): (row.status, row.error) for row in Event.objects.all()}
    assert rows[unheard["id"]] == (Event.Status.UNHEARD, "")
    assert rows[rejected["id"]] == (Event.Status.REJECTED, "too large")
    _write(Speaker().says(relayed(unheard, after=30)))
    assert Event.objects.get(id=unheard["id"]).status == Event.Status.RELAYED


def test_declarations_become_the_contexts_rows() -> None:
    deadline = {"awaited": PAID, "of": ACCEPTED, "within": 60.0}
    facts = {**DECLARED[2], "announces": [ACCEPTED, PAID], "deadlines": [deadline], "admin_url": "https://x/"}

    _write(Speaker().says((Kind.DECLARED, at(0), facts)))

    orders, payments = Context.objects.order_by("name")
    assert (orders.declarations["announces"], payments.declarations["announces"]) == ([ACCEPTED], [PAID])
    assert (orders.declarations["outcomes"], payments.declarations["outcomes"]) == ({}, {PAID: "paid"})
    assert (orders.declarations["deadlines"], payments.declarations["deadlines"]) == ([deadline], [])
    assert orders.admin_url == "https://x/"
    assert [each["since"] for each in orders.declarations["workflows"]] == [None]


def test_microworkflow_that_is_new_listens_from_then_on() -> None:
    _write(Speaker().says(DECLARED))
    more = declared(
        ("orders.finish", PAID, []), ("orders.thank", PAID, []), contexts=["orders"], outcomes={PAID: "paid"}
    )

    _write(Speaker().says((Kind.DECLARED, at(500), more[2])))

    finish, thank = Context.objects.get(name="orders").declarations["workflows"]
    assert (finish["since"], thank["since"]) == (None, at(500))


def test_signs_of_life_and_tallies_are_kept() -> None:
    life = {"depths": {"orders": 3}, "handling": 2, "rubbish": 1}
    tally = {"context": "orders", "pending": 7}

    _write(
        Speaker("orders", kind="worker").says(DECLARED, (Kind.ALIVE, at(5), life), (Kind.TALLY, at(5), tally))
    )

    process = Process.objects.get()
    assert process.life == {"depths": {"orders": 3}, "handling": 2, "sent_at": at(60)}
    assert (process.kind, process.contexts, process.seen_at) == (
        "worker",
        ["orders"],
        BEGAN + timedelta(seconds=60.01),
    )
    assert Context.objects.get(name="orders").tally == tally


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", "null", '{"version": 2}', "[" * 5000, '{"version": 1, "process": {"id": "x"}}'],
)
def test_message_of_a_stranger_is_refused(body: str) -> None:
    with pytest.raises(reading.UnreadableMessageError):
        reading.message(body, arrived_at=BEGAN, is_fresh=True)


@pytest.mark.parametrize(
    "bad",
    [
        [1, 2],
        ["relayed", "x", {}],
        ["relayed", 1.0, {}],
        ["handled", 1.0, {"event": {}}],
        ["relayed", 1.0, {**event(), "flow": "f" * 256}],
        ["relayed", 1e30, event()],
        ["declared", 1.0, {"contexts": [1]}],
        ["replayed", 1.0, {"event": "x"}],
        None,
    ],
)
def test_notice_that_is_none_costs_no_other(bad: Any, caplog: pytest.LogCaptureFixture) -> None:
    speaker = Speaker()
    message = speaker.says(relayed(event()), DECLARED)
    message.notices[1:1] = [bad]  # type: ignore[index]

    _write(message)

    assert Event.objects.count() == 1
    assert Context.objects.count() == 2
    assert Process.objects.get().next_number == 3
    assert "passes over a notice" in caplog.text


def test_notice_of_a_kind_that_a_newer_version_sends_is_passed_over() -> None:
    message = Speaker().says(relayed(event()))
    message.notices[0:0] = [["sung", 1.0, {}]]  # type: ignore[index]

    _write(message)

    assert Event.objects.count() == 1


def test_text_with_what_the_database_refuses_is_made_fit() -> None:
    accepted = event(ACCEPTED, about=["orders.order", "4\x002", "A\ud800"])

    _write(Speaker().says(relayed(accepted), failed(accepted, "payments.take")))

    assert Flow.objects.get().key == "4\ufffd2"


def test_retention_deletes_what_has_ended_and_leaves_what_has_not() -> None:
    _, _, notices = _an_order()
    _write(
        Speaker().says(*notices),
        Speaker().says(failed(event(ACCEPTED, flow="stuck"), "payments.take", parked=True)),
    )

    assert retention.purge(now=BEGAN + timedelta(days=29))["flows of the journal"] == 0
    assert retention.purge(now=BEGAN + timedelta(days=31))["flows of the journal"] == 1
    assert [flow.correlation_id for flow in Flow.objects.all()] == ["stuck"]
    assert (Event.objects.count(), Delivery.objects.count(), Minute.objects.count()) == (1, 1, 0)


def test_large_flow_is_loaded_in_part_and_stands_the_same_once_it_is_worked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, _, notices = _an_order()
    _write(Speaker("shop").says(*notices))
    whole = _told()
    Flow.objects.all().delete()
    Minute.objects.all().delete()
    monkeypatch.setattr(merging, "LARGE", 0)
    memory, speaker = Memory(), Speaker("shop")

    for notice in notices:
        writing.write([speaker.says(notice)], memory)
    before = Flow.objects.get().state
    writing.refresh(memory.large, now=BEGAN, memory=memory)

    assert before == Flow.State.ON_ITS_WAY
    told = _told()
    assert (told[0][0][7], told[0][0][9:]) == (whole[0][0][7], whole[0][0][9:])
    assert told[1:] == whole[1:]
