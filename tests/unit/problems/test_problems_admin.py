from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from microworkflows import holds
from microworkflows.errors import PermanentError
from microworkflows.models import Header, Hold, InboxEvent
from microworkflows.problems import replays
from microworkflows.problems.models import Problem, Replay
from microworkflows.testing import Flow
from tests.unit.problems.conftest import Fail

Login = Callable[..., Client]


@pytest.fixture
def torn(fail: Fail) -> list[InboxEvent]:
    return fail(PermanentError("torn & lost"), 3)


def page(client: Client, row: InboxEvent | None = None) -> str:
    name, key = ("changelist", []) if row is None else ("change", [row.fingerprint])
    response = client.get(reverse(f"admin:microworkflows_problems_problem_{name}", args=key))
    assert response.status_code == 200
    return response.content.decode()


def send(client: Client, name: str, row: InboxEvent, **form: Any) -> Any:
    url = reverse(f"admin:microworkflows_problems_{name}", args=[row.fingerprint])
    return client.post(url, form, follow=True)


def told(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_page_lists_each_problem_once(torn: list[InboxEvent], fail: Fail, login: Login) -> None:
    fail(ValueError("no ink"))
    client = login("view_problem")

    text = page(client)

    assert text.count('<tr id="problem-') == 2
    assert "PermanentError: torn &amp; lost" in text
    assert "3 parked" in text
    assert "L-3" in text
    assert 'aria-label="3 failed attempts in 24 hours, at most 3 in one"' in text


def test_page_says_that_nothing_failed(login: Login) -> None:
    assert "No message waits or is parked" in page(login("view_problem"))


def test_problem_leads_to_a_pause_of_its_microworkflow_unless_it_is_paused(
    torn: list[InboxEvent], login: Login
) -> None:
    link = f'href="{reverse("admin:microworkflows_hold_add")}?what={torn[0].label}"'

    assert link not in page(login("view_problem"), torn[0])
    assert link in page(login("view_problem", "pause_hold"), torn[0])
    holds.pause(Hold.Kind.MICROWORKFLOW, torn[0].label, by="ada", why="paper is out")
    assert link not in page(login("view_problem", "pause_hold"), torn[0])


def test_replay_of_a_group_is_begun_watched_and_stopped(
    torn: list[InboxEvent], login: Login, flow: Flow
) -> None:
    client = login("view_problem", "replay_inboxevent", "view_inboxevent")
    assert "Replay 3 messages" in page(client, torn[0])

    begun = send(client, "replay", torn[0], per_second="1", why="glued")
    twice = send(client, "replay", torn[0], per_second="1")
    replays.advance(["desk"])
    InboxEvent.objects.waiting().update(status=InboxEvent.Status.PARKED, retry=1)
    replays.advance(["desk"])
    url = reverse("admin:microworkflows_problems_progress", args=[torn[0].fingerprint])
    fragment = client.get(url).content.decode()
    stopped = send(client, "stop", torn[0])
    too_late = send(client, "stop", torn[0])

    assert told(begun) == ["A replay of 3 messages has begun, 1 a second."]
    assert 'id="mw-replay"' not in begun.content.decode()
    assert told(twice)[0].startswith("Another replay of this problem is under way")
    assert 'data-mw-running="true"' in fragment
    assert "2 still to come" in fragment
    assert "1 failed again" in fragment
    assert str(torn[0].event_id) in fragment
    assert "<html" not in fragment
    assert told(stopped) == ["The replay that clerk began was stopped."]
    assert told(too_late) == ["No replay of this problem is under way (any more)."]
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        "A replay of 3 messages has begun, 1 a second.",
        "The replay that clerk began was stopped.",
    ]


def test_group_is_dismissed_with_a_reason(torn: list[InboxEvent], login: Login) -> None:
    client = login("view_problem", "dismiss_inboxevent")

    refused = send(client, "dismiss", torn[0], why=" ")
    done = send(client, "dismiss", torn[0], why="thrown away")

    assert told(refused) == ["Give the reason why nobody needs these messages handled."]
    assert told(done) == ["3 messages were dismissed. Reason: thrown away"]
    assert "No message waits or is parked because of this problem" in done.content.decode()
    assert not InboxEvent.objects.failing().exists()
    assert LogEntry.objects.get().object_id == torn[0].fingerprint


def test_problem_is_assigned_to_a_member_of_staff(torn: list[InboxEvent], login: Login) -> None:
    client = login("view_problem", "assign_problem")
    User.objects.create_user("visitor")

    refused = send(client, "assign", torn[0], user="visitor")
    done = send(client, "assign", torn[0], user="clerk")
    assigned = Problem.objects.get().assigned_to
    taken_back = send(client, "assign", torn[0], user="")

    assert told(refused) == ["'visitor' is none of the active members of staff."]
    assert (told(done), assigned) == (["Assigned to clerk."], "clerk")
    assert told(taken_back) == ["Assigned to nobody."]
    assert Problem.objects.get().assigned_to == ""


@pytest.mark.parametrize(
    ("act", "form"),
    [
        ("replay", {"per_second": "1"}),
        ("stop", {}),
        ("dismiss", {"why": "no need"}),
        ("assign", {"user": "clerk"}),
    ],
)
def test_each_act_needs_its_permission_and_a_post(
    torn: list[InboxEvent], login: Login, act: str, form: dict[str, str]
) -> None:
    client = login("view_problem", "view_inboxevent")

    refused = send(client, act, torn[0], **form)
    got = client.get(reverse(f"admin:microworkflows_problems_{act}", args=[torn[0].fingerprint]))

    assert (refused.status_code, got.status_code) == (403, 405)
    assert f'id="mw-{act}"' not in page(client, torn[0])
    assert InboxEvent.objects.parked().count() == 3
    assert not Replay.objects.exists()


def test_pages_are_for_those_who_may_see_problems(torn: list[InboxEvent], login: Login) -> None:
    client = login("view_inboxevent", "replay_inboxevent")
    key = [torn[0].fingerprint]

    for name, args in (("problem_changelist", []), ("problem_change", key), ("progress", key)):
        assert client.get(reverse(f"admin:microworkflows_problems_{name}", args=args)).status_code == 403
    assert send(client, "replay", torn[0], per_second="1").status_code == 403


def test_pace_has_to_be_a_number(torn: list[InboxEvent], login: Login) -> None:
    client = login("view_problem", "replay_inboxevent")

    assert told(send(client, "replay", torn[0], per_second="fast")) == [
        "Say how many messages a second are to be replayed."
    ]


def test_messages_that_failed_before_fingerprints_were_kept_are_shown_and_not_acted_on(
    torn: list[InboxEvent], admin_client: Client
) -> None:
    for row in torn:
        row.headers = {key: value for key, value in row.headers.items() if key != Header.FINGERPRINT}
        row.save(update_fields=["headers"])

    assert "Failed before causes were kept" in page(admin_client)
    response = admin_client.get(reverse("admin:microworkflows_problems_problem_change", args=["unknown"]))
    text = response.content.decode()
    assert "3 parked" in text
    assert 'id="mw-dismiss"' not in text
