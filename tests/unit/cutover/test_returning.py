"""A live context goes back to inline by itself, once so many messages of its live flows fail as somebody has allowed."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from microworkflows.cutover import returning, switch
from microworkflows.cutover.models import ContextMode, ModeChange
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import CutoverRefusedError, Setting
from microworkflows.errors import PermanentError
from microworkflows.models import Header, InboxEvent
from microworkflows.testing import Flow
from orders import operations
from payments import gateway
from tests.unit.cutover.conftest import Switch
from tests.unit.shop.conftest import Draft, admin_user  # noqa: F401  (a fixture)

Output = pytest.CaptureFixture[str]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def charge(*args: object, **options: object) -> None:
        raise PermanentError("no such merchant")

    monkeypatch.setattr(gateway, "configured", charge)


def fail(draft: Draft, flow: Flow, *, times: int) -> None:
    for _ in range(times):
        operations.place_order(order=draft())
        flow.run(keep_failures=True)


def present() -> Setting:
    return switch.settings()["payments"]


def test_context_goes_back_at_the_number_that_was_set_and_the_history_says_who_and_why(
    go: Switch, draft: Draft, flow: Flow, broken: None
) -> None:
    go("payments", "live")
    switch.return_at("payments", 2, by="somebody")
    fail(draft, flow, times=1)
    before = present()
    fail(draft, flow, times=1)
    change = ModeChange.objects.latest("pk")

    assert (before, present()) == (Setting(Mode.LIVE, 100), Setting(Mode.INLINE))
    assert (change.changed_by, change.to_mode) == (returning.BY, "inline")
    assert change.why == "2 messages of flows that are live fail; it was to go back at 2"


def test_it_never_does_unless_somebody_sets_a_number(
    go: Switch, draft: Draft, flow: Flow, broken: None
) -> None:
    go("payments", "live")

    fail(draft, flow, times=3)

    assert present() == Setting(Mode.LIVE, 100)


def test_failures_of_before_and_those_of_the_monolith_do_not_count(
    go: Switch, draft: Draft, flow: Flow, broken: None
) -> None:
    go("payments", "live")
    fail(draft, flow, times=1)
    go("payments", "inline")
    go("payments", "live")
    switch.return_at("payments", 2, by="somebody")
    fail(draft, flow, times=1)
    inline = InboxEvent.objects.failing().latest("pk")
    inline.headers = {**inline.headers, Header.MODE: "inline"}
    inline.save()

    fail(draft, flow, times=1)

    assert InboxEvent.objects.failing().count() == 3
    assert present() == Setting(Mode.LIVE, 100)


def test_going_back_that_is_refused_is_said(
    go: Switch, draft: Draft, flow: Flow, broken: None, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    go("payments", "live")
    switch.return_at("payments", 1, by="somebody")

    def refuse(*args: object, **options: object) -> None:
        raise CutoverRefusedError("somebody changed it meanwhile")

    monkeypatch.setattr(switch, "change", refuse)
    fail(draft, flow, times=1)

    assert "payments was to go back to inline by itself, and could not: somebody changed" in caplog.text


def test_number_is_set_by_page_and_command_and_shown(
    admin_client: Client, go: Switch, capsys: Output
) -> None:
    go("payments", "live", 10)
    url = reverse("admin:microworkflows_cutover_return", args=["payments"])
    changes = ModeChange.objects.count()

    set_there = admin_client.post(url, {"failing": "5"}, follow=True).content.decode()
    call_command("cutover", "payments")
    shown = capsys.readouterr().out
    call_command("cutover", "payments", "--return-at", "7")
    by_command = ContextMode.objects.get(pk="payments").return_at
    call_command("cutover", "payments", "--return-at", "0")
    by_zero = ContextMode.objects.get(pk="payments").return_at
    refused = [admin_client.post(url, {"failing": given}).status_code for given in ("-1", "many")]

    assert "at 5 failing messages of live flows" in set_there
    assert "payments goes back to inline by itself at 5 failing messages" in shown
    assert (by_command, by_zero, refused) == (7, None, [400, 400])
    assert ModeChange.objects.count() == changes, "the mode is what it was"
    with pytest.raises(CommandError, match="at 1 to 1000000 failing messages, not at -3"):
        call_command("cutover", "payments", "--return-at", "-3")
