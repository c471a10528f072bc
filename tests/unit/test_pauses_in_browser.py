"""Pause and resume in a real browser: from the list, by a form, and back by a question."""

import os
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from microworkflows import holds, inbox
from microworkflows.models import Hold, InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RIGHTS = ["view_hold", "pause_hold", "view_inboxevent", "view_outboxevent"]
STAMP = "desk.stamp_letter"


@pytest.fixture
def operator(browser: Chrome, live_server: LiveServer, client: Client) -> Chrome:
    """Log in an operator, who may see the messages, pause and resume."""
    user = User.objects.create(username="grace", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=RIGHTS))
    client.force_login(user)
    browser.get(f"{live_server.url}/admin/login/")
    browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
    holds.forget()
    return browser


def click(browser: Chrome, text: str) -> None:
    browser.find_element(By.XPATH, f"//*[@id='content']//a[contains(., '{text}')]").click()


def press(browser: Chrome) -> None:
    browser.find_element(By.CSS_SELECTOR, "#content .submit-row [type=submit]").click()


def text_of(browser: Chrome) -> str:
    return " ".join(browser.execute_script("return document.body.innerText").split())


def cut(browser: Chrome) -> bool:
    """Return True if the page is wider than the window."""
    return bool(browser.execute_script("return document.documentElement.scrollWidth > window.innerWidth"))


def picture(browser: Chrome, name: str) -> None:
    """Look at the page at both widths; keep a picture of it where somebody wants one."""
    for width in (400, 1400):
        browser.set_window_size(width, 1000)
        assert not cut(browser), (name, width)
        if folder := os.environ.get("SCREENSHOTS"):
            browser.save_screenshot(str(Path(folder) / f"{name}-{width}.png"))


def test_operator_pauses_a_microworkflow_sees_it_in_force_and_resumes_it(
    operator: Chrome, live_server: LiveServer, post: SimpleNamespace, flow: Flow
) -> None:
    holds.pause(Hold.Kind.CONTEXT, "archive", by="ada", why="paper is out")
    holds.resume(Hold.Kind.CONTEXT, "archive", by="ada")
    operator.get(f"{live_server.url}/admin/microworkflows/hold/")

    click(operator, "Pause…")
    press(operator)
    eventually(lambda: "This field is required" in text_of(operator), what="the form asks for a reason")
    picture(operator, "pause-form-errors")
    Select(operator.find_element(By.NAME, "what")).select_by_value(STAMP)
    operator.find_element(By.NAME, "why").send_keys("The ink is poor: letters come back unread.")
    operator.find_element(By.NAME, "minutes").send_keys("60")
    picture(operator, "pause-form")
    press(operator)

    eventually(lambda: f"The microworkflow {STAMP} is paused until" in text_of(operator), what="it is paused")
    holds.look(anew=True)
    event_id = flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1").id
    inbox.receive(OutboxEvent.objects.get(pk=event_id).body, queue="desk")
    operator.refresh()
    text = text_of(operator)
    assert "grace The ink is poor: letters come back unread. Resume…" in text
    assert text.index(STAMP) < text.index("paper is out")
    picture(operator, "pauses")
    wide, seen = operator.execute_script(
        "const list = document.querySelector('.results'); return [list.scrollWidth, list.clientWidth]"
    )
    assert wide <= seen
    for page, name in (
        ("", "first-page"),
        ("microworkflows/outboxevent/journey/letter-1/", "journey"),
        (f"microworkflows/inboxevent/{InboxEvent.objects.get().pk}/change/", "message"),
        (f"microworkflows/hold/{holds.in_force()[0].pk}/change/", "pause"),
    ):
        operator.get(f"{live_server.url}/admin/{page}")
        assert "paused" in text_of(operator)
        picture(operator, f"paused-{name}")

    operator.get(f"{live_server.url}/admin/microworkflows/hold/")
    click(operator, "Resume…")
    eventually(lambda: "Messages that wait: 1." in text_of(operator), what="the question")
    picture(operator, "pause-resume")
    press(operator)

    eventually(lambda: f"The microworkflow {STAMP} is resumed" in text_of(operator), what="it is resumed")
    assert "by grace" in text_of(operator)
    assert holds.in_force() == []
