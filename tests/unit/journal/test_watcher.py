"""The watcher: an event that does not come in time is raised once, with who has to act and why; nothing else is."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command

from microworkflows.journal import journeys, lateness, reasons, signals, watcher
from microworkflows.journal.models import Alarm, Delivery, Event, Flow, Gap, Process
from microworkflows.journal.watcher import Round
from tests.unit.journal import rows
from tests.unit.journal.rows import NOW, ago

pytestmark = pytest.mark.django_db

ACCEPTED, RECEIVED, SCHEDULED = (
    "orders.order_accepted.v1",
    "payments.payment_received.v1",
    "shipping.shipment_scheduled.v1",
)
CONTEXTS = ("orders", "payments", "shipping")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round has time, however busy the machine is."""
    monkeypatch.setattr(watcher, "LONGEST_SECONDS", 600.0)


@pytest.fixture
def services() -> dict[str, Process]:
    """Three contexts at work, which have told everything until a second ago; a shipment is due five minutes after its order."""
    rows.context("orders", deadlines=[(SCHEDULED, ACCEPTED, 300)])
    rows.context("payments", listens=[("payments.take_payment", ACCEPTED, [RECEIVED])])
    rows.context(
        "shipping", listens=[("shipping.prepare", RECEIVED, [SCHEDULED])], outcomes={SCHEDULED: "shipped"}
    )
    for name in CONTEXTS:
        rows.process("relay", name)
    return {name: rows.process("worker", name) for name in CONTEXTS}


def order(name: str = "A-000001", *, began: float = 400, waiting_for: str = "payments.take_payment") -> Event:
    flow = rows.flow(name, began=began, due_at=ago(began - 300), waiting_for=[waiting_for])
    return rows.event(flow, ACCEPTED, at=began)


def watch(now: datetime = NOW) -> Round:
    return watcher.watch(now)


def the_alarm() -> Alarm:
    return Alarm.objects.select_related("flow").get()


def stop(process: Process, *, since: float) -> None:
    Process.objects.filter(pk=process.pk).update(seen_at=ago(since), stopped_at=ago(since))


@pytest.mark.usefixtures("services")
def test_an_event_that_is_not_due_yet_is_not_missed() -> None:
    order(began=290)

    assert watch().raised == 0


def test_a_stopped_worker_is_named_as_the_cause(services: dict[str, Process]) -> None:
    stop(services["payments"], since=350)
    accepted = order("A-000123")

    assert watch().raised == 1

    alarm = the_alarm()
    assert (alarm.flow, alarm.awaited, alarm.of) == (accepted.flow, SCHEDULED, ACCEPTED)
    assert (alarm.owner, alarm.cause) == ("payments", "worker")
    assert "payments has no worker since" in alarm.details
    assert "celery -A project worker -Q payments" in alarm.details
    assert alarm.due_at == ago(100)
    assert Flow.objects.get().overdue_at == ago(100)


def test_a_killed_worker_is_named_once_it_is_silent(services: dict[str, Process]) -> None:
    Process.objects.filter(pk=services["payments"].pk).update(seen_at=ago(90))
    order()

    watch()

    assert (the_alarm().owner, the_alarm().cause) == ("payments", "worker")


def test_a_worker_of_which_nobody_has_heard_since_the_deadline_is_not_judged_before_it_is_silent(
    services: dict[str, Process],
) -> None:
    Process.objects.filter(pk=services["payments"].pk).update(seen_at=ago(15))
    order(began=310)

    assert (watch().raised, watch().held) == (0, 1)
    Process.objects.exclude(pk=services["payments"].pk).update(
        seen_at=NOW + timedelta(seconds=6), life={"sent_at": NOW.timestamp() + 6}
    )
    assert watch(NOW + timedelta(seconds=6)).raised == 1
    assert the_alarm().cause == "worker"


@pytest.mark.usefixtures("services")
def test_a_parked_delivery_is_named_as_the_cause() -> None:
    rows.delivery(order(), "payments.take_payment", Delivery.Status.PARKED, attempts=10, error="BankAway: x")

    watch()

    assert (the_alarm().owner, the_alarm().cause) == ("payments", "parked")
    assert the_alarm().details.endswith("BankAway: x Next: python manage.py replay --context payments")


@pytest.mark.usefixtures("services")
def test_a_delivery_that_waits_for_a_retry_is_named_with_the_time() -> None:
    delivery: dict[str, Any] = {"attempts": 3, "error": "BankAway: x", "due_at": NOW + timedelta(hours=1)}
    rows.delivery(order(), "payments.take_payment", Delivery.Status.WAITING, **delivery)

    watch()

    assert (the_alarm().owner, the_alarm().cause) == ("payments", "retry")


@pytest.mark.usefixtures("services")
def test_a_slow_step_is_named_as_under_way() -> None:
    rows.delivery(order(), "payments.take_payment", Delivery.Status.RUNNING, at=390)

    watch()

    assert (the_alarm().owner, the_alarm().cause) == ("payments", "under way")
    assert "runs since" in the_alarm().details


@pytest.mark.usefixtures("services")
def test_an_event_that_no_queue_took_is_named_as_unheard() -> None:
    accepted = order()
    Event.objects.filter(pk=accepted.pk).update(status=Event.Status.UNHEARD)

    watch()

    assert (the_alarm().owner, the_alarm().cause) == ("payments", "unheard")


def test_a_backlog_is_named_with_its_length(services: dict[str, Process]) -> None:
    life = services["payments"].life | {"depths": {"payments": 4321}}
    Process.objects.filter(pk=services["payments"].pk).update(life=life)
    order()

    watch()

    assert (the_alarm().owner, the_alarm().cause) == ("payments", "backlog")
    assert "4,321 messages" in the_alarm().details


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"life": {"leads": [], "sent_at": NOW.timestamp()}}, "has not the lead"),
        ({"stopped_at": ago(350), "seen_at": ago(350)}, "has no relay since"),
    ],
)
def test_a_relay_that_is_stopped_or_does_not_lead_is_named_as_the_cause(
    change: dict[str, Any], said: str
) -> None:
    Process.objects.filter(kind="relay", service="payments").update(**change)
    rows.delivery(order(waiting_for="payments"), "payments.take_payment", emitted=[rows.missing()])

    watch()

    assert (the_alarm().owner, the_alarm().cause) == ("payments", "relay")
    assert said in the_alarm().details


@pytest.mark.usefixtures("services")
def test_a_flow_in_which_nothing_is_under_way_is_said_to_be_at_rest() -> None:
    flow = rows.flow(began=400, due_at=ago(100), state=Flow.State.DONE)
    accepted = rows.event(flow, ACCEPTED, at=400)
    rows.delivery(accepted, "payments.take_payment")

    watch()

    assert the_alarm().cause == reasons.AT_REST


def test_an_alarm_is_raised_and_closed_once_with_log_line_and_signal(
    services: dict[str, Process], caplog: pytest.LogCaptureFixture, heard: list[str]
) -> None:
    stop(services["payments"], since=350)
    accepted = order("A-000123")

    with caplog.at_level(logging.INFO, "microworkflows.journal"):
        assert [watch().raised for _ in range(3)] == [1, 0, 0]
        rows.event(accepted.flow, SCHEDULED, at=0)
        assert [watch().closed for _ in range(3)] == [1, 0, 0]

    assert the_alarm().closed_at == NOW
    assert heard == ["overdue A-000123", "ended A-000123"]
    raised, closed = (record for record in caplog.records if record.name.endswith("watcher"))
    assert (raised.levelname, closed.levelname) == ("ERROR", "INFO")
    assert vars(raised)["owner"] == "payments"
    assert vars(raised)["correlation_id"] == accepted.flow.correlation_id


@pytest.fixture
def heard() -> Iterator[list[str]]:
    said: list[str] = []

    def overdue(alarm: Alarm, **kwargs: Any) -> None:
        said.append(f"overdue {alarm.flow}")

    def ended(alarm: Alarm, **kwargs: Any) -> None:
        said.append(f"ended {alarm.flow}")

    signals.overdue.connect(overdue)
    signals.overdue_ended.connect(ended)
    yield said
    signals.overdue.disconnect(overdue)
    signals.overdue_ended.disconnect(ended)


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize(
    "end",
    [
        lambda flow: Flow.objects.filter(pk=flow.pk).update(overdue_at=None, outcome="cancelled"),
        lambda flow: (
            Delivery.objects.update(status=Delivery.Status.DISMISSED),
            Flow.objects.filter(pk=flow.pk).update(state=Flow.State.DONE),
        ),
    ],
)
def test_an_alarm_is_closed_when_the_flow_ends_or_is_given_up(end: Callable[[Flow], object]) -> None:
    accepted = order()
    rows.delivery(accepted, "payments.take_payment", Delivery.Status.PARKED)
    watch()

    end(accepted.flow)

    assert watch() == Round(closed=1, told_until=ago(4))
    assert watch().raised == 0


@pytest.mark.usefixtures("services")
def test_a_flow_that_ended_or_was_given_up_raises_nothing() -> None:
    shipped, given_up = order("A-000001"), order("A-000002")
    rows.event(shipped.flow, SCHEDULED, at=350)
    rows.delivery(given_up, "payments.take_payment", Delivery.Status.DISMISSED)
    Flow.objects.filter(pk=given_up.flow.pk).update(state=Flow.State.DONE)

    assert watch().raised == 0
    assert Flow.objects.get(pk=shipped.flow.pk).due_at is None


@pytest.mark.usefixtures("services")
def test_a_flow_that_the_collector_has_found_overdue_first_is_raised_too() -> None:
    accepted = order()
    Flow.objects.filter(pk=accepted.flow.pk).update(due_at=None, overdue_at=ago(100))

    assert [watch().raised, watch().raised] == [1, 0]


@pytest.mark.usefixtures("services")
def test_nothing_is_raised_while_the_collector_is_behind() -> None:
    order(began=320)
    Process.objects.update(life={"sent_at": ago(30).timestamp()})

    assert watch() == Round(told_until=ago(33))

    Process.objects.update(life={"sent_at": ago(1).timestamp()})
    assert watch().raised == 1


@pytest.mark.usefixtures("services")
def test_nothing_is_raised_while_nobody_tells_anything_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_said_at", ago(3600))
    Process.objects.update(seen_at=ago(90))
    order()

    assert watch() == watch() == Round(told_until=None)

    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert "whether 1 flows are overdue is unknown" in said


def test_nothing_is_raised_while_missing_notices_may_still_be_found(services: dict[str, Process]) -> None:
    rows.gap(services["payments"], since=350, until=30)
    order()

    assert watch().held == 1
    assert not Alarm.objects.exists()


def test_nobody_is_accused_if_notices_are_missing_for_good(services: dict[str, Process]) -> None:
    rows.gap(services["payments"], since=350, until=200)
    order()

    watch()

    assert the_alarm().cause == "unknown"
    assert "may have happened" in the_alarm().details


@pytest.mark.usefixtures("services")
def test_a_second_deadline_of_a_flow_is_raised_by_itself() -> None:
    accepted = order()
    watch()
    rows.context("inventory", deadlines=[(RECEIVED, ACCEPTED, 200)])
    Flow.objects.filter(pk=accepted.flow.pk).update(due_at=ago(200))

    watch()

    assert set(Alarm.objects.values_list("awaited", "due_at")) == {
        (SCHEDULED, ago(100)),
        (RECEIVED, ago(200)),
    }


def test_a_second_deadline_that_nobody_can_judge_yet_is_raised_once_somebody_can(
    services: dict[str, Process],
) -> None:
    rows.context("inventory", deadlines=[(RECEIVED, ACCEPTED, 200)])
    rows.gap(services["shipping"], since=350, until=30)
    order()
    assert watch() == Round(raised=1, held=1, told_until=ago(4))

    Gap.objects.update(filled_at=NOW)

    assert [watch().raised, watch().raised] == [1, 0]
    assert set(Alarm.objects.values_list("awaited", flat=True)) == {RECEIVED, SCHEDULED}


@pytest.mark.usefixtures("services")
def test_deadlines_that_passed_unjudged_are_each_raised_however_few_a_round_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows.context("inventory", deadlines=[(RECEIVED, ACCEPTED, 200)])
    for number in range(3):
        order(f"A-{number:06}")
    monkeypatch.setattr(watcher, "MOST_RAISED", 1)

    assert [watch().raised for _ in range(8)] == [1, 1, 1, 1, 1, 1, 0, 0]
    assert Flow.objects.filter(due_at=None, overdue_at=ago(200)).count() == 3


def test_of_many_flows_that_wait_for_the_same_dead_worker_one_is_read(
    services: dict[str, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(services["payments"], since=350)
    for number in range(20):
        order(f"A-{number:06}")
    read: list[str] = []
    original = journeys.journey

    def read_and_noted(key: str, **given: Any) -> journeys.Journey | None:
        read.append(key)
        return original(key, **given)

    monkeypatch.setattr(journeys, "journey", read_and_noted)

    assert watch().raised == 20
    assert len(read) == 1


@pytest.mark.usefixtures("services")
def test_a_round_is_bounded_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MOST_RAISED", 2)
    monkeypatch.setattr(lateness, "MOST", 3)
    for number in range(5):
        order(f"A-{number:06}")

    assert [watch().raised for _ in range(5)] == [2, 2, 1, 0, 0]


@pytest.mark.usefixtures("services")
def test_a_round_ends_after_a_while_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "LONGEST_SECONDS", -1.0)
    for number in range(2):
        order(f"A-{number:06}")

    assert [watch().raised for _ in range(3)] == [1, 1, 0]


def test_command_looks_once_and_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("journal_watch", "--once")

    said = capsys.readouterr()
    assert said.out.startswith("0 alarms raised")
    assert "heard from nobody" in said.err
