"""Where a flow stands, from its rows and what the contexts declare: never done while something is open or unknown."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from microworkflows.journal import states
from microworkflows.journal.models import Context, Delivery, Event, Flow
from microworkflows.journal.states import Declared, Silence, Standing

BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ACCEPTED, PAID, SHIPPED = "orders.accepted.v1", "payments.paid.v1", "shipping.shipped.v1"
RELAYED, UNTOLD = Event.Status.RELAYED, Event.Status.UNTOLD
HANDLED, WAITING, PARKED = Delivery.Status.HANDLED, Delivery.Status.WAITING, Delivery.Status.PARKED


def _context(name: str, *workflows: tuple[str, str, list[str]], **more: Any) -> Context:
    listeners = [{"label": label, "on": on, "emits": emits} for label, on, emits in workflows]
    return Context(name=name, service=name, declarations={"workflows": listeners, **more})


ORDERS = _context(
    "orders",
    ("orders.finish", SHIPPED, []),
    deadlines=[{"awaited": SHIPPED, "of": ACCEPTED, "within": 600.0}],
)
PAYMENTS = _context("payments", ("payments.take", ACCEPTED, [PAID]))
SHIPPING = _context("shipping", ("shipping.ship", PAID, [SHIPPED]), outcomes={SHIPPED: "shipped"})
SHOP = Declared.of([ORDERS, PAYMENTS, SHIPPING])


def _event(type: str, *, status: Event.Status = RELAYED, after: float = 0, mark: str = "") -> Event:
    at = BEGAN + timedelta(seconds=after)
    return Event(id=uuid4(), type=type, status=status, recorded_at=at, mark=mark)


def _delivery(
    event: Event, consumer: str, *, status: Delivery.Status = HANDLED, emitted: Sequence[Event | UUID] = ()
) -> Delivery:
    ids = [str(each.id if isinstance(each, Event) else each) for each in emitted]
    at = event.recorded_at + timedelta(seconds=1)
    return Delivery(event=event, consumer=consumer, status=status, changed_at=at, emitted=ids)


def _shipped() -> tuple[list[Event], list[Delivery]]:
    accepted, paid, shipped = _event(ACCEPTED), _event(PAID, after=2), _event(SHIPPED, after=4)
    return [accepted, paid, shipped], [
        _delivery(accepted, "payments.take", emitted=[paid]),
        _delivery(paid, "shipping.ship", emitted=[shipped]),
        _delivery(shipped, "orders.finish"),
    ]


def _stands(
    events: Sequence[Event],
    deliveries: Sequence[Delivery],
    *,
    declared: Declared = SHOP,
    after: float = 60,
    silences: Sequence[Silence] = (),
) -> Standing:
    return states.work_out(
        events, deliveries, declared, now=BEGAN + timedelta(seconds=after), silences=silences
    )


def test_flow_is_done_with_the_outcome_of_its_final_event() -> None:
    stands = _stands(*_shipped())

    assert (stands.state, stands.outcome, stands.waiting_for) == (Flow.State.DONE, "shipped", ())
    assert (stands.due_at, stands.overdue_at) == (None, None)


@pytest.mark.parametrize(
    ("lost", "awaited"), [(0, "payments.take"), (1, "shipping.ship"), (2, "orders.finish")]
)
def test_delivery_that_is_declared_and_not_told_of_is_waited_for(lost: int, awaited: str) -> None:
    events, deliveries = _shipped()
    del deliveries[lost]

    stands = _stands(events, deliveries)

    assert (stands.state, stands.outcome, stands.waiting_for) == (Flow.State.ON_ITS_WAY, "", (awaited,))


def test_event_that_a_handled_one_brought_about_waits_for_its_relay() -> None:
    accepted = _event(ACCEPTED)

    stands = _stands([accepted], [_delivery(accepted, "payments.take", emitted=[uuid4()])])

    assert (stands.state, stands.waiting_for) == (Flow.State.ON_ITS_WAY, ("payments",))


def test_recorded_event_waits_for_its_relay_and_not_for_those_who_listen() -> None:
    assert _stands([_event(ACCEPTED, status=UNTOLD)], []).waiting_for == ("orders",)


def test_event_whose_relay_said_nothing_is_known_from_those_who_received_it() -> None:
    events, deliveries = _shipped()
    for event in events:
        event.status = UNTOLD

    assert _stands(events, deliveries).state == Flow.State.DONE


@pytest.mark.parametrize("status", [WAITING, Delivery.Status.RUNNING])
def test_delivery_under_way_is_waited_for(status: Delivery.Status) -> None:
    events, deliveries = _shipped()
    deliveries[2].status = status

    assert _stands(events, deliveries).waiting_for == ("orders.finish",)


def test_parked_message_fails_the_flow_until_it_is_handled_or_dismissed() -> None:
    events, deliveries = _shipped()
    deliveries[2].status = PARKED

    assert _stands(events, deliveries).state == Flow.State.FAILED
    deliveries[2].status = Delivery.Status.DISMISSED
    assert _stands(events, deliveries).state == Flow.State.DONE


def test_unheard_event_fails_the_flow_if_somebody_declares_to_listen() -> None:
    noted = _event("orders.noted.v1", status=Event.Status.UNHEARD)

    assert _stands([_event(ACCEPTED, status=Event.Status.UNHEARD)], []).state == Flow.State.FAILED
    assert _stands([noted], []).state == Flow.State.DONE
    noted.status = Event.Status.REJECTED
    assert _stands([noted], []).state == Flow.State.FAILED


def test_flow_that_ends_before_its_final_event_waits_for_whoever_may_emit_it() -> None:
    accepted = _event(ACCEPTED)

    stands = _stands([accepted], [_delivery(accepted, "payments.take")])

    assert (stands.state, stands.waiting_for) == (Flow.State.ON_ITS_WAY, ("shipping.ship",))


def test_flow_without_a_declared_end_is_done_when_nothing_declared_can_follow() -> None:
    letter = _event("orders.letter.v1")
    declared = Declared.of([_context("orders", ("orders.file", "orders.letter.v1", []))])

    stands = _stands([letter], [_delivery(letter, "orders.file")], declared=declared)

    assert (stands.state, stands.outcome) == (Flow.State.DONE, "")


def test_flow_of_a_context_that_declared_nothing_is_unknown() -> None:
    assert _stands(*_shipped(), declared=Declared.of([ORDERS, SHIPPING])).state == Flow.State.UNKNOWN
    assert _stands([], []).state == Flow.State.DONE


def test_event_that_a_queue_took_though_nobody_declares_to_listen_makes_the_flow_unknown() -> None:
    assert _stands([_event("orders.noted.v1")], []).state == Flow.State.UNKNOWN


def test_microworkflow_that_listens_since_later_is_not_waited_for() -> None:
    events, deliveries = _shipped()
    later = _context("orders", ("orders.finish", SHIPPED, []), ("orders.thank", SHIPPED, []))
    later.declarations["workflows"][1]["since"] = (BEGAN + timedelta(minutes=1)).timestamp()

    assert (
        _stands(events, deliveries, declared=Declared.of([later, PAYMENTS, SHIPPING])).state
        == Flow.State.DONE
    )


def test_deadline_holds_until_the_awaited_event_or_another_end() -> None:
    (accepted, paid, shipped), deliveries = _shipped()
    due = BEGAN + timedelta(minutes=10)

    assert _stands([accepted, paid], deliveries[:2]).due_at == due
    late = _stands([accepted, paid], deliveries[:2], after=601)
    assert (late.due_at, late.overdue_at) == (due, due)
    assert _stands([accepted, paid, shipped], deliveries, after=601).overdue_at is None
    cancels = Declared.of([ORDERS, _context("payments", outcomes={PAID: "cancelled"}), SHIPPING])
    assert _stands([accepted, paid], deliveries[:2], declared=cancels, after=601).overdue_at is None


def test_nothing_is_waited_for_in_a_flow_of_the_past() -> None:
    accepted = _event(ACCEPTED, mark="bootstrapped")

    stands = _stands([accepted], [_delivery(accepted, "orders.finish")], after=601)

    assert (stands.state, stands.waiting_for) == (Flow.State.DONE, ())
    assert (stands.due_at, stands.overdue_at) == (None, None)


def _silence(context: str, *, is_relay: bool, first: float, last: float) -> Silence:
    return Silence(
        contexts=frozenset({context}),
        is_relay=is_relay,
        since=BEGAN + timedelta(seconds=first),
        until=BEGAN + timedelta(seconds=last),
    )


@pytest.mark.parametrize("is_relay", [True, False])
def test_silence_of_the_awaited_context_makes_an_open_flow_unknown(is_relay: bool) -> None:
    events, deliveries = _shipped()
    silent = _silence("orders", is_relay=is_relay, first=-5, last=1)

    assert _stands(events, deliveries[:2], silences=[silent]).state == Flow.State.UNKNOWN
    other = _silence("shipping", is_relay=is_relay, first=-5, last=1)
    assert _stands(events, deliveries[:2], silences=[other]).state == Flow.State.ON_ITS_WAY


def test_silence_of_a_relay_makes_a_flow_unknown_that_is_else_done() -> None:
    flow = _shipped()

    def state(**silence: Any) -> Flow.State:
        return _stands(*flow, silences=[_silence(**silence)]).state

    assert state(context="payments", is_relay=True, first=1, last=3) == Flow.State.UNKNOWN
    assert state(context="payments", is_relay=False, first=1, last=3) == Flow.State.DONE, "nothing is missing"
    assert state(context="payments", is_relay=True, first=30, last=40) == Flow.State.DONE, "it had ended"
    assert state(context="payments", is_relay=True, first=-9, last=-1) == Flow.State.DONE, "it had not begun"
    assert state(context="stock", is_relay=True, first=1, last=3) == Flow.State.DONE, "it has no part in it"


def test_failure_is_told_whatever_is_unknown() -> None:
    events, deliveries = _shipped()
    deliveries[0].status = PARKED

    stands = _stands(events, deliveries, silences=[_silence("orders", is_relay=True, first=0, last=9)])

    assert stands.state == Flow.State.FAILED


def test_only_microworkflow_that_emits_an_event_because_of_another_is_its_emitter() -> None:
    accepted, paid, shipped = _shipped()[0]
    two = Declared.of([ORDERS, PAYMENTS, _context("desk", ("desk.note", ACCEPTED, [PAID]))])

    assert SHOP.emitter(paid, of=accepted) == "payments.take"
    assert SHOP.emitter(shipped, of=accepted) == ""
    assert two.emitter(paid, of=accepted) == ""
