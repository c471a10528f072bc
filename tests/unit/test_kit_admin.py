import re
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django_outbox_pattern.models import Published, Received
from pytest_django import DjangoAssertNumQueries

from microworkflows import (
    DomainEvent,
    PermanentError,
    Subject,
    heartbeats,
    inbox,
    journeys,
    registry,
    unreceived,
)
from microworkflows.admin import (
    DeadLetterAdmin,
    InboxEventAdmin,
    JourneyAdminMixin,
    OutboxEventAdmin,
    counts,
    messages,
)
from microworkflows.admin.badges import badge
from microworkflows.heartbeats import Process
from microworkflows.models import DeadLetter, Header, InboxEvent, OutboxEvent
from microworkflows.testing import Flow

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class LetterAdmin(JourneyAdminMixin):
    """Stands for a project's own admin: a group is the letter, its name the flow's correlation id."""

    def journey_correlation_id(self, obj: Group) -> str | None:
        return None if obj.name == "unwritten" else obj.name

    def journey_headline(self, obj: Group) -> SafeString:
        return badge(f"headline of {obj.name}", tone="busy")


class PlainJourneyAdmin(JourneyAdminMixin):
    """Leaves every hook as it is."""


site = admin.AdminSite()
site.index_template = admin.site.index_template
site.register(Group, LetterAdmin)
site.register(User, PlainJourneyAdmin)
site.register(OutboxEvent, OutboxEventAdmin)
site.register(InboxEvent, InboxEventAdmin)
site.register(DeadLetter, DeadLetterAdmin)
urlpatterns = [path("admin/", site.urls)]

Login = Callable[..., Client]


@pytest.fixture
def letter() -> Group:
    """Return what a flow is about."""
    return Group.objects.create(name="letter-1")


def written(post: SimpleNamespace, flow: Flow, *, fail: Exception | None = None) -> UUID:
    """Record and run the flow of ``letter-1``; return the id of its first event."""
    post.fail = fail
    event_id: UUID = flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1").id
    flow.run(keep_failures=True)
    post.fail = None
    return event_id


def row_of(event_id: UUID, label: str = "desk.stamp_letter") -> InboxEvent:
    return InboxEvent.objects.of_deliveries([(label, event_id)]).get()


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def told(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


# ------------------------------------------------------------------------------------- Journey of an object


def test_change_page_shows_headline_and_journey_before_any_script_runs(
    admin_client: Client, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    written(post, flow)

    response = admin_client.get(reverse("admin:auth_group_change", args=[letter.pk]))

    text = text_of(response)
    assert "headline of letter-1" in text
    assert "settled 2 events, 2 of 2 deliveries handled" in text
    assert "by desk.stamp_letter , because of Letter written" in text
    assert reverse("admin:auth_group_journey", args=[letter.pk]) in response.content.decode()


def test_object_without_a_flow_has_its_headline_and_no_journey(admin_client: Client) -> None:
    group = Group.objects.create(name="unwritten")

    response = admin_client.get(reverse("admin:auth_group_change", args=[group.pk]))

    assert "headline of unwritten" in text_of(response)
    assert "mw-timeline" not in response.content.decode()


def test_journey_explains_its_times_and_names_their_zone_in_words(
    admin_client: Client, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    written(post, flow)

    response = admin_client.get(reverse("admin:auth_group_change", args=[letter.pk]))

    assert "how long the event took to reach it. Times are in" in text_of(response)
    assert 'title="from' not in response.content.decode()


def test_page_for_a_new_object_has_no_journey(admin_client: Client) -> None:
    response = admin_client.get(reverse("admin:auth_group_add"))

    assert "data-mw-journey" not in response.content.decode()


def test_flow_is_the_primary_keys_and_the_headline_the_object_unless_said_otherwise(
    admin_client: Client, admin_user: User, post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id=str(admin_user.pk))

    response = admin_client.get(reverse("admin:auth_user_journey", args=[admin_user.pk]))

    assert text_of(response).split()[0] == str(admin_user)
    assert "on its way 1 event, 0 of 1 delivery handled" in text_of(response)


def test_journey_of_an_object_is_that_of_the_flow_recorded_about_it(
    admin_client: Client, admin_user: User, post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id=admin_user.pk)
    flow.record(post.LetterWritten(letter_id=uuid4()), about=admin_user)
    flow.run()

    response = admin_client.get(reverse("admin:auth_user_journey", args=[admin_user.pk]))

    assert "settled 2 events" in text_of(response)


def test_fragment_is_sent_again_only_when_something_has_changed(
    admin_client: Client, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    url = reverse("admin:auth_group_journey", args=[letter.pk])
    first = admin_client.get(url)

    unchanged = admin_client.get(url, headers={"if-none-match": first.headers["ETag"]})
    flow.run()
    changed = admin_client.get(url, headers={"if-none-match": first.headers["ETag"]})

    assert (first.status_code, unchanged.status_code, changed.status_code) == (200, 304, 200)
    assert unchanged.content == b""
    assert 'data-mw-settled="false"' in first.content.decode()
    assert 'data-mw-settled="true"' in changed.content.decode()
    assert changed.headers["ETag"] != first.headers["ETag"]


def test_headline_is_part_of_the_fragment(admin_client: Client, empty_registry: None, letter: Group) -> None:
    url = reverse("admin:auth_group_journey", args=[letter.pk])
    etag = admin_client.get(url).headers["ETag"]
    Group.objects.filter(pk=letter.pk).update(name="letter-2")

    response = admin_client.get(url, headers={"if-none-match": etag})

    assert "headline of letter-2" in text_of(response)


def test_fragment_holds_neither_scripts_nor_styles(
    admin_client: Client, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    written(post, flow, fail=ConnectionError("no ink"))

    html = admin_client.get(reverse("admin:auth_group_journey", args=[letter.pk])).content.decode()

    assert re.search(r"<script|<style|\sstyle=|\son\w+=", html) is None


def test_fragment_needs_the_permission_to_view(login: Login, letter: Group) -> None:
    response = login("view_outboxevent").get(reverse("admin:auth_group_journey", args=[letter.pk]))

    assert response.status_code == 403


def test_fragment_asks_who_is_not_logged_in_to_log_in(client: Client, letter: Group) -> None:
    response = client.get(reverse("admin:auth_group_journey", args=[letter.pk]))

    assert response.status_code == 302
    assert response.headers["Location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize("key", ["0", "no-number"])
def test_fragment_of_an_unknown_object_is_not_found(admin_client: Client, key: str) -> None:
    response = admin_client.get(f"/admin/auth/group/{key}/journey/")

    assert response.status_code == 404


def test_fragment_is_only_read(admin_client: Client, letter: Group) -> None:
    response = admin_client.post(reverse("admin:auth_group_journey", args=[letter.pk]))

    assert response.status_code == 405


def test_fragment_checks_the_permission_on_the_object_too(
    admin_client: Client, letter: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LetterAdmin, "has_view_permission", lambda self, request, obj=None: obj is None)

    response = admin_client.get(reverse("admin:auth_group_journey", args=[letter.pk]))

    assert response.status_code == 403


def test_waiting_delivery_shows_its_error_in_full_and_its_next_attempt(
    admin_client: Client, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    written(post, flow, fail=ConnectionError("no <b>ink</b>\nrefill it"))

    response = admin_client.get(reverse("admin:auth_group_journey", args=[letter.pk]))

    html = response.content.decode()
    assert "ConnectionError: no &lt;b&gt;ink&lt;/b&gt;\nrefill it" in html
    assert "Attempt 1 failed. Next attempt at" in text_of(response)
    assert "data-mw-until" in html


def test_parked_delivery_leads_to_its_message(
    admin_client: Client, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    event_id = written(post, flow, fail=PermanentError("torn"))

    response = admin_client.get(reverse("admin:auth_group_journey", args=[letter.pk]))

    assert "needs attention" in text_of(response)
    assert (
        reverse("admin:microworkflows_inboxevent_change", args=[row_of(event_id).pk])
        in response.content.decode()
    )


def test_journey_links_to_no_page_that_the_user_may_not_see(
    login: Login, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    written(post, flow)

    response = login("view_group").get(reverse("admin:auth_group_journey", args=[letter.pk]))

    assert "/microworkflows/" not in response.content.decode()


def test_payload_and_what_the_broker_said_are_for_those_who_may_see_the_outbox(
    login: Login, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    event_id = written(post, flow)
    headers = {"microworkflow": None, "error": "nacked by the broker"}
    OutboxEvent.objects.filter(pk=event_id).update(
        status=OutboxEvent.Status.PENDING, retry=2, headers=headers
    )
    client = login("view_group", "view_inboxevent")
    url = reverse("admin:auth_group_journey", args=[letter.pk])

    before = text_of(client.get(url))
    User.objects.get(username="clerk").user_permissions.add(
        Permission.objects.get(codename="view_outboxevent")
    )
    after = text_of(client.get(url))

    for text in (before, after):
        assert "Letter written pending" in text
        assert "The broker refused it 2 times." in text
    for detail in ("letter_id", "nacked by the broker"):
        assert detail not in before
        assert detail in after


def test_errors_are_for_those_who_may_see_the_inbox(
    login: Login, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    written(post, flow, fail=ConnectionError("card 4711 refused"))
    client = login("view_group", "view_outboxevent")
    url = reverse("admin:auth_group_change", args=[letter.pk])

    before = text_of(client.get(url))
    User.objects.get(username="clerk").user_permissions.add(
        Permission.objects.get(codename="view_inboxevent")
    )
    after = text_of(client.get(url))

    for text in (before, after):
        assert "desk.stamp_letter waiting" in text
        assert "Attempt 1 failed. Next attempt at" in text
    assert "card 4711" not in before
    assert "ConnectionError: card 4711 refused" in after


def test_journey_of_a_long_flow_says_that_it_is_cut_and_where_the_rest_is(
    login: Login, post: SimpleNamespace, flow: Flow, letter: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journeys, "MOST_EVENTS", 1)
    written(post, flow)
    client = login("view_group")
    url = reverse("admin:auth_group_change", args=[letter.pk])

    text = text_of(client.get(url))
    User.objects.get(username="clerk").user_permissions.add(
        Permission.objects.get(codename="view_outboxevent")
    )
    html = client.get(url).content.decode()

    assert "a long flow its first 1 event, 1 of 1 delivery handled" in text
    assert "The events after them are not shown here; the outbox lists them all." in text
    assert "settled" not in text
    assert reverse("admin:microworkflows_outboxevent_changelist") + "?q=letter-1" in html


def test_journey_of_unheard_and_refused_events_says_what_to_do(
    admin_client: Client, post: SimpleNamespace, flow: Flow, letter: Group
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    headers = {"microworkflow": None, "error": "no queue"}
    OutboxEvent.objects.filter(pk=meta.id).update(status=OutboxEvent.Status.UNHEARD, retry=2, headers=headers)

    text = text_of(admin_client.get(reverse("admin:auth_group_journey", args=[letter.pk])))

    assert "Letter written unheard" in text
    assert "no queue The broker refused it 2 times." in text
    assert "missed The broker had no queue for this event." in text


# --------------------------------------------------------------------------------- Journey of any flow


def test_any_flow_has_a_page_that_keeps_itself_up_to_date(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="post/letter 1")
    flow.run()
    (row,) = OutboxEvent.objects.filter(destination=post.LetterWritten.event_type)
    listed = admin_client.get(reverse("admin:microworkflows_outboxevent_changelist")).content.decode()
    url = re.findall(r'href="(/admin/microworkflows/outboxevent/journey/[^"]+)"', listed)[0]

    page = admin_client.get(url)
    fragment = admin_client.get(page.context["mw_fragment_url"])

    assert row.correlation_id in text_of(page)
    assert "settled 2 events" in text_of(page)
    assert "settled 2 events" in text_of(fragment)


def test_flow_is_found_by_its_name_and_its_page_is_titled_by_it(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    about = Subject(kind="letter", key=1, name="L-1 <b>for Müller</b>")
    flow.record(post.LetterWritten(letter_id=uuid4()), about=about)
    flow.run()
    written(post, flow)

    for model, number in (("outboxevent", 2), ("inboxevent", 2)):
        for term in (
            "l-1 <B>for müller</b>" if connection.vendor == "postgresql" else about.name,
            "1",
            "letter:1",
        ):
            assert len(listed(admin_client, model, q=term)) == number
    html = admin_client.get(
        reverse("admin:microworkflows_outboxevent_changelist"), {"q": about.name}
    ).content.decode()
    url = re.findall(r'href="(/admin/microworkflows/outboxevent/journey/[^"]+)"', html)[0]
    page = admin_client.get(url)

    assert "L-1 &lt;b&gt;for Müller&lt;/b&gt;" in html
    assert "<b>for" not in html + page.content.decode()
    assert "Journey of L-1 <b>for Müller</b>" in page.context["title"]
    assert "L-1 &lt;b&gt;for Müller&lt;/b&gt; letter:1" in text_of(page)


def test_flow_that_began_elsewhere_is_found_by_its_name(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), about=Subject(kind="letter", key=1, name="L-000001"))
    flow.run()
    OutboxEvent.objects.filter(destination=post.LetterWritten.event_type).delete()

    assert len(listed(admin_client, "outboxevent", q="l-000001")) == 1
    assert len(listed(admin_client, "inboxevent", q="l-000001")) == 2


def test_page_of_a_message_names_what_its_flow_is_about(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(
        post.LetterWritten(letter_id=uuid4()), about=Subject(kind="letter", key=1, name="L-000001")
    )
    flow.run()

    for model, key in (("outboxevent", meta.id), ("inboxevent", row_of(meta.id).pk)):
        page = admin_client.get(reverse(f"admin:microworkflows_{model}_change", args=[key]))
        assert "About: L-000001 letter" in text_of(page)


@pytest.mark.parametrize("name", ["microworkflows_journey", "microworkflows_journey_fragment"])
def test_unknown_flow_is_not_found(admin_client: Client, empty_registry: None, name: str) -> None:
    response = admin_client.get(reverse(f"admin:{name}", args=["never-begun"]))

    assert response.status_code == 404


@pytest.mark.parametrize("name", ["microworkflows_journey", "microworkflows_journey_fragment"])
def test_journey_of_any_flow_needs_the_permission_to_view_the_outbox(
    login: Login, post: SimpleNamespace, flow: Flow, name: str
) -> None:
    written(post, flow)

    response = login("view_inboxevent").get(reverse(f"admin:{name}", args=["letter-1"]))

    assert response.status_code == 403


# ------------------------------------------------------------------------------------- Outbox and inbox


def test_tables_of_the_library_are_not_edited_in_the_admin() -> None:
    assert not admin.site.is_registered(Published)
    assert not admin.site.is_registered(Received)
    assert admin.site.is_registered(OutboxEvent)
    assert admin.site.is_registered(InboxEvent)


@pytest.mark.parametrize("model", ["outboxevent", "inboxevent"])
def test_messages_can_be_neither_added_nor_changed_nor_deleted(
    admin_client: Client, post: SimpleNamespace, flow: Flow, model: str
) -> None:
    event_id = written(post, flow)
    key = event_id if model == "outboxevent" else row_of(event_id).pk

    answers = [
        admin_client.post(reverse(f"admin:microworkflows_{model}_{view}", args=args)).status_code
        for view, args in (("add", []), ("change", [key]), ("delete", [key]))
    ]

    assert answers == [403, 403, 403]


def listed(client: Client, model: str, **query: str) -> set[Any]:
    response = client.get(reverse(f"admin:microworkflows_{model}_changelist"), query)
    assert response.status_code == 200
    return {row.pk for row in response.context["cl"].result_list}


def test_outbox_is_filtered_and_searched(admin_client: Client, post: SimpleNamespace, flow: Flow) -> None:
    first = written(post, flow)
    other = flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-2").id
    (stamped,) = OutboxEvent.objects.filter(destination=post.LetterStamped.event_type)

    def found(**query: str) -> set[Any]:
        return listed(admin_client, "outboxevent", **query)

    assert found() == {first, other, stamped.pk}
    assert found(status="pending") == {other}
    assert found(status="no-such-status") == set()
    assert found(context="desk") == {stamped.pk}
    assert found(type="letters.letter_written.v1") == {first, other}
    assert found(q=str(first)) == {first}
    assert found(q=" letter-1 ") == {first, stamped.pk}
    assert found(q="stamped") == {stamped.pk}


@pytest.mark.parametrize("model", ["outboxevent", "inboxevent"])
def test_lists_are_filtered_by_time(
    admin_client: Client, post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    written(post, flow)

    def found(**query: str) -> set[Any]:
        return listed(admin_client, model, **query)

    rows, now = found(), timezone.now()
    assert rows
    for within, hours in {"1h": 1, "24h": 24, "7d": 7 * 24, "30d": 30 * 24}.items():
        for later, expected in ((hours - 0.1, rows), (hours + 0.1, set())):
            clock = SimpleNamespace(now=lambda later=later: now + timedelta(hours=later))
            monkeypatch.setattr(messages, "timezone", clock)  # of nobody else: a login would expire
            assert found(within=within) == expected
    assert found(within="a while") == set()


def test_message_tells_since_when_it_is_parked_or_dismissed(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    row = row_of(written(post, flow, fail=PermanentError("torn")))
    since = timezone.localtime(row.due_at)
    pages = [
        reverse("admin:microworkflows_inboxevent_changelist"),
        reverse("admin:microworkflows_inboxevent_change", args=[row.pk]),
    ]

    parked = [text_of(admin_client.get(page)) for page in pages]
    InboxEvent.objects.all().dismiss(by="admin", why="torn")
    dismissed = [text_of(admin_client.get(page)) for page in pages]

    assert all(f"parked since {since:%Y-%m-%d %H:%M:%S}" in text for text in parked)
    assert all("dismissed since " in text and "parked since " not in text for text in dismissed)


def test_inbox_is_filtered_and_searched(admin_client: Client, post: SimpleNamespace, flow: Flow) -> None:
    first = written(post, flow)
    filed = InboxEvent.objects.get(msg_id__startswith="archive.").pk
    parked_id = flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-2").id
    post.fail = PermanentError("torn")
    flow.run(keep_failures=True)
    stamped, parked = row_of(first).pk, row_of(parked_id).pk

    def found(**query: str) -> set[Any]:
        return listed(admin_client, "inboxevent", **query)

    assert found() == {filed, stamped, parked}
    assert found(status="parked") == {parked}
    assert found(context="archive") == {filed}
    assert found(type="letters.letter_written.v1") == {stamped, parked}
    assert found(q=str(first)) == {stamped}
    assert found(q="letter-2") == {parked}
    assert found(q="file_letter") == {filed}
    assert found(q="letter_written") == {stamped, parked}

    foreign = {"specversion": "1.0", "id": "till-7/4711", "source": "https://tills.example/"}
    inbox.receive(
        {**foreign, "type": "letters.letter_written.v1", "data": {"letter_id": str(uuid4())}}, queue="desk"
    )
    assert found(q="till-7/4711") == {InboxEvent.objects.latest("added").pk}


def test_messages_of_a_long_flow_are_all_found(
    admin_client: Client, post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journeys, "MOST_EVENTS", 1)
    written(post, flow)

    assert len(listed(admin_client, "outboxevent", q="letter-1")) == 2
    assert len(listed(admin_client, "inboxevent", q="letter-1")) == 2


def test_message_of_a_flow_whose_outbox_is_elsewhere_is_found_by_its_flow(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    event_id = written(post, flow)
    OutboxEvent.objects.all().delete()

    found = listed(admin_client, "inboxevent", q="letter-1")

    assert row_of(event_id).pk in found


def test_page_of_a_message_shows_error_and_traceback_and_the_way_to_its_event(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    event_id = written(post, flow, fail=PermanentError("torn"))

    response = admin_client.get(reverse("admin:microworkflows_inboxevent_change", args=[row_of(event_id).pk]))

    html = response.content.decode()
    assert "desk.stamp_letter: Letter written" in html
    assert "Traceback (most recent call last)" in html
    assert "raise made.fail\n" in html
    assert reverse("admin:microworkflows_outboxevent_change", args=[event_id]) in html
    assert reverse("admin:microworkflows_journey", args=["letter-1"]) in html


def test_page_of_a_message_handled_after_a_failure_says_so(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    event_id = written(post, flow, fail=ConnectionError("no ink"))
    flow.retry()

    response = admin_client.get(reverse("admin:microworkflows_inboxevent_change", args=[row_of(event_id).pk]))

    assert "1 failed, the next one succeeded" in text_of(response)


def test_page_of_an_event_shows_what_caused_it_and_what_the_broker_said(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    event_id = written(post, flow)
    (stamped,) = OutboxEvent.objects.filter(destination=post.LetterStamped.event_type)
    OutboxEvent.objects.filter(pk=stamped.pk).update(
        status=OutboxEvent.Status.PENDING, retry=3, headers=stamped.headers | {"error": "nacked"}
    )

    first = admin_client.get(reverse("admin:microworkflows_outboxevent_change", args=[event_id]))
    second = admin_client.get(reverse("admin:microworkflows_outboxevent_change", args=[stamped.pk]))

    assert "the flow begins here" in text_of(first)
    assert "nacked" in text_of(second)
    assert "at once" in text_of(second)
    assert reverse("admin:microworkflows_outboxevent_change", args=[event_id]) in second.content.decode()


# --------------------------------------------------------------------------------------------- Sending again


def act(client: Client, model: str, *keys: UUID) -> Any:
    return client.post(
        reverse(f"admin:microworkflows_{model}_changelist"),
        {
            "action": "send_selected_again",
            "_selected_action": [str(key) for key in keys],
            "confirmed": "yes",
        },
        follow=True,
    )


def test_replaying_takes_what_got_stuck_and_says_what_it_left_and_why(
    login: Login, post: SimpleNamespace, flow: Flow
) -> None:
    handled = row_of(written(post, flow))
    parked = row_of(written(post, flow, fail=PermanentError("torn")))
    waiting = row_of(written(post, flow, fail=ConnectionError("no ink")))
    client = login("view_inboxevent", "replay_inboxevent")

    response = act(client, "inboxevent", handled.pk, parked.pk, waiting.pk)

    assert told(response) == [
        "2 messages replayed. The relay redelivers waiting messages within a moment. 1 left alone: 1 handled."
    ]
    assert {row.pk for row in flow.waiting} == {parked.pk, waiting.pk}
    flow.retry()
    assert not flow.waiting


def test_replaying_is_written_into_the_admin_history(login: Login, post: SimpleNamespace, flow: Flow) -> None:
    handled = row_of(written(post, flow))
    parked = row_of(written(post, flow, fail=PermanentError("torn")))
    client = login("view_inboxevent", "replay_inboxevent")

    act(client, "inboxevent", handled.pk, parked.pk)

    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.change_message) == (str(parked.pk), "Replayed in the admin.")
    assert entry.user.get_username() == "clerk"
    assert "Replayed in the admin." in text_of(
        client.get(reverse("admin:microworkflows_inboxevent_history", args=[parked.pk]))
    )


def test_replaying_needs_its_own_permission(login: Login, post: SimpleNamespace, flow: Flow) -> None:
    parked = row_of(written(post, flow, fail=PermanentError("torn")))
    client = login("view_inboxevent", "relay_outboxevent")
    page = client.get(reverse("admin:microworkflows_inboxevent_change", args=[parked.pk]))

    act(client, "inboxevent", parked.pk)
    button = client.post(reverse("admin:microworkflows_inboxevent_again", args=[parked.pk]))

    assert "/again/" not in page.content.decode()
    assert button.status_code == 403
    assert [row.pk for row in flow.parked] == [parked.pk]


def test_button_on_a_parked_message_replays_it(login: Login, post: SimpleNamespace, flow: Flow) -> None:
    parked = row_of(written(post, flow, fail=PermanentError("torn")))
    client = login("view_inboxevent", "replay_inboxevent")
    page = client.get(reverse("admin:microworkflows_inboxevent_change", args=[parked.pk]))

    response = client.post(page.context["mw_buttons"]["Replay"], {"confirmed": "yes"}, follow=True)

    assert told(response) == ["1 message replayed. The relay redelivers waiting messages within a moment."]
    assert [row.pk for row in flow.waiting] == [parked.pk]
    assert "at once" in text_of(response)
    assert LogEntry.objects.count() == 1


def test_handled_message_has_no_button_and_is_left_alone(
    login: Login, post: SimpleNamespace, flow: Flow
) -> None:
    handled = row_of(written(post, flow))
    client = login("view_inboxevent", "replay_inboxevent")
    page = client.get(reverse("admin:microworkflows_inboxevent_change", args=[handled.pk]))

    url = reverse("admin:microworkflows_inboxevent_again", args=[handled.pk])
    response = client.post(url, {"confirmed": "yes"}, follow=True)

    assert "/again/" not in page.content.decode()
    assert told(response) == ["0 messages replayed. 1 left alone: 1 handled."]
    assert not LogEntry.objects.exists()


def test_button_answers_a_post_for_a_known_message_alone(admin_client: Client, empty_registry: None) -> None:
    url = reverse("admin:microworkflows_inboxevent_again", args=[uuid4()])

    assert admin_client.get(url).status_code == 405
    assert admin_client.post(url).status_code == 404


def test_relaying_again_takes_unheard_events_alone(login: Login, post: SimpleNamespace, flow: Flow) -> None:
    class LetterLost(DomainEvent, type="letters.letter_lost.v1"):
        pass

    relayed = written(post, flow)
    unheard = flow.record(LetterLost()).id
    flow.run()
    client = login("view_outboxevent", "relay_outboxevent")

    response = act(client, "outboxevent", relayed, unheard)

    (message,) = told(response)
    assert message.startswith("1 message made pending again. The relay publishes pending events")
    assert message.endswith("1 left alone: 1 relayed.")
    assert [row.pk for row in OutboxEvent.objects.pending()] == [unheard]
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(unheard)]


def test_relaying_again_needs_its_own_permission(login: Login, post: SimpleNamespace, flow: Flow) -> None:
    event_id = written(post, flow)
    OutboxEvent.objects.filter(pk=event_id).update(status=OutboxEvent.Status.UNHEARD)
    client = login("view_outboxevent", "replay_inboxevent")

    act(client, "outboxevent", event_id)
    button = client.post(reverse("admin:microworkflows_outboxevent_again", args=[event_id]))

    assert button.status_code == 403
    assert [row.pk for row in OutboxEvent.objects.unheard()] == [event_id]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_message_that_a_worker_holds_is_left_to_it(
    login: Login, post: SimpleNamespace, flow: Flow, database_url: str
) -> None:
    held = row_of(written(post, flow, fail=ConnectionError("no ink")))
    client = login("view_inboxevent", "replay_inboxevent")

    with psycopg.connect(database_url) as worker:
        worker.execute("SELECT 1 FROM received WHERE id = %s FOR UPDATE", [held.pk])
        response = act(client, "inboxevent", held.pk)

    assert told(response) == ["0 messages replayed. 1 left alone: 1 being handled this moment."]


# ----------------------------------------------------------------------------------------------------- Counts


def test_index_counts_what_is_not_done_and_links_to_it(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    written(post, flow, fail=PermanentError("torn"))
    written(post, flow, fail=ConnectionError("no ink"))
    flow.record(post.LetterWritten(letter_id=uuid4()))

    response = admin_client.get(reverse("admin:index"))

    assert "Messages 1 pending 0 unheard 0 rejected 1 waiting 1 parked" in text_of(response)
    assert (
        reverse("admin:microworkflows_inboxevent_changelist") + "?status=parked" in response.content.decode()
    )


def test_index_of_the_kit_shows_the_counts_too(admin_client: Client, empty_registry: None) -> None:
    response = admin_client.get(reverse("admin:app_list", args=["microworkflows"]))

    assert "Messages 0 pending 0 unheard 0 rejected 0 waiting 0 parked" in text_of(response)


def test_counts_are_for_those_who_may_see_the_messages(login: Login, empty_registry: None) -> None:
    response = login("view_inboxevent", "view_group").get(reverse("admin:index"))

    assert "Messages 0 waiting 0 parked" in text_of(response)


def test_index_has_no_counts_for_those_who_may_see_no_messages(login: Login, empty_registry: None) -> None:
    response = login("view_group").get(reverse("admin:index"))

    assert "mw-counts" not in response.content.decode()


def test_counts_take_two_queries(
    post: SimpleNamespace, flow: Flow, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    written(post, flow, fail=PermanentError("torn"))

    with django_assert_num_queries(2):
        numbers = {count.status: count.number for count in counts.counts()}

    assert numbers == {"pending": 0, "unheard": 0, "rejected": 0, "waiting": 0, "parked": 1}


def seen(*queues: str) -> None:
    """Note a worker at these queues."""
    process = Process(worker="w@host", host="host", pid=1, started_at=timezone.now())
    heartbeats.note(process, depths=dict.fromkeys(queues), handling=0)


@pytest.fixture
def missed(post: SimpleNamespace, flow: Flow) -> UUID:
    """Let the desk miss one of two letters, written an hour ago; return it."""
    lost = written(post, flow)
    written(post, flow)
    InboxEvent.objects.filter(pk=row_of(lost).pk).delete()
    OutboxEvent.objects.update(added=timezone.now() - timedelta(hours=1))
    return lost


def test_number_of_unreceived_events_leads_to_a_page_that_names_them_and_the_remedy(
    admin_client: Client, missed: UUID
) -> None:
    seen(*registry.contexts())

    index = admin_client.get(reverse("admin:index"))
    page = admin_client.get(reverse("admin:microworkflows_unreceived"))

    assert "1 unreceived" in text_of(index)
    assert reverse("admin:microworkflows_unreceived") in index.content.decode()
    assert f"letters.letter_written.v1 desk.stamp_letter 1 {missed}" in text_of(page)
    assert "manage.py relay --again --since 20" in text_of(page)
    assert "--type letters.letter_written.v1" in text_of(page)


def test_number_of_unreceived_events_is_unknown_where_no_worker_of_a_listener_was_seen(
    admin_client: Client, post: SimpleNamespace, flow: Flow
) -> None:
    written(post, flow)

    assert counts.unreceived_events().number is None
    assert "unknown unreceived" in text_of(admin_client.get(reverse("admin:index")))
    assert "Unknown for " in text_of(admin_client.get(reverse("admin:microworkflows_unreceived")))

    seen(*registry.contexts())
    assert counts.unreceived_events().number == 0
    assert "None." in text_of(admin_client.get(reverse("admin:microworkflows_unreceived")))


def test_unreceived_events_are_for_those_who_may_see_the_outbox(login: Login, empty_registry: None) -> None:
    client = login("view_inboxevent")

    assert "unreceived" not in text_of(client.get(reverse("admin:index")))
    assert client.get(reverse("admin:microworkflows_unreceived")).status_code == 403


@pytest.mark.postgres
def test_counting_unreceived_events_gives_up_after_two_seconds_and_leaves_no_limit_behind(
    empty_registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            limits.append(cursor.fetchone()[0])
            cursor.execute("SELECT pg_sleep(30)")

    limits: list[str] = []
    monkeypatch.setattr(unreceived, "recent", count)

    found = counts.unreceived_events()

    assert (found.number, limits) == (None, ["2s"])
    assert "takes too long" in found.meaning
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_listener_that_came_after_an_event_does_not_miss_it(missed: UUID) -> None:
    row = OutboxEvent.objects.get(pk=missed)
    assert unreceived.recent().total() == 1

    row.headers = {**row.headers, Header.LISTENERS: {"desk.stamp_letters": 1}}
    row.save()
    assert unreceived.recent().total() == 0

    del row.headers[Header.LISTENERS]  # as a row of an earlier version
    row.save()
    assert unreceived.recent().total() == 1
