"""The cut-over in the admin: the page with its buttons, the history, and the comparisons."""

import json
import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from microworkflows import Subject, holds, recording
from microworkflows.cutover import legacy_steps, switch
from microworkflows.cutover.doubts import KINDS
from microworkflows.cutover.models import ModeChange, ShadowComparison
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import Setting
from microworkflows.models import Heartbeat, Hold, InboxEvent
from microworkflows.testing import Flow
from orders import operations
from payments import gateway
from payments.events import PaymentDeclined
from payments.workflows import take_payment
from tests.unit.cutover.conftest import CONTEXTS, Switch
from tests.unit.cutover.test_cutover_commands import compared
from tests.unit.shop.conftest import Draft, admin_user  # noqa: F401  (a fixture)

PAGE = "admin:microworkflows_cutover_contextmode_changelist"
COMPARISONS = "admin:microworkflows_cutover_shadowcomparison_changelist"


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def told(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def card(response: Any, context: str) -> str:
    """Return the HTML of one context's card."""
    html: str = response.content.decode()
    return html[html.index(f'<article class="mw-context" id="{context}"') :].partition("</article>")[0]


def press(
    client: Client,
    context: str,
    *,
    wanted: str,
    expected: str = "inline",
    why: str = "a test",
    although: Sequence[str] = KINDS,
) -> Any:
    url = reverse("admin:microworkflows_cutover_switch", args=[context])
    given = {"wanted": wanted, "expected": expected, "why": why, "although": list(map(str, although))}
    return client.post(url, given, follow=True)


@pytest.fixture
def clerk(client: Client, db: None) -> Client:
    """Return a client of a member of staff who may only look."""
    user = User.objects.create(username="clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_contextmode"))
    client.force_login(user)
    return client


# ------------------------------------------------------------------------------------------------- The page


@pytest.mark.parametrize("named", [[], ["orders", "inventory", "shipping"]])
def test_page_and_command_tell_of_flows_that_nobody_goes_on_with(
    admin_client: Client,
    go: Switch,
    draft: Draft,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    named: list[str],
) -> None:
    operations.place_order(order=draft())
    InboxEvent.objects.filter(msg_id__startswith="payments.").update(status=InboxEvent.Status.PARKED)
    settings.MICROWORKFLOWS = {"CUTOVER": named}

    page = text_of(admin_client.get(reverse(PAGE)))
    call_command("cutover")

    assert "1 flow waits for the monolith to do the steps of payments" in page
    said = "payments is not named by MICROWORKFLOWS['CUTOVER'], and 1 flows wait for the monolith to do its steps."
    assert said in capsys.readouterr().out


def test_page_has_a_card_for_each_context_rows_or_none(admin_client: Client, go: Switch) -> None:
    go("payments", "live", 10)
    Heartbeat.objects.filter(queue="payments").update(seen_at=timezone.now())
    Heartbeat.objects.filter(queue="orders").delete()
    Heartbeat.objects.filter(queue="shipping").update(seen_at="2026-01-01T00:00:00Z")

    response = admin_client.get(reverse(PAGE))

    assert [context for context in CONTEXTS if card(response, context)] == CONTEXTS
    payments = card(response, "payments")
    assert 'value="10"' in payments
    assert "10 % of new flows live" in payments
    assert "by somebody" in payments
    assert "running" in payments
    assert "celery -A project worker -Q orders" in card(response, "orders")
    assert "not seen" in card(response, "shipping")
    assert "Monolith's own worker: never seen" in text_of(response)
    assert "inline → live 10 %" in text_of(response)


def test_page_holds_neither_scripts_nor_styles_of_its_own(admin_client: Client, go: Switch) -> None:
    go("payments", "live", 10)

    response = admin_client.get(reverse(PAGE))

    assert re.search(r"<script|<style|\sstyle=|\son\w+=", card(response, "payments")) is None


def test_page_is_on_the_index_only_while_contexts_are_handed_over(
    admin_client: Client, monolith: None, settings: Settings
) -> None:
    shown = admin_client.get(reverse("admin:index")).content.decode()
    settings.MICROWORKFLOWS = {}

    hidden = admin_client.get(reverse("admin:index")).content.decode()

    assert reverse(PAGE) in shown
    assert "/microworkflows_cutover/" not in hidden
    assert "names no context" in text_of(admin_client.get(reverse(PAGE)))


def test_page_leads_to_what_fails_and_to_what_differs(
    admin_client: Client, go: Switch, draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    go("payments", "shadow")
    differing, _ = compared("differs"), compared("agreed")
    go("payments", "live")
    monkeypatch.setattr(gateway, "configured", lambda: None)
    operations.place_order(order=draft())
    flow.run(keep_failures=True)

    payments = card(admin_client.get(reverse(PAGE)), "payments")
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]+)"', payments)]

    assert "1 not agreed" in payments
    assert "2 compared, 1 differ" in payments
    assert "the legacy step took 1 ms, the shadow run 2 ms more" in payments
    assert "1 waiting" in payments
    (to_differing,) = (link for link in links if "outcome__in" in link)
    (to_failing,) = (link for link in links if "status=waiting" in link)
    found = admin_client.get(to_differing).context["cl"].queryset
    assert [comparison.pk for comparison in found] == [differing.pk]
    failing = admin_client.get(to_failing).context["cl"].queryset
    waiting = InboxEvent.objects.waiting().get()
    assert [row.pk for row in failing] == [waiting.pk]
    go("payments", "inline")
    payments = card(admin_client.get(reverse(PAGE)), "payments")
    (link,) = re.findall(r'href="([^"]+)">1 earlier', payments)
    earlier = admin_client.get(link.replace("&amp;", "&")).context["cl"].queryset
    assert [row.pk for row in earlier] == [waiting.pk]


def test_links_are_for_those_who_may_follow_them(clerk: Client, go: Switch) -> None:
    legacy_steps.legacy(take_payment)(lambda event: None)
    go("payments", "shadow")
    compared("differs")

    response = clerk.get(reverse(PAGE))

    assert "1 not agreed" in card(response, "payments")
    assert "href" not in card(response, "payments")
    assert "History" not in text_of(response)


def test_card_leads_to_a_pause_of_its_context_unless_it_is_paused(
    admin_client: Client, clerk: Client, workers: None
) -> None:
    link = f'href="{reverse("admin:microworkflows_hold_add")}?what=payments"'

    assert link not in card(clerk.get(reverse(PAGE)), "payments")
    assert link in card(admin_client.get(reverse(PAGE)), "payments")
    holds.pause(Hold.Kind.CONTEXT, "payments", by="ada", why="the bank is closed")
    assert link not in card(admin_client.get(reverse(PAGE)), "payments")


def test_page_of_one_context_is_its_place_on_the_page(admin_client: Client, go: Switch) -> None:
    go("payments", "live", 10)

    response = admin_client.get(reverse("admin:microworkflows_cutover_contextmode_change", args=["payments"]))

    assert response.headers["Location"] == reverse(PAGE) + "#payments"


@pytest.mark.parametrize("view", ["add", "delete"])
def test_contexts_are_neither_added_nor_deleted(admin_client: Client, go: Switch, view: str) -> None:
    go("payments", "live", 10)
    arguments = ["payments"] if view == "delete" else []

    response = admin_client.post(reverse(f"admin:microworkflows_cutover_contextmode_{view}", args=arguments))

    assert response.status_code == 403


def test_page_needs_the_permission_to_view(client: Client, db: None) -> None:
    client.force_login(User.objects.create(username="guest", is_staff=True))

    assert client.get(reverse(PAGE)).status_code == 403
    assert client.get("/admin/microworkflows_cutover/contextmode/payments/change/").status_code == 403


# ---------------------------------------------------------------------------------------------- The buttons


def test_every_button_does_what_it_says(admin_client: Client, workers: None) -> None:
    payments = card(admin_client.get(reverse(PAGE)), "payments")
    buttons = re.findall(r'name="wanted" value="([^"]+)">([^<]+)<', payments)

    press(admin_client, "payments", wanted=buttons[1][0])

    assert [text for _, text in buttons] == ["live 1 %", "live 10 %", "live 50 %", "live 100 %"]
    assert switch.settings()["payments"] == Setting(Mode.LIVE, 10)
    change = ModeChange.objects.get()
    assert (change.changed_by, change.why) == ("admin", "a test")


def test_going_back_takes_one_click(admin_client: Client, go: Switch) -> None:
    go("payments", "live", 10)
    payments = card(admin_client.get(reverse(PAGE)), "payments")
    form = payments[payments.index("mw-move--back") :]
    given = dict(re.findall(r'name="(expected|why|wanted)"[^>]* value="([^"]*)"', form))

    response = press(admin_client, "payments", **given)

    assert given["why"] == "back from live 10 %, to be safe"
    assert switch.settings()["payments"] == Setting(Mode.INLINE)
    assert told(response) == [
        "payments goes from live 10 % to inline, for the flows that begin now; others end as they began."
    ]
    assert "mw-move--back" not in card(response, "payments")


def test_refusal_is_told_and_changes_nothing(admin_client: Client, monolith: None) -> None:
    response = press(admin_client, "payments", wanted="shadow")

    assert "payments has no legacy step" in told(response)[0]
    assert response.context["messages"]._loaded_data[0].level_tag == "error"
    assert not ModeChange.objects.exists()


def test_button_of_an_old_page_is_refused(admin_client: Client, go: Switch) -> None:
    go("payments", "live", 10)

    response = press(admin_client, "payments", wanted="live 1", expected="inline ")

    assert "payments is now live 10 %, not inline" in told(response)[0]
    assert switch.settings()["payments"] == Setting(Mode.LIVE, 10)


@pytest.mark.parametrize("wanted", ["", "done it", "live ten", "dead"])
def test_what_no_button_says_is_a_bad_request(admin_client: Client, workers: None, wanted: str) -> None:
    assert press(admin_client, "payments", wanted=wanted).status_code == 400
    assert not ModeChange.objects.exists()


def test_buttons_are_for_those_who_may_change(clerk: Client, workers: None) -> None:
    page = clerk.get(reverse(PAGE))

    response = press(clerk, "payments", wanted="live 10")

    assert "<button" not in card(page, "payments")
    assert response.status_code == 403
    assert not ModeChange.objects.exists()


def test_buttons_need_a_post_with_a_token(admin_user: User, workers: None) -> None:  # noqa: F811
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    url = reverse("admin:microworkflows_cutover_switch", args=["payments"])

    assert client.get(url).status_code == 405
    assert press(client, "payments", wanted="live 10").status_code == 403
    assert not ModeChange.objects.exists()


def test_what_speaks_against_is_asked_about_and_kept_with_the_answer(
    admin_client: Client, monolith: None
) -> None:
    asked = press(admin_client, "payments", wanted="live 100", although=[])
    form = asked.content.decode()[asked.content.decode().index('id="mw-confirm"') :].partition("</form>")[0]
    unchanged = switch.settings()["payments"]
    kinds = re.findall(r'name="although" value="(\w+)"', form)
    other = press(admin_client, "payments", wanted="live 100", although=["jump"])
    press(admin_client, "payments", wanted="live 100", although=kinds, why="all known")

    assert unchanged == Setting(Mode.INLINE)
    assert kinds == ["worker", "footprint", "monolith", "jump", "all"]
    assert 'name="expected" value="inline"' in form
    assert 'value="a test"' in form
    assert "The worker of payments was never seen, so nobody would do its steps" in text_of(asked)
    assert "Make a footprint: python -m microworkflows_xray footprint payments." in text_of(asked)
    assert "From inline straight to live 100 %" in text_of(asked)
    assert 'id="mw-confirm"' in other.content.decode(), "it answered one doubt of five"
    change = ModeChange.objects.get()
    assert (change.to_described, change.why, len(change.against)) == ("live 100 %", "all known", 5)
    assert "although: From inline straight to" in text_of(admin_client.get(reverse(PAGE)))


def test_button_for_all_flows_stands_apart(admin_client: Client, workers: None) -> None:
    payments = card(admin_client.get(reverse(PAGE)), "payments")

    together, apart = payments.split('<span class="mw-move__all">')

    assert 'value="live 50"' in together
    assert 'value="live 100"' not in together
    assert 'value="live 100"' in apart


# --------------------------------------------------------------------------------- History and comparisons


def test_history_is_read_and_not_written(admin_client: Client, go: Switch) -> None:
    go("payments", "live", 10)
    change = ModeChange.objects.get()

    listed = admin_client.get(reverse("admin:microworkflows_cutover_modechange_changelist"))
    answers = [
        admin_client.post(
            reverse(f"admin:microworkflows_cutover_modechange_{view}", args=[change.pk])
        ).status_code
        for view in ("change", "delete")
    ]

    assert "inline → live 10 %" in text_of(listed)
    assert answers == [403, 403]


def test_comparisons_are_filtered(admin_client: Client, monolith: None) -> None:
    agreed, differs = compared("agreed"), compared("differs")
    other = compared("failed", workflow="inventory.reserve_items", correlation_id="another")

    def found(**query: str) -> set[Any]:
        response = admin_client.get(reverse(COMPARISONS), query)
        return {row.pk for row in response.context["cl"].queryset}

    assert found() == {agreed.pk, differs.pk, other.pk}
    assert found(outcome__exact="differs") == {differs.pk}
    assert found(context="inventory") == {other.pk}
    assert found(workflow="payments.take_payment") == {agreed.pk, differs.pk}
    assert found(q="another") == {other.pk}
    with transaction.atomic():
        about = Subject(kind="letter", key=1, name="L-000001")
        event = PaymentDeclined(order_id=uuid4(), reason="none")
        recording.record([event], about=about, correlation_id="another")
    assert found(q="l-000001") == {other.pk}
    assert (
        reverse("admin:microworkflows_journey", args=["another"])
        in admin_client.get(reverse(COMPARISONS)).content.decode()
    )


def test_differences_are_shown_side_by_side(admin_client: Client, monolith: None) -> None:
    differences = [
        {"what": "event payments.payment_received.v1: currency", "legacy": "USD", "shadow": "<EUR>"},
        {"what": "row payments.Payment created", "legacy": {"state": "received"}, "shadow": None},
    ]
    comparison = compared("differs", differences=differences)

    response = admin_client.get(
        reverse("admin:microworkflows_cutover_shadowcomparison_change", args=[comparison.pk])
    )

    html = response.content.decode()
    table = html[html.index('<table class="mw-differences"') :].partition("</table>")[0]
    first, second = table.split("<tr>")[2:]
    assert re.search(r"currency</th>.*USD.*&lt;EUR&gt;", first, re.DOTALL)
    assert re.search(r"created</th>.*&quot;state&quot;: &quot;received&quot;.*nothing", second, re.DOTALL)
    assert "legacy 1.0 ms shadow 2.0 ms" in text_of(response)
    assert 'name="_save"' not in html


def test_agreement_says_that_nothing_differs(admin_client: Client, monolith: None) -> None:
    comparison = compared("agreed")

    response = admin_client.get(
        reverse("admin:microworkflows_cutover_shadowcomparison_change", args=[comparison.pk])
    )

    assert "None: the microworkflow and the legacy step had the same effects." in text_of(response)


def test_selected_comparisons_are_exported(admin_client: Client, monolith: None) -> None:
    wanted, _ = compared("differs"), compared("failed")

    response = admin_client.post(
        reverse(COMPARISONS), {"action": "export_as_json", "_selected_action": [str(wanted.pk)]}
    )

    assert response.headers["Content-Type"] == "application/json"
    assert "attachment" in response.headers["Content-Disposition"]
    (exported,) = json.loads(response.content)
    assert (exported["id"], exported["differences"]) == (str(wanted.pk), wanted.differences)


def test_comparisons_can_be_deleted_by_those_who_may(
    admin_client: Client, clerk: Client, monolith: None
) -> None:
    comparison = compared("agreed")
    url = reverse("admin:microworkflows_cutover_shadowcomparison_delete", args=[comparison.pk])

    refused = clerk.post(url, {"post": "yes"}).status_code
    admin_client.force_login(User.objects.get(username="admin"))
    admin_client.post(url, {"post": "yes"})

    assert refused == 403
    assert not ShadowComparison.objects.exists()
    assert ShadowComparison(pk=uuid4(), workflow="payments.take_payment").context == "payments"
