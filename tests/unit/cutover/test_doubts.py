"""What speaks against more live flows: it is asked about, with numbers, whoever switches; nothing holds up the way back."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from microworkflows import heartbeats
from microworkflows.cutover import doubts, evidence, footprints, legacy_steps, switch
from microworkflows.cutover.doubts import Doubt, Kind
from microworkflows.cutover.models import ModeChange
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import DoubtfulError, Setting
from microworkflows.models import Header, Heartbeat, InboxEvent
from microworkflows.testing import Flow
from orders import operations
from payments import gateway
from payments.workflows import refund_payment, take_payment
from tests.unit.cutover.conftest import Switch
from tests.unit.cutover.test_cutover_commands import compared
from tests.unit.shop.conftest import Draft


@pytest.fixture(autouse=True)
def monoliths_worker(workers: None) -> None:
    process = heartbeats.Process(worker="m@here", host="here", pid=2, started_at=timezone.now())
    heartbeats.note(process, depths={"monolith": 0}, handling=0)
    Heartbeat.objects.update(seen_at=timezone.now() + timedelta(days=1))


@pytest.fixture(autouse=True)
def footprint(monkeypatch: pytest.MonkeyPatch) -> None:
    known = footprints.Summary(is_clear=True, unknown=(), readers=0, writers=0, said=("nobody",))
    monkeypatch.setattr(footprints, "summary", lambda context: known)


def against(mode: str = "live", percent: int | None = 1) -> list[Doubt]:
    return switch.speaks_against("payments", switch.settings()["payments"], Setting(Mode(mode), percent))


def kinds(percent: int = 1) -> list[str]:
    return [doubt.kind.value for doubt in against(percent=percent)]


def test_nothing_speaks_against_one_percent_of_what_has_nothing_to_compare_with() -> None:
    assert kinds() == []


def test_nothing_holds_up_the_way_back_or_to_fewer(go: Switch) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    go("payments", "live", 50)
    Heartbeat.objects.filter(queue="monolith").delete()

    assert against("inline", None) == against("shadow", None) == against("live", 10) == []


def test_more_than_one_percent_at_once_is_asked_about_where_none_was_live(go: Switch) -> None:
    assert kinds(10) == ["jump"]
    assert "From inline straight to live 10 %" in against(percent=10)[0].said
    go("payments", "live", 1)
    assert kinds(10) == []


def test_all_flows_are_asked_about_each_time(go: Switch) -> None:
    go("payments", "live", 50)

    (doubt,) = against(percent=100)

    assert doubt.kind is Kind.ALL
    assert "50 % of the flows" in doubt.said


def test_steps_that_were_never_or_hardly_compared_are_named(go: Switch) -> None:
    for workflow in (take_payment, refund_payment):
        legacy_steps.legacy(workflow)(lambda event: None)
    never = against()
    go("payments", "shadow")
    for _ in range(2):
        compared("agreed")
    hardly = against()
    for _ in range(doubts.ENOUGH):
        compared("agreed")
    rarely = against()
    for _ in range(doubts.ENOUGH):
        compared("agreed", workflow="payments.refund_payment")

    assert [doubt.kind for doubt in (*never, *hardly, *rarely)] == [Kind.UNCOMPARED] * 3
    assert "never in shadow" in never[0].said
    assert "payments.refund_payment never, payments.take_payment 2 times" in hardly[0].said
    assert "payments.refund_payment never." in rarely[0].said
    assert against() == []


def test_disagreement_is_told_in_numbers_until_it_is_counted_anew(
    go: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    monkeypatch.setattr(doubts, "ENOUGH", 1)
    go("payments", "shadow")
    for outcome in ("agreed", "differs", "failed"):
        compared(outcome)
    found = against()
    go("payments", "inline")
    go("payments", "shadow")

    assert [doubt.kind for doubt in found] == [Kind.DISAGREED]
    assert "2 of 3 shadow runs" in found[0].said
    assert "1 differ, 1 failed" in found[0].said
    assert "disagreed" not in kinds()


@pytest.mark.parametrize(
    ("first", "unknown", "said"),
    [
        ("Unknown. No file.", ("No file.", "Make one."), "Unknown. No file."),
        ("0 others.", ("A gap.", "A second.", "Make one."), "0 others. Partly unknown: A gap."),
        ("2 others.", (), "2 others."),
    ],
)
def test_others_at_the_rows_are_asked_about_and_so_are_unknown_ones(
    monkeypatch: pytest.MonkeyPatch, first: str, unknown: tuple[str, ...], said: str
) -> None:
    known = footprints.Summary(is_clear=False, unknown=unknown, readers=2, writers=0, said=(first,))
    monkeypatch.setattr(footprints, "summary", lambda context: known)

    (doubt,) = against()

    assert (doubt.kind, doubt.said) == (Kind.FOOTPRINT, f"No shadow run shows this. {said}")
    assert doubt.remedy == ("Make one." if unknown else "")


GONE = [
    (lambda rows: rows.delete(), "was never seen"),
    (lambda rows: rows.update(seen_at="2026-01-01T00:00:00Z"), "was not seen since 2026-01-01"),
    (lambda rows: rows.update(stopped_at="2026-01-01T00:00:00Z"), "was stopped on 2026-01-01"),
]


@pytest.mark.parametrize(("end", "said"), GONE)
def test_missing_worker_of_the_context_is_asked_about(
    go: Switch, end: Callable[[object], object], said: str
) -> None:
    go("payments", "live", 1)
    end(Heartbeat.objects.filter(queue="payments"))

    (doubt,) = against(percent=10)

    assert doubt.kind is Kind.WORKER
    assert f"The worker of payments {said}" in doubt.said
    assert "celery -A project worker -Q payments -n payments@%h" in doubt.remedy
    assert go("payments", "live", 10) == Setting(Mode.LIVE, 10)


@pytest.mark.parametrize(("end", "said"), GONE)
def test_monoliths_worker_is_missed_while_some_flows_stay_with_the_monolith(
    go: Switch, end: Callable[[object], object], said: str
) -> None:
    for context in ("orders", "inventory", "shipping"):
        go(context, "live", 100)
    end(Heartbeat.objects.filter(queue="monolith"))

    (doubt,) = against()

    assert doubt.kind is Kind.MONOLITH
    assert said in doubt.said
    assert "celery -A project worker -Q monolith" in doubt.remedy
    assert "monolith" not in kinds(100), "nothing is left to it"


def test_failures_of_live_flows_speak_against_more_of_them(
    go: Switch, draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    go("payments", "live", 100)
    monkeypatch.setattr(gateway, "configured", lambda: None)
    for _ in range(2):
        operations.place_order(order=draft())
        flow.run(keep_failures=True)
    _, second = InboxEvent.objects.failing()
    second.headers = {**second.headers, Header.MODE: "inline"}
    second.save()
    ModeChange.objects.update(to_percent=50)
    begun = ModeChange.objects.get().changed_at

    found = doubts.of(
        "payments", Setting(Mode.LIVE, 50), Setting(Mode.LIVE, 60), others=[Setting(Mode.INLINE)]
    )

    assert evidence.failing_live("payments", since=begun) == 1, "the other one is the monolith's"
    assert [doubt.kind for doubt in found] == [Kind.FAILING]
    assert found[0].said.startswith("1 of the messages that the worker of payments received since")


def test_switch_and_command_ask_the_same_and_name_the_answer() -> None:
    with pytest.raises(DoubtfulError) as raised:
        switch.change("payments", mode=Mode.LIVE, by="b", why="w", although=["jump"])
    with pytest.raises(CommandError) as refused:
        call_command("cutover", "payments", "--mode", "live", "--why", "w", "--although", "jump")

    assert str(refused.value) == str(raised.value)
    assert str(raised.value).endswith("add: --although jump all")
    assert [doubt.kind for doubt in raised.value.doubts] == [Kind.JUMP, Kind.ALL]
    assert not ModeChange.objects.exists()
    call_command("cutover", "payments", "--mode", "live", "--why", "w", "--although", "jump", "all")
    assert len(ModeChange.objects.get().against) == 2
