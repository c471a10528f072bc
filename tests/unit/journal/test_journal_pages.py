"""The journal's pages: one journey in four views, in the one place where journeys are; the list of flows; the state in a list."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from microworkflows import overviews
from microworkflows.journal.models import Delivery, Event, Flow
from tests.unit.journal import shop
from tests.unit.journal.shop import seconds

pytestmark = pytest.mark.django_db

Login = Callable[..., Client]
AGO = timedelta(minutes=12, seconds=30)  # in the middle of a minute: ages are told in whole ones


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def journey_url(flow: Flow, view: str = "") -> str:
    url = reverse("admin:microworkflows_journey", args=[flow.correlation_id])
    return f"{url}?view={view}" if view else url


def stuck() -> Flow:
    """An order that waits for shipping, whose worker was stopped."""
    now = timezone.now()
    shop.contexts(now=now, silent=["shipping"])
    shop.process("shipping@host-2", seen_at=now - AGO, stopped_at=now - AGO)
    flow = shop.flow(
        began_at=now - AGO, last_at=now - AGO, since=now - AGO, waiting_for=["shipping.schedule_shipment"]
    )
    shop.order(flow, steps=3, at=now - AGO)
    return flow


@pytest.mark.parametrize("view", ["timeline", "tree", "sequence", "table"])
def test_each_view_shows_what_happened_and_what_stands_in_the_way(admin_client: Client, view: str) -> None:
    response = admin_client.get(journey_url(stuck(), view))

    text = text_of(response)
    assert "Journey of A-000123" in text
    assert "on its way waits for shipping.schedule_shipment of Items reserved" in text
    assert "shipping has no worker since" in text
    assert "celery -A project worker -Q shipping" in text
    assert "payments.take_payment" in response.content.decode() or view == "sequence"
    assert "Payment received" in text


def test_what_comes_from_a_row_cannot_become_markup(admin_client: Client) -> None:
    flow = stuck()
    event = Event.objects.filter(flow=flow).first()
    assert event is not None
    evil = "<script>alert(1)</script>"
    delivery = shop.delivery(event, f"payments.{evil}", status=Delivery.Status.PARKED, error=evil, mode=evil)
    shop.attempt(delivery, 1, at=event.recorded_at + seconds(1), ending="replayed", by=evil, why=evil)
    Flow.objects.update(name=evil)

    for view in ("timeline", "tree", "sequence", "table"):
        assert evil not in admin_client.get(journey_url(flow, view)).content.decode()


def test_links_to_other_services_are_addresses_and_no_scripts(admin_client: Client) -> None:
    now = timezone.now()
    shop.process("billing@host-9", seen_at=now)
    flow = shop.flow(began_at=now)
    event = shop.event(flow, "billing.bill_sent.v1", at=now)
    context = shop.context("orders", now=now)
    for address, expected in (("https://billing.example/admin", True), ("javascript:alert(1)", False)):
        context.name, context.admin_url = "billing", address
        context.save()

        page = admin_client.get(journey_url(flow)).content.decode()

        assert (f'href="{address}/microworkflows/outboxevent/{event.pk}/change/"' in page) is expected
        assert "javascript:" not in page


@pytest.mark.parametrize(
    ("status", "said"),
    [(Delivery.Status.PARKED, "It is parked"), (Delivery.Status.WAITING, "failed, the next is due")],
)
@pytest.mark.parametrize("view", ["timeline", "tree", "sequence", "table"])
def test_errors_are_for_those_who_may_see_the_inbox(
    login: Login, status: Delivery.Status, said: str, view: str
) -> None:
    flow = stuck()
    event = Event.objects.filter(flow=flow, type=shop.RESERVED).get()
    shop.delivery(event, "shipping.schedule_shipment", status=status, error="Secret: pin 4711")
    shop.process("shipping@host-3", seen_at=timezone.now())

    without = text_of(login("view_flow").get(journey_url(flow, view)))
    with_inbox = text_of(login("view_flow", "view_inboxevent").get(journey_url(flow, view)))

    assert said in without
    assert "pin 4711" not in without
    assert "pin 4711" in with_inbox


def test_refusals_of_the_broker_are_for_those_who_may_see_the_outbox(login: Login) -> None:
    flow = stuck()
    refused = Event.objects.filter(flow=flow, type=shop.RESERVED)
    refused.update(status=Event.Status.REJECTED, error="Secret: pin 4711")

    assert "pin 4711" not in text_of(login("view_flow", "view_inboxevent").get(journey_url(flow)))
    assert "pin 4711" in text_of(login("view_flow", "view_outboxevent").get(journey_url(flow)))


def test_page_of_a_journey_is_for_those_who_may_see_flows(login: Login) -> None:
    assert login().get(journey_url(stuck())).status_code == 403


def test_flow_that_nobody_knows_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(reverse("admin:microworkflows_journey", args=["nobody"])).status_code == 404


def test_fragment_keeps_the_view_answers_304_and_says_when_the_flow_has_ended(admin_client: Client) -> None:
    flow = stuck()
    url = reverse("admin:microworkflows_journey_fragment", args=[flow.correlation_id]) + "?view=tree"
    assert f'data-mw-journey="{url}"' in admin_client.get(journey_url(flow, "tree")).content.decode()

    first = admin_client.get(url)
    second = admin_client.get(url, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, second.status_code) == (200, 304)
    assert "data-mw-ended" not in first.content.decode()
    Flow.objects.update(state=Flow.State.DONE, outcome="shipped")
    assert "data-mw-ended" in admin_client.get(url).content.decode()


@pytest.mark.parametrize("mode", ["shadow", "shadow disagreed"])
def test_shadow_runs_lead_to_their_comparisons(admin_client: Client, mode: str) -> None:
    flow = stuck()
    event = Event.objects.filter(flow=flow, type=shop.RESERVED).get()
    shop.delivery(event, "shipping.schedule_shipment", mode=mode)

    page = admin_client.get(journey_url(flow, "table")).content.decode()

    url = reverse("admin:microworkflows_cutover_shadowcomparison_changelist")
    assert f'href="{url}?q={flow.correlation_id}"' in page


def test_list_tells_state_since_when_and_for_whom(admin_client: Client) -> None:
    stuck()

    text = text_of(admin_client.get(reverse("admin:microworkflows_journal_flow_changelist")))

    assert "on its way 1" in text
    assert "A-000123 orders.order on its way 12 min shipping.schedule_shipment" in text


def test_list_leads_from_page_to_page_without_leaving_one_out(admin_client: Client) -> None:
    flows = {shop.flow(name=f"A-{number:06}").name for number in range(120)}  # all began at the same time
    url: str | None = reverse("admin:microworkflows_journal_flow_changelist") + "?state=on+its+way"
    seen: list[str] = []
    while url:
        page = admin_client.get(url)
        seen += [row["flow"].name for row in page.context["rows"]]
        url = page.context["next_url"]

    assert len(seen) == 120
    assert set(seen) == flows


@pytest.mark.parametrize("state", ["failed", "2"])
def test_list_takes_a_state_by_word_or_number(admin_client: Client, state: str) -> None:
    shop.flow(name="A-000001", state=Flow.State.FAILED)
    shop.flow(name="A-000002")

    page = admin_client.get(reverse("admin:microworkflows_journal_flow_changelist"), {"state": state})

    assert [row["flow"].name for row in page.context["rows"]] == ["A-000001"]


def test_list_says_what_is_no_date(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:microworkflows_journal_flow_changelist"), {"from": "2026-02-31"})

    assert "&#x27;2026-02-31&#x27; is no date" in page.content.decode()


def test_list_is_for_those_who_may_see_flows(login: Login) -> None:
    assert login().get(reverse("admin:microworkflows_journal_flow_changelist")).status_code == 403


def test_row_of_a_flow_leads_to_its_journey(admin_client: Client) -> None:
    flow = stuck()

    response = admin_client.get(reverse("admin:microworkflows_journal_flow_change", args=[flow.pk]))

    assert response.headers["Location"] == journey_url(flow)


# The state in another list: that of the users, whose primary keys are the ids of flows about them here.


def test_overview_tells_the_standings_of_a_page_in_one_statement(
    django_assert_num_queries: DjangoAssertNumQueries, admin_user: User
) -> None:
    shop.flow("1", state=Flow.State.FAILED)
    shop.flow("2", overdue_at=timezone.now())
    shop.flow("3", state=Flow.State.DONE, overdue_at=timezone.now())  # at rest, short of what was due
    shop.flow("4", state=Flow.State.DONE, outcome="shipped")

    with django_assert_num_queries(1):
        told = overviews.overview.standings(["1", "2", "3", "4", "5"])

    assert told is not None
    assert {key: (each.state, each.needs_attention) for key, each in told.items()} == {
        "1": ("failed", True), "2": ("overdue", True), "3": ("overdue", True), "4": ("done", False),
    }  # fmt: skip
    assert set(overviews.overview.in_need()) == {"1", "2", "3"}
