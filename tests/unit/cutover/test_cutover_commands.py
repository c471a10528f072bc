"""``manage.py cutover``, ``shadow_differences``, and what ``purge_events`` leaves of a cut-over."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from microworkflows.cutover import switch
from microworkflows.cutover.doubts import KINDS
from microworkflows.cutover.models import ModeChange, ShadowComparison
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import Setting
from microworkflows.models import Heartbeat
from tests.unit.cutover.conftest import CONTEXTS, Switch

Output = pytest.CaptureFixture[str]


def compared(outcome: str, **given: Any) -> ShadowComparison:
    fields = {
        "workflow": "payments.take_payment",
        "event_id": uuid4(),
        "event_type": "orders.order_accepted.v1",
        "correlation_id": "a-flow",
        "differences": [] if outcome == "agreed" else [{"what": "a row", "legacy": 1, "shadow": None}],
        "legacy_microseconds": 1000,
        "shadow_microseconds": 2000,
        "compared_at": timezone.now(),
    }
    return ShadowComparison.objects.create(outcome=outcome, **(fields | given))


# ---------------------------------------------------------------------------------------------------- cutover


def test_all_contexts_are_listed_with_their_figures(go: Switch, capsys: Output) -> None:
    go("payments", "live", 10)
    Heartbeat.objects.filter(queue="payments").update(seen_at=timezone.now())
    Heartbeat.objects.filter(queue="orders").delete()
    Heartbeat.objects.filter(queue="inventory").update(seen_at="2026-01-01T00:00:00Z")
    Heartbeat.objects.filter(queue="shipping").update(stopped_at=timezone.now())

    call_command("cutover")

    heads, *rows, monolith = capsys.readouterr().out.splitlines()
    assert heads.split("  ")[0] == "context"
    assert [row.split()[0] for row in rows] == CONTEXTS
    assert "never seen" in rows[0]
    assert "live 10 %" in rows[1]
    assert "by somebody" in rows[1]
    assert "running on here" in rows[1]
    assert "not seen on here since 2026-01-01" in rows[2]
    assert "stopped on here since" in rows[3]
    assert monolith == "The monolith's own worker: never seen."


def test_shadow_runs_are_summed_up(go: Switch, capsys: Output) -> None:
    change = ModeChange(context="payments", from_mode="inline", to_mode="shadow", changed_at=timezone.now())
    change.save()
    compared("agreed")
    compared("differs")

    call_command("cutover", "payments")

    assert "2 compared, 1 not agreed, 1 + 2 ms" in capsys.readouterr().out


def test_figures_are_to_be_had_as_json(go: Switch, capsys: Output) -> None:
    go("payments", "live", 10)

    call_command("cutover", format="json")

    printed = {context["name"]: context for context in json.loads(capsys.readouterr().out)}
    assert list(printed) == CONTEXTS
    assert printed["payments"]["setting"] == {"mode": "live", "percent": 10}
    assert printed["payments"]["changed"]["why"] == "a test"
    assert printed["orders"]["in_flight"] == {"inline": 0, "shadow": 0, "live": 0}


def test_where_nothing_is_handed_over_that_is_said(db: None, capsys: Output) -> None:
    call_command("cutover")

    assert capsys.readouterr().out.startswith("Nothing is being handed over")


def test_mode_is_changed_and_by_whom_and_why_is_kept(workers: None, capsys: Output) -> None:
    call_command(
        "cutover", "payments", mode="live", percent=10, why="a week in shadow", by="ada", although=KINDS
    )

    assert switch.settings()["payments"] == Setting(Mode.LIVE, 10)
    assert capsys.readouterr().out == "payments is live 10 % for the flows that begin from now on.\n"
    change = ModeChange.objects.get()
    assert (change.changed_by, change.why) == ("ada", "a week in shadow")


def test_who_runs_the_command_changed_it(workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "grace")

    call_command("cutover", "payments", mode="live", why="it is time", although=KINDS)

    assert ModeChange.objects.get().changed_by == "grace"


def test_refusal_ends_the_command_with_its_text(monolith: None, db: None) -> None:
    with pytest.raises(
        CommandError, match=r"worker: The worker of payments was never seen[\s\S]*--although worker"
    ):
        call_command("cutover", "payments", mode="live", why="it is time")

    call_command("cutover", "payments", mode="live", why="it runs elsewhere", although=KINDS)

    assert switch.settings()["payments"] == Setting(Mode.LIVE, 100)


@pytest.mark.parametrize(
    ("context", "options", "problem"),
    [
        (None, {"mode": "live"}, "Say which context"),
        ("payments", {"percent": 10}, "pass --mode live as well"),
        ("billing", {}, "'billing' is not being cut over. .* orders, payments"),
    ],
)
def test_half_a_command_is_refused(
    workers: None, context: str | None, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        call_command("cutover", *([context] if context else []), **options)


def test_history_is_listed_newest_first(go: Switch, capsys: Output) -> None:
    go("payments", "live", 10)
    go("orders", "live", 1)
    go("payments", "inline")

    call_command("cutover", history=True)
    call_command("cutover", "payments", history=True)
    call_command("cutover", "orders", history=True, format="json")

    out = capsys.readouterr().out
    lines, as_json = out[: out.index("[\n")].splitlines(), json.loads(out[out.index("[\n") :])
    changes = [line.split("  ", 1)[1] for line in lines if "  although: " not in line]
    assert changes == [
        "payments: live 10 % → inline  by somebody: a test",
        "orders: inline → live 1 %  by somebody: a test",
        "payments: inline → live 10 %  by somebody: a test",
        "payments: live 10 % → inline  by somebody: a test",
        "payments: inline → live 10 %  by somebody: a test",
    ]
    assert [(change["context"], change["to_percent"]) for change in as_json] == [("orders", 1)]


# ----------------------------------------------------------------------------------------- shadow_differences


def printed(capsys: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_did_not_agree_is_printed_one_object_a_line(db: None, capsys: Output) -> None:
    compared("agreed")
    differing = [compared("differs"), compared("failed"), compared("refused")]

    call_command("shadow_differences")

    lines = printed(capsys)
    assert [line["id"] for line in lines] == [str(one.pk) for one in differing]
    assert lines[0]["differences"] == [{"what": "a row", "legacy": 1, "shadow": None}]
    assert (lines[0]["workflow"], lines[0]["outcome"]) == ("payments.take_payment", "differs")
    assert (lines[0]["legacy_microseconds"], lines[0]["shadow_microseconds"]) == (1000, 2000)


@pytest.mark.parametrize(
    "options",
    [
        ["--workflow", "payments.take_payment", "--since", "2026-03-01"],
        ["--since", "2026-03-01T12:00:00+01:00"],
        ["--since", "2026-03-01T11:00"],
    ],
)
def test_differences_can_be_asked_for_by_workflow_and_time(
    db: None, capsys: Output, options: list[str]
) -> None:
    compared("differs", compared_at="2026-02-28T23:00:00Z")
    wanted = compared("differs", compared_at="2026-03-01T11:30:00Z")
    if "--workflow" in options:
        compared("differs", compared_at="2026-03-01T11:30:00Z", workflow="inventory.reserve_items")

    call_command("shadow_differences", *options)

    assert [line["id"] for line in printed(capsys)] == [str(wanted.pk)]


def test_microworkflow_that_there_is_none_of_is_refused_instead_of_agreeing(db: None) -> None:
    with pytest.raises(
        CommandError,
        match=r"No such microworkflow: payments\.take_paymnet\. Do you mean .payments\.take_payment",
    ):
        call_command("shadow_differences", "--workflow", "payments.take_paymnet")


@pytest.mark.parametrize("time", ["yesterday", "2026-02-30"])
def test_time_that_is_none_is_refused(time: str) -> None:
    with pytest.raises(CommandError, match=time):
        call_command("shadow_differences", "--since", time)


# ----------------------------------------------------------------------------------------------- purge_events


def test_old_comparisons_are_purged_and_the_history_is_kept(go: Switch, capsys: Output) -> None:
    long_ago = timezone.now() - timedelta(days=40)
    go("payments", "live", 10)
    ModeChange.objects.update(changed_at=long_ago)
    compared("agreed", compared_at=long_ago)
    compared("differs", compared_at=long_ago)
    young = compared("agreed")

    call_command("purge_events")

    assert ShadowComparison.objects.get() == young
    assert ModeChange.objects.count() == 1
    assert capsys.readouterr().out.endswith("Deleted 2 comparisons of shadow runs.\n")
