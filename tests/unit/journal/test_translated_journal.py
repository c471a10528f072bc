"""Pages of the journal that need rows of their own, or that no link leads to, show no raw text."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from microworkflows import times
from microworkflows.journal import overall
from microworkflows.journal.models import Delivery, Event, Flow
from tests.unit import pseudo_locale
from tests.unit.journal import process_rows, shop

pytestmark = pytest.mark.django_db

NAMES = (
    r"A-\d+",
    "ada",
    "glued",
    "host-1",
    r"\w+Error: \w+",
    "orders.order",
    "(ship|declin|refund)ed",
)
"""What the rows of these tests name."""


def broken_flow() -> Flow:
    """A flow with something of everything: handled, failed, replayed, parked, running, unheard, and steps of the monolith."""
    now = times.aware(times.now())
    ago = now - timedelta(minutes=12, seconds=30)
    shop.contexts(now=now, silent=["shipping"], within=60)
    shop.process("shipping@host-1", seen_at=ago, stopped_at=ago)
    flow = shop.flow(began_at=ago, last_at=ago, since=ago, state=Flow.State.FAILED)
    accepted, received, reserved = shop.order(flow, steps=3, at=ago)
    parked = shop.delivery(
        accepted, "inventory.note_order", status=Delivery.Status.PARKED, attempts=2, error="BankAwayError: x"
    )
    shop.attempt(parked, 1, at=ago + timedelta(seconds=1))
    shop.attempt(parked, 1, at=ago + timedelta(seconds=2), ending="replayed", by="ada", why="glued")
    shop.delivery(accepted, "shipping.note_address", status=Delivery.Status.RUNNING, mode="shadow disagreed")
    shop.delivery(received, "orders.mark_paid", status=Delivery.Status.WAITING, due_at=now, attempts=3)
    dismissed = shop.delivery(reserved, "orders.mark_reserved", status=Delivery.Status.DISMISSED)
    shop.attempt(dismissed, 1, at=ago + timedelta(seconds=3), ending="dismissed")
    shop.event(flow, process_rows.NO_STOCK, at=ago, status=Event.Status.UNHEARD)
    return flow


@pytest.mark.parametrize("view", ["timeline", "tree", "sequence", "table"])
def test_views_of_a_journey(admin_client: Client, view: str) -> None:
    url = reverse("admin:microworkflows_journey", args=[broken_flow().correlation_id])

    with pseudo_locale.active():
        response = admin_client.get(url, {"view": view})
        assert f"view={view}" in response.content.decode()
        assert pseudo_locale.raw_content(response, *NAMES) == []


def test_pages_about_the_whole_process(admin_client: Client) -> None:
    now = times.aware(times.now())
    process_rows.contexts(now, silent=["inventory"], untold=["shipping"])
    process_rows.minutes(now, process_rows.SHIPPED, each=3, of=5)
    for number, tree in enumerate((process_rows.SHIPPED, process_rows.REFUSED), start=1):
        began = now - timedelta(minutes=5)
        process_rows.flow(began, tree, number=number, outcome="shipped", variant=str(number))

    with pseudo_locale.active():
        for page in ("context_changelist", "map_fragment", "variants", "business"):
            for window in ("15m", "7d"):
                response = admin_client.get(
                    reverse(f"admin:microworkflows_journal_{page}"), {"window": window}
                )
                assert pseudo_locale.raw_content(response, *NAMES) == [], page


def test_list_of_flows_and_what_it_says_of_a_wrong_address(admin_client: Client) -> None:
    broken_flow()
    given = {"state": "failed", "q": "x", "from": "noon", "variant": "ada", "waiting_for": "orders.mark_paid"}

    with pseudo_locale.active():
        url = reverse("admin:microworkflows_journal_flow_changelist")
        assert pseudo_locale.raw_content(admin_client.get(url), *NAMES) == []
        told = admin_client.get(url, given)
        assert "⟦ is no date" in told.content.decode()


def test_words_for_machines_are_english_in_any_language() -> None:
    broken_flow()

    with pseudo_locale.active():
        told = overall.overall(now=times.aware(times.now()), most=5)

    assert list(told["flows"]) == ["on its way", "failed", "unknown", "overdue"]
