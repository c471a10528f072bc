"""The contexts on the admin's first page, from the journal, and the list of alarms: each number leads to what it counts."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from microworkflows.admin import contexts
from microworkflows.journal.admin import front
from microworkflows.journal.models import Alarm
from tests.unit.journal import rows

Login = Callable[..., Client]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rows of the tests call now is the present."""
    monkeypatch.setattr(rows, "NOW", timezone.now())
    monkeypatch.setattr(contexts, "_sources", [front.table])


def alarm(name: str, owner: str = "payments", *, closed_at: datetime | None = None) -> Alarm:
    return Alarm.objects.create(
        flow=rows.flow(name),
        awaited="shipping.shipment_scheduled.v1",
        of="orders.order_accepted.v1",
        due_at=rows.ago(60),
        raised_at=rows.ago(50),
        closed_at=closed_at,
        owner=owner,
        cause="worker",
        details="payments has no worker since 02:40.",
    )


def row(client: Client, context: str) -> list[tuple[str, str]]:
    """Return text and address of each cell of a context's row."""
    page = client.get(reverse("admin:index")).content.decode()
    found = re.search(rf'<th scope="row">{context}</th>(.*?)</tr>', page, re.DOTALL)
    assert found is not None
    cells = re.findall(r"<td[^>]*>(.*?)</td>", found[1], re.DOTALL)
    return [
        (re.sub(r"<[^>]+>", "", cell).partition(" since")[0], (re.findall('href="([^"]*)"', cell) or [""])[0])
        for cell in cells
    ]


def test_dead_worker_stuck_relay_and_counts_are_on_the_first_page(admin_client: Client) -> None:
    tally = {"pending": 4, "oldest": rows.ago(90).timestamp(), "waiting": 2, "parked": 3, "dead": 1}
    rows.context("payments", tally=tally)
    rows.process("worker", "payments", seen=300, stopped_at=rows.ago(300))
    rows.process("relay", "payments", life={"leads": []})
    alarm("A-000001")

    found = row(admin_client, "payments")

    assert [text for text, _ in found] == [
        *("stopped", "does not lead", "unknown", "4"),
        *(found[4][0], "2", "3", "1", "1"),
    ]
    assert found[4][0].startswith("since")
    assert found[6][1] == "/admin/microworkflows/inboxevent/?context=payments&amp;status=parked"
    assert found[8][1] == "/admin/microworkflows_journal/alarm/?state=open&amp;owner=payments"
    assert all(address for _, address in found)


def test_context_of_another_service_links_to_its_admin(admin_client: Client) -> None:
    rows.context("elsewhere", admin_url="https://elsewhere.example.com/admin/")

    found = row(admin_client, "elsewhere")

    assert found[6][1].startswith("https://elsewhere.example.com/admin/microworkflows/inboxevent/")
    assert [text for text, _ in found[:3]] == ["unknown", "unknown", "unknown"]


def test_old_numbers_are_unknown_and_not_zero(admin_client: Client) -> None:
    rows.context("payments", tallied_at=rows.ago(90))
    rows.process("worker", "payments")

    assert [text for text, _ in row(admin_client, "payments")][3:] == [*["unknown"] * 5, "0"]


def test_nobody_knows_what_is_overdue_while_the_journal_hears_from_nobody(admin_client: Client) -> None:
    rows.context("payments")
    rows.process("worker", "payments", seen=90)

    assert row(admin_client, "payments")[8][0] == "unknown"


def test_without_the_right_to_see_flows_this_database_tells(login: Login) -> None:
    rows.context("elsewhere")
    client = login("view_inboxevent")

    page = client.get(reverse("admin:index")).content.decode()

    assert "elsewhere" not in page
    assert ">payments</th>" in page


def test_front_page_takes_the_same_number_of_statements_with_many_contexts(
    admin_client: Client, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for number in range(20):
        rows.context(f"context{number}")
        rows.process("worker", f"context{number}")

    with django_assert_max_num_queries(8):  # type: ignore[attr-defined]  # a context manager
        admin_client.get(reverse("admin:microworkflows_contexts"))


def test_alarms_are_listed_with_their_journeys_and_filtered(login: Login) -> None:
    open_one, other, closed = (
        alarm("A-000001"),
        alarm("A-000002", "shipping"),
        alarm("A-000003", closed_at=timezone.now() + timedelta(seconds=1)),
    )
    client = login("view_flow")
    url = reverse("admin:microworkflows_journal_alarm_changelist")

    everything = client.get(url).content.decode()
    filtered = client.get(url, {"state": "open", "owner": "payments"}).content.decode()

    for each in (open_one, other, closed):
        assert reverse("admin:microworkflows_journey", args=[each.flow.correlation_id]) in everything
    assert "A-000001" in filtered
    assert "A-000002" not in filtered
    assert "A-000003" not in filtered


def test_alarms_are_for_those_who_may_see_flows(login: Login) -> None:
    client = login("view_inboxevent")

    response = client.get(reverse("admin:microworkflows_journal_alarm_changelist"))

    assert response.status_code == 403


def test_first_page_and_list_of_flows_say_since_when_the_journal_hears_from_nobody(
    admin_client: Client,
) -> None:
    rows.context("payments")
    process = rows.process("worker", "payments")
    pages = [reverse("admin:index"), reverse("admin:microworkflows_journal_flow_changelist")]
    alive = [admin_client.get(page).content.decode() for page in pages]
    process.seen_at = rows.ago(60)
    process.save()

    silent = [admin_client.get(page).content.decode() for page in pages]

    said = "The journal has heard from nobody since"
    assert [said in page for page in alive] == [False, False]
    assert [said in page and "manage.py journal_collect" in page for page in silent] == [True, True]
