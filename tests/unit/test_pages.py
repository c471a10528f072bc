"""The journey on a page of one's own, which is no page of Django's admin: the tag, what it polls, and JSON."""

import json
import re
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template import engines
from django.test import Client
from django.urls import path
from pytest_django import Settings

from microworkflows import PermanentError, holds
from microworkflows.models import Hold, OutboxEvent
from microworkflows.pages import journey_response
from microworkflows.testing import Flow

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

PAGE = """{% load microworkflows %}<head>{% journey_media %}</head>{% journey letter url="/letters/1/journey/?tab=post" %}"""


def letter_page(request: HttpRequest) -> HttpResponse:
    letter = Group.objects.get(name="letter")
    return HttpResponse(engines["django"].from_string(PAGE).render({"letter": letter}, request))


def letter_journey(request: HttpRequest) -> HttpResponseBase:
    return journey_response(request, Group.objects.get(name="letter"), headline="A <letter>")


urlpatterns = [
    path("letters/1/", letter_page),
    path("letters/1/journey/", letter_journey),
    path("admin/", admin.site.urls),
]


@pytest.fixture
def letter(post: SimpleNamespace, flow: Flow) -> Group:
    """A letter whose stamping failed, with an error that quotes a secret."""
    group = Group.objects.create(name="letter")
    post.fail = PermanentError("Secret: pin 4711")
    flow.record(post.LetterWritten(letter_id=uuid4()), about=group)
    flow.run(keep_failures=True)
    return group


def clerk(*codenames: str, staff: bool = False) -> Client:
    user, _ = User.objects.update_or_create(username="clerk", defaults={"is_staff": staff})
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_page_shows_the_journey_and_names_what_it_polls(letter: Group) -> None:
    page = clerk().get("/letters/1/")

    assert "Letter written" in text_of(page)
    assert "needs attention" in text_of(page)
    assert 'data-mw-journey="/letters/1/journey/?tab=post"' in page.content.decode()
    assert "microworkflows/journey.js" in page.content.decode()


def test_page_polls_in_the_view_that_it_shows(letter: Group) -> None:
    page = clerk().get("/letters/1/?view=tree")

    assert 'data-mw-journey="/letters/1/journey/?tab=post&amp;view=tree"' in page.content.decode()


def test_fragment_has_the_headline_and_is_sent_once(letter: Group) -> None:
    client = clerk()
    first = client.get("/letters/1/journey/", headers={"Accept": "*/*"})
    second = client.get("/letters/1/journey/", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, second.status_code) == (200, 304)
    assert 'data-mw-part="headline">A &lt;letter&gt;<' in first.content.decode()
    assert "Letter written" in text_of(first)


@pytest.mark.parametrize(
    ("query", "accept"), [("?format=json", "text/html"), ("", "application/json"), ("?format=json", "*/*")]
)
def test_program_gets_json(letter: Group, query: str, accept: str) -> None:
    response = clerk().get(f"/letters/1/journey/{query}", headers={"Accept": accept})

    journey = json.loads(response.content)
    assert response.headers["Content-Type"] == "application/json"
    assert journey["state"] == "needs attention"
    assert journey["events"][0]["type"] == "letters.letter_written.v1"
    assert "Accept" in response.headers["Vary"]
    known = {"If-None-Match": response.headers["ETag"], "Accept": accept}
    assert clerk().get(f"/letters/1/journey/{query}", headers=known).status_code == 304


@pytest.mark.parametrize("asked", ["/letters/1/", "/letters/1/journey/", "/letters/1/journey/?format=json"])
def test_errors_and_payloads_are_for_those_who_may_see_them(letter: Group, asked: str) -> None:
    without = clerk().get(asked).content.decode()
    allowed = clerk("view_inboxevent", "view_outboxevent").get(asked).content.decode()

    assert "pin 4711" not in without
    assert "pin 4711" in allowed


def test_program_is_told_what_is_paused_and_by_whom_if_it_may_know(letter: Group) -> None:
    flow = OutboxEvent.objects.latest("pk").correlation_id
    holds.pause(Hold.Kind.FLOW, flow, by="ada", why="the bank is closed")

    answers = []
    for client in (clerk, partial(clerk, "view_hold")):  # it is one clerk, with other rights
        answers += json.loads(client().get("/letters/1/journey/?format=json").content)["pauses"]
    secret, told = answers

    assert (told["kind"], told["name"], told["ends_at"]) == ("flow", flow, None)
    assert (told["by"], told["why"]) == ("ada", "the bank is closed")
    assert secret == {**told, "by": None, "why": None}


def test_links_lead_into_the_admin_only_for_those_who_may_enter_it(letter: Group) -> None:
    everything = ("view_inboxevent", "view_outboxevent")

    assert "/admin/" not in clerk(*everything).get("/letters/1/").content.decode()
    assert (
        "/admin/microworkflows/inboxevent/"
        in clerk(*everything, staff=True).get("/letters/1/").content.decode()
    )


@pytest.mark.parametrize("asked", ["/letters/1/", "/letters/1/journey/", "/letters/1/journey/?format=json"])
def test_project_without_the_admin_has_journeys_and_no_links_into_it(
    letter: Group, settings: Settings, asked: str
) -> None:
    everything = clerk("view_inboxevent", "view_outboxevent", staff=True)
    settings.ROOT_URLCONF = tuple(urlpatterns[:2])
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "django.contrib.admin"]

    response = everything.get(asked)

    assert response.status_code == 200
    assert "letters.letter_written.v1" in response.content.decode()
    assert "/admin/" not in response.content.decode()


def test_unknown_flow_is_told_as_such(db: None) -> None:
    Group.objects.create(name="letter")

    page, answer = clerk().get("/letters/1/"), clerk().get("/letters/1/journey/?format=json")

    assert "not begun" in text_of(page)
    assert answer.status_code == 404
    assert "not begun, or was purged" in json.loads(answer.content)["error"]


def test_request_without_a_user_sees_neither_errors_nor_payloads(letter: Group) -> None:
    request = HttpRequest()
    request.method = "GET"
    request.GET = {"format": "json"}  # type: ignore[assignment]

    assert b"pin 4711" not in getattr(letter_journey(request), "content", b"")


def test_journey_is_read_and_never_posted(letter: Group) -> None:
    response = clerk().post("/letters/1/journey/")

    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")
