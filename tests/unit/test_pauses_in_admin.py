"""Pauses in the admin: who may pause and resume there, what the pages say, and that nobody takes what is paused for a fault."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.safestring import SafeString

from microworkflows import PermanentError, holds, inbox, overviews, times
from microworkflows.admin import contexts
from microworkflows.models import Hold, InboxEvent, OutboxEvent
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

Login = Callable[..., Client]
KIND = Hold.Kind
STAMP = "desk.stamp_letter"
LIST = "/admin/microworkflows/hold/"
ADD = f"{LIST}add/"
READ, WRITE = "view_hold", "pause_hold"


@pytest.fixture(autouse=True)
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read the holds anew for each look, remember none after the test, and let no guest fill the table of contexts."""
    monkeypatch.setattr(contexts, "_sources", [])
    holds.forget()
    yield
    holds.forget()


def pause(kind: Hold.Kind, name: str, *, why: str = "the bank is closed", **given: Any) -> Hold:
    made = holds.pause(kind, name, by="ada", why=why, **given)
    holds.look(anew=True)
    return made


def deliver(event_id: UUID) -> None:
    inbox.receive(OutboxEvent.objects.get(pk=event_id).body, queue="desk")


def put_aside(post: SimpleNamespace, flow: Flow, *, number: int = 1) -> list[InboxEvent]:
    """Record letters and deliver them while they are paused; return their messages."""
    found = []
    for _ in range(number):
        event_id = flow.record(post.LetterWritten(letter_id=uuid4())).id
        deliver(event_id)
        found.append(InboxEvent.objects.of_deliveries([(STAMP, event_id)]).get())
    return found


def resume_url(hold: Hold) -> str:
    return reverse("admin:microworkflows_hold_resume", args=[hold.pk])


def text_of(response: Any) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())))


def told(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


# ------------------------------------------------------------------------------------- Pause


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        ({"what": "desk"}, KIND.CONTEXT, "desk"),
        ({"what": STAMP}, KIND.MICROWORKFLOW, STAMP),
        ({"flow": "letter-1"}, KIND.FLOW, "letter-1"),
    ],
)
def test_form_pauses_and_says_who_and_why(
    post: SimpleNamespace, flow: Flow, login: Login, given: dict[str, str], kind: Hold.Kind, name: str
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    client = login(READ, WRITE)

    response = client.post(ADD, {**given, "why": "the bank is closed"}, follow=True)

    hold = Hold.objects.get()
    entry = LogEntry.objects.get()
    assert response.redirect_chain == [(LIST, 302)]
    assert (hold.kind, hold.name, hold.why, hold.ends_at) == (kind, name, "the bank is closed", None)
    assert (hold.by, entry.user.get_username()) == (entry.user.get_username(), hold.by)
    assert (entry.object_id, entry.get_change_message()) == (
        str(hold.pk),
        "Paused in the admin. Reason: the bank is closed",
    )
    assert f"{hold} is paused until somebody resumes it" in told(response)


def test_pause_may_have_an_end(post: SimpleNamespace, login: Login) -> None:
    login(READ, WRITE).post(ADD, {"what": "desk", "why": "the bank is closed", "minutes": "60"})

    hold = Hold.objects.get()
    assert hold.ends_at is not None
    assert timedelta(minutes=59) < times.aware(hold.ends_at) - datetime.now(UTC) <= timedelta(minutes=60)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"what": "desk"}, "This field is required"),
        ({"what": "desk", "why": "  "}, "This field is required"),
        ({"why": "so"}, "one of the two"),
        ({"what": "desk", "flow": "letter-1", "why": "so"}, "one of the two"),
        ({"what": "nowhere", "why": "so"}, "nowhere is not one of the available choices"),
        ({"what": "desk.sing", "why": "so"}, "desk.sing is not one of the available choices"),
        ({"flow": "nobody's", "why": "so"}, "No event of such a flow is known here"),
        ({"what": "desk", "why": "so", "minutes": "0"}, "greater than or equal to 1"),
        ({"what": "desk", "why": "so", "minutes": "9" * 30}, "less than or equal to"),
        ({"what": "archive", "why": "so"}, "The context archive is paused already"),
        ({"flow": "x" * 256, "why": "so"}, "at most 255 characters"),
    ],
)
def test_mistake_is_an_error_of_the_form_and_pauses_nothing(
    post: SimpleNamespace, login: Login, given: dict[str, str], said: str
) -> None:
    pause(KIND.CONTEXT, "archive")

    response = login(READ, WRITE).post(ADD, given)

    assert response.status_code == 200
    assert said in text_of(response)
    assert Hold.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_two_who_pause_at_the_same_moment_make_one_pause(
    post: SimpleNamespace, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = login(READ, WRITE)

    def lose(**_: object) -> None:
        raise IntegrityError("microworkflows_one_hold")

    monkeypatch.setattr(Hold.objects, "create", lose)
    response = client.post(ADD, {"what": "desk", "why": "so"})

    assert "Somebody else has paused the context desk at this very moment" in text_of(response)


def test_form_offers_what_is_gone_if_messages_of_it_are_there(
    post: SimpleNamespace, flow: Flow, login: Login
) -> None:
    pause(KIND.CONTEXT, "desk")
    (row,) = put_aside(post, flow)
    InboxEvent.objects.filter(pk=row.pk).update(msg_id=f"desk.gone:{row.event_id}")
    client = login(READ, WRITE)

    form = client.get(ADD, {"what": "desk.gone"}).content.decode()
    client.post(ADD, {"what": "desk.gone", "why": "so"})

    assert '<option value="desk.gone" selected>' in form
    assert Hold.objects.get(name="desk.gone").kind == KIND.MICROWORKFLOW


# ------------------------------------------------------------------------------------- Resume


def test_resuming_is_asked_first_and_recorded(post: SimpleNamespace, flow: Flow, login: Login) -> None:
    hold, client = pause(KIND.CONTEXT, "desk"), login(READ, WRITE)
    put_aside(post, flow, number=3)

    asked = client.get(resume_url(hold))
    hold.refresh_from_db()
    still = hold.ended_at
    response = client.post(resume_url(hold), follow=True)

    hold.refresh_from_db()
    entry = LogEntry.objects.get()
    assert "Messages that wait: 3." in text_of(asked)
    assert still is None
    assert hold.ended_at is not None
    assert hold.ended_by == entry.user.get_username()
    assert entry.get_change_message() == "Resumed in the admin."
    assert "The context desk is resumed." in told(response)


def test_old_page_does_not_resume_a_later_pause(post: SimpleNamespace, login: Login) -> None:
    old = pause(KIND.CONTEXT, "desk")
    holds.resume(KIND.CONTEXT, "desk", by="ada")
    new = pause(KIND.CONTEXT, "desk")

    response = login(READ, WRITE).post(resume_url(old), follow=True)

    new.refresh_from_db()
    assert new.ended_at is None
    assert "was resumed already" in told(response)


# ------------------------------------------------------------------------------------- Rights


def test_nobody_pauses_or_resumes_without_the_permission(post: SimpleNamespace, login: Login) -> None:
    hold, client = pause(KIND.CONTEXT, "desk"), login(READ, "view_inboxevent", "view_outboxevent")

    answers = [
        client.get(ADD),
        client.post(ADD, {"what": "archive", "why": "so"}),
        client.get(resume_url(hold)),
        client.post(resume_url(hold)),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert Hold.objects.filter(ended_at=None).get() == hold
    for page in (LIST, f"{LIST}{hold.pk}/change/", "/admin/"):
        shown = client.get(page).content.decode()
        assert ADD not in shown
        assert "/resume/" not in shown


def test_record_is_for_those_who_may_see_it_and_nobody_edits_it(post: SimpleNamespace, login: Login) -> None:
    hold = pause(KIND.CONTEXT, "desk")
    page = f"{LIST}{hold.pk}/change/"
    nobody, reader = login(), login(READ)

    assert login().get(LIST).status_code == 403
    assert nobody.get(page).status_code == 403
    reader = login(READ, WRITE)
    assert "the bank is closed" in text_of(reader.get(page))
    assert reader.post(page, {"why": "another"}).status_code == 403
    assert reader.post(f"{LIST}{hold.pk}/delete/", {"post": "yes"}).status_code == 403
    hold.refresh_from_db()
    assert hold.why == "the bank is closed"


def test_who_may_pause_and_see_no_list_comes_back_to_the_first_page(
    post: SimpleNamespace, login: Login
) -> None:
    client = login(WRITE)

    assert 'href="/admin/"' in client.get(ADD).content.decode()
    assert client.post(ADD, {"what": "desk", "why": "so"}).headers["Location"] == "/admin/"


# ------------------------------------------------------------------------------------- List


def test_list_begins_with_those_in_force_and_keeps_the_record_of_the_others(
    post: SimpleNamespace, flow: Flow, login: Login
) -> None:
    pause(KIND.CONTEXT, "archive", why="paper is out")
    holds.resume(KIND.CONTEXT, "archive", by="grace")
    pause(KIND.FLOW, "letter-1", ends_at=datetime.now(UTC) + timedelta(hours=1))
    Hold.objects.filter(name="letter-1").update(ends_at=times.now() - timedelta(minutes=1))
    Hold.objects.update(began_at=times.now() - timedelta(hours=2))
    pause(KIND.MICROWORKFLOW, STAMP)
    Hold.objects.filter(name=STAMP).update(began_at=times.now() - timedelta(days=3))
    put_aside(post, flow, number=2)

    response = login(READ, WRITE).get(LIST)

    names = [hold.name for hold in response.context["cl"].result_list]
    text = text_of(response)
    assert names[0] == STAMP
    assert f"{STAMP} microworkflow paused" in text
    assert "for 3 d 0 h somebody resumes it 2 ada the bank is closed Resume…" in text
    assert "ada paper is out" in text
    assert "by grace" in text
    assert "by itself" in text
    assert text.count("Resume…") == 1
    assert [hold.name for hold in login(READ).get(LIST, {"state": "paused"}).context["cl"].result_list] == [
        STAMP
    ]


def test_list_takes_as_many_statements_for_many_pauses_as_for_one(
    post: SimpleNamespace, flow: Flow, login: Login
) -> None:
    client = login(READ, WRITE)
    pause(KIND.FLOW, "letter-0")
    with CaptureQueriesContext(connection) as for_one:
        client.get(LIST)

    for number in range(1, 30):
        pause(KIND.FLOW, f"letter-{number}")
    pause(KIND.CONTEXT, "desk")
    with CaptureQueriesContext(connection) as for_many:
        client.get(LIST)

    assert len(for_many) == len(for_one)


# ------------------------------------------------------------------------------------- Where it is told


def test_page_of_a_message_leads_to_the_form_filled_in(
    post: SimpleNamespace, flow: Flow, login: Login
) -> None:
    post.fail = PermanentError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    row = InboxEvent.objects.parked().get()
    page = f"/admin/microworkflows/inboxevent/{row.pk}/change/"
    link = f"{ADD}?what={STAMP}"

    client = login("view_inboxevent", WRITE)

    assert f'href="{link}"' in client.get(page).content.decode()
    assert f'<option value="{STAMP}" selected>' in client.get(link).content.decode()
    assert ADD not in login("view_inboxevent").get(page).content.decode()


def test_message_that_is_paused_says_so_and_is_no_failure(
    post: SimpleNamespace, flow: Flow, login: Login
) -> None:
    pause(KIND.MICROWORKFLOW, STAMP)
    (row,) = put_aside(post, flow)
    client = login("view_inboxevent", WRITE)

    listed = client.get("/admin/microworkflows/inboxevent/")
    page = client.get(f"/admin/microworkflows/inboxevent/{row.pk}/change/")

    assert f"the microworkflow {STAMP} is paused since" in text_of(listed)
    assert "when it is resumed" in text_of(page)
    assert "mw-failed" not in listed.content.decode()
    for shown in (listed, page):
        assert '<span class="mw-badge mw-badge--busy">paused</span>' in shown.content.decode()
    assert f"{ADD}?" not in page.content.decode()


@pytest.mark.parametrize("kind", list(KIND))
def test_journey_says_what_is_paused_since_when_and_by_whom(
    post: SimpleNamespace, flow: Flow, login: Login, kind: Hold.Kind
) -> None:
    names = {KIND.CONTEXT: "desk", KIND.MICROWORKFLOW: STAMP, KIND.FLOW: "letter-1"}
    event = flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    page = reverse("admin:microworkflows_journey", args=["letter-1"])
    client = login("view_outboxevent", "view_inboxevent", WRITE)
    before = client.get(page)
    hold = pause(kind, names[kind])
    deliver(event.id)
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)

    response = client.get(page)
    shown = response.content.decode()

    assert "is paused since" not in text_of(before)
    assert f'href="{ADD}?flow=letter-1"' in before.content.decode()
    assert re.search(
        rf"The {hold.get_kind_display()} {hold.name} is paused since .* by ada : the bank", text_of(response)
    )
    assert (f"{ADD}?" in shown) == (kind != KIND.FLOW)
    assert "mw-delivery--paused" in shown
    assert '<span class="mw-badge mw-badge--bad">' not in shown
    assert '<span class="mw-badge mw-badge--busy">paused</span> <span>' in shown
    assert "on its way" not in shown


def test_who_may_not_see_pauses_is_told_neither_by_whom_nor_why(
    post: SimpleNamespace, flow: Flow, login: Login
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    pause(KIND.FLOW, "letter-1")

    text = text_of(login("view_outboxevent").get(reverse("admin:microworkflows_journey", args=["letter-1"])))

    assert "is paused since" in text
    assert "ada" not in text
    assert "the bank is closed" not in text


def test_journey_that_waits_for_something_else_says_nothing_of_a_pause(
    post: SimpleNamespace, flow: Flow, login: Login
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    flow.run()
    pause(KIND.CONTEXT, "desk")
    pause(KIND.FLOW, "letter-2")

    page = login("view_outboxevent").get(reverse("admin:microworkflows_journey", args=["letter-1"]))

    assert "paused" not in text_of(page)


@pytest.mark.parametrize("kind", list(KIND))
def test_picture_of_a_guest_has_what_is_paused_beside_it(
    post: SimpleNamespace, flow: Flow, login: Login, monkeypatch: pytest.MonkeyPatch, kind: Hold.Kind
) -> None:
    class Guest(overviews.Overview):
        def picture(self, request: Any, correlation_id: str) -> overviews.Picture:
            return overviews.Picture(title="", summary=SafeString("Late."), body=SafeString(), ended=False)

    monkeypatch.setattr(overviews, "overview", Guest())
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    names = {KIND.CONTEXT: "desk", KIND.MICROWORKFLOW: STAMP, KIND.FLOW: "letter-1"}
    pause(KIND.CONTEXT, "archive")
    hold = pause(kind, names[kind])

    page = login("view_outboxevent", READ).get(reverse("admin:microworkflows_journey", args=["letter-1"]))

    assert f"The {hold.get_kind_display()} {hold.name} is paused since" in text_of(page)
    assert "archive is paused" not in text_of(page)


def test_first_page_says_what_is_paused(post: SimpleNamespace, login: Login) -> None:
    pause(KIND.MICROWORKFLOW, STAMP)
    pause(KIND.CONTEXT, "desk")
    pause(KIND.FLOW, "letter-1")

    text = text_of(login("view_inboxevent", READ).get("/admin/"))
    of_another = text_of(login("view_outboxevent").get("/admin/"))

    assert re.search(r"desk paused since [\d:]+ by ada paused stamp_letter since [\d:]+ by ada", text)
    assert "3 paused" in text
    assert "paused since" in of_another
    assert "ada" not in of_another


def test_row_of_a_context_names_few_of_many_pauses(post: SimpleNamespace, login: Login) -> None:
    for number in range(5):
        Hold.objects.create(
            kind=KIND.MICROWORKFLOW,
            name=f"desk.step_{number}",
            by="ada",
            why="so",
            began_at=times.now(),
        )

    assert "and 2 more" in text_of(login("view_inboxevent", READ).get("/admin/"))
