"""The pages about the whole process: the map, the variants and the business view, from rows of the journal."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from microworkflows import times
from microworkflows.journal import business, mining
from microworkflows.journal.models import Context, Flow, Minute
from microworkflows.journal.windows import window
from tests.unit.journal import process_rows
from tests.unit.journal.process_rows import REFUSED, SHIPPED

Login = Callable[..., Client]

pytestmark = pytest.mark.django_db

MAP, VARIANTS, BUSINESS, FRAGMENT = (
    f"admin:microworkflows_journal_{name}"
    for name in ("context_changelist", "variants", "business", "map_fragment")
)


def now() -> Any:
    return times.aware(times.now())


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


@pytest.fixture
def reader(client: Client) -> Client:
    """Somebody who may see flows, and nothing else."""
    user = User.objects.create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_flow"))
    client.force_login(user)
    return client


@pytest.mark.parametrize("name", [MAP, VARIANTS, BUSINESS, FRAGMENT])
def test_page_is_for_those_who_may_see_flows(reader: Client, name: str) -> None:
    assert reader.get(reverse(name)).status_code == 200
    assert reader.get(reverse(name), {"window": "for ever"}).status_code == 200

    reader.logout()
    reader.force_login(User.objects.create(username="other", is_staff=True))
    assert reader.get(reverse(name)).status_code == 403


def test_journal_without_rows_says_that_all_is_unknown(reader: Client) -> None:
    assert "all is unknown" in text_of(reader.get(reverse(MAP)))
    assert "None:" in text_of(reader.get(reverse(VARIANTS)))


def test_map_leads_from_each_box_to_its_numbers_and_on_to_the_owner(login: Login) -> None:
    reader = login("view_flow", "view_inboxevent")
    process_rows.contexts(now())
    Context.objects.filter(name="shipping").update(admin_url="https://shipping.example.com/admin/")
    process_rows.minutes(now(), SHIPPED, each=9, of=3)

    page = reader.get(reverse(MAP), {"window": "15m"}).content.decode()

    for target in re.findall(r'href="#([^"]+)"', page.partition("<svg")[2].partition("</svg>")[0]):
        assert f'id="{target}"' in page, target
    assert (
        "https://shipping.example.com/admin/microworkflows/inboxevent/?status=parked&amp;context=shipping"
        in page
    )
    assert f"{reverse('admin:microworkflows_inboxevent_changelist')}?status=parked&amp;context=orders" in page


def test_map_polls_its_window_and_gets_304_while_nothing_changes(reader: Client) -> None:
    page = reader.get(reverse(MAP), {"window": "24h"}).content.decode()
    (url,) = re.findall(r'data-mw-journey="([^"]+)"', page)
    first = reader.get(url)

    again = reader.get(url, headers={"if-none-match": first.headers["ETag"]})
    process_rows.contexts(now())
    changed = reader.get(url, headers={"if-none-match": first.headers["ETag"]})

    assert url.endswith("?window=24h")
    assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)
    assert reader.post(url).status_code == 405


def test_context_has_its_place_on_the_map(reader: Client) -> None:
    response = reader.get(reverse("admin:microworkflows_journal_context_change", args=["payments"]))

    assert response["Location"] == f"{reverse(MAP)}#in:payments"


def test_variants_are_counted_with_their_share_and_median(reader: Client) -> None:
    for number in range(10):
        tree = REFUSED if number == 3 else SHIPPED
        process_rows.flow(now() - timedelta(minutes=5), tree, took=2 + number / 10, number=number + 1)
    process_rows.flow(now() - timedelta(hours=2), REFUSED, number=99)
    Flow.objects.create(
        correlation_id="open", began_at=now(), last_at=now(), since=now(), state=Flow.State.ON_ITS_WAY
    )

    found = mining.mined(window("1h", now=now()))
    page = text_of(reader.get(reverse(VARIANTS)))

    assert [(each.count, each.outcome) for each in found.variants] == [(9, "shipped"), (1, "declined")]
    assert found.variants[0].median == pytest.approx(2.5)
    assert (found.flows, found.others, found.whole) == (10, 0, True)
    assert "90 % went this way" in page
    assert "10 % went this way" in page
    assert "Payment received: inventory.reserve_items emits Items reserved" in page


def test_variants_of_too_many_flows_say_since_when_they_tell(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "MOST_FLOWS", 2)
    for number in range(3):
        process_rows.flow(now() - timedelta(minutes=number), SHIPPED[:1], number=number + 1)

    assert "these are the newest of the last hour" in text_of(reader.get(reverse(VARIANTS)))


@pytest.mark.parametrize("name", ["15m", "1h", "24h", "7d"])
def test_business_view_counts_each_flow_once_by_begin_end_and_deadline(name: str) -> None:
    at = now()
    span = window(name, now=at)
    long_ago = span.since - timedelta(minutes=1)
    for number in range(6):
        tree = REFUSED if number == 0 else SHIPPED
        process_rows.flow(at - timedelta(minutes=2 * number + 1), tree, took=30, number=number + 1)
    process_rows.flow(long_ago, SHIPPED, took=(at - long_ago).total_seconds() - 1, number=50)
    Flow.objects.filter(correlation_id="orders.order:2").update(overdue_at=at - timedelta(minutes=1))

    found = business.business(span)

    assert (found.begun.total, found.overdue.total) == (6, 1)
    assert {each.name: each.total for each in found.finished} == {"declined": 1, "shipped": 6}
    assert sum(bar.flows for bar in found.durations) == 7
    assert len({len(each.counts) for each in (found.begun, found.overdue, *found.finished)}) == 1
    assert [(stage.name, stage.flows) for stage in found.funnel[:3]] == [
        ("Order accepted", 6),
        ("Payment received", 5),
        ("Payment declined", 1),
    ]


def test_business_view_of_too_many_flows_shows_the_newest_part_and_says_so(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(business, "MOST_COUNTED", 3)
    for number in range(5):
        process_rows.flow(now() - timedelta(minutes=10 * number + 5), SHIPPED[:1], number=number + 1)

    found = business.business(window("1h", now=now()))
    page = text_of(reader.get(reverse(BUSINESS), {"window": "1h"}))

    assert found.cut
    assert 3 <= found.begun.total <= 4
    assert found.window.since > now() - timedelta(minutes=36)
    assert "too many flows began or finished in the last hour to count them all" in page


def test_business_page_shows_pictures_and_the_same_numbers_as_tables(reader: Client) -> None:
    process_rows.flow(now() - timedelta(minutes=5), SHIPPED, took=1.5)

    response = reader.get(reverse(BUSINESS), {"window": "1h"})
    page = text_of(response)

    assert "finished: shipped 1" in page
    assert "1.00 s to 2.00 s 1 100" in page
    assert response.content.decode().count("<rect") >= 3
    assert "The same as a table" in page


def test_empty_business_page_says_none(reader: Client) -> None:
    assert "None." in text_of(reader.get(reverse(BUSINESS)))
    assert Minute.objects.count() == 0
