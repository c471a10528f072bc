"""The journal's pages in a real browser, from rows alone: light, dark and on a phone; a journey renews itself until it has ended."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome

from microworkflows.journal.models import Delivery, Event, Flow
from tests.acceptance.running import wait_until
from tests.unit.journal import shop
from tests.unit.journal.shop import seconds

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

VIEWS = ("timeline", "tree", "sequence", "table")
LOOKS = (("light", (1400, 1000)), ("dark", (375, 800)))


class Pages:
    """The admin, seen by somebody who may see everything."""

    def __init__(self, browser: Chrome, server: LiveServer, client: Client) -> None:
        self._browser = browser
        self._server = server
        browser.get(f"{server.url}/admin/login/")
        browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})

    def wear(self, theme: str, size: tuple[int, int]) -> None:
        """See what follows in the admin's light or dark theme, on a screen of this size."""
        width, height = size
        self._browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        self.run("localStorage.setItem('theme', arguments[0])", theme)

    def look(self, url: str) -> None:
        self._browser.get(self._server.url + url)

    def run(self, script: str, *arguments: object) -> Any:
        return self._browser.execute_script(script, *arguments)

    def text(self, selector: str = "#content") -> str:
        text = self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        return " ".join(text.split())

    def save(self, name: str) -> None:
        """Keep a picture of the page where somebody wants to look at it."""
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._browser.save_screenshot(str(Path(folder) / f"{name}.png"))

    def errors(self) -> list[str]:
        log = self._browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium types it not
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]


@pytest.fixture
def pages(browser: Chrome, live_server: LiveServer, client: Client) -> Pages:
    client.force_login(User.objects.create_superuser("clerk"))
    return Pages(browser, live_server, client)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def flow(now: datetime) -> Flow:
    """An order whose payment was parked and replayed, and which now waits for shipping, whose worker was stopped."""
    shop.contexts(now=now + timedelta(hours=1), silent=["shipping"])
    began = now - timedelta(minutes=12)
    shop.process("shipping@host-2", seen_at=began, stopped_at=began)
    flow = shop.flow(
        began_at=began,
        last_at=now,
        since=now - timedelta(minutes=4),
        waiting_for=["shipping.schedule_shipment"],
    )
    events = shop.order(flow, steps=3, at=began)
    payment = Delivery.objects.get(event=events[0])
    Delivery.objects.filter(pk=payment.pk).update(attempts=3, handled_at=began + seconds(480))
    shop.attempt(payment, 1, at=began + seconds(1))
    shop.attempt(payment, 2, at=began + seconds(60), ending="parked")
    shop.attempt(payment, 2, at=began + seconds(420), ending="replayed", by="ada", why="The bank is back.")
    for number, event in enumerate(events[1:], start=1):
        at = began + seconds(480 + number)
        Event.objects.filter(pk=event.pk).update(recorded_at=at, relayed_at=at + seconds(0.1))
        Delivery.objects.filter(event=event).update(
            received_at=at + seconds(0.2), handled_at=at + seconds(0.6)
        )
    return flow


def journey(flow: Flow, view: str = "") -> str:
    url = reverse("admin:microworkflows_journey", args=[flow.correlation_id])
    return f"{url}?view={view}" if view else url


@pytest.mark.parametrize(("theme", "size"), LOOKS)
def test_journey_is_readable_light_on_a_desk_and_dark_on_a_phone(
    pages: Pages, flow: Flow, theme: str, size: tuple[int, int]
) -> None:
    pages.wear(theme, size)
    for view in VIEWS:
        pages.look(journey(flow, view))

        assert "shipping has no worker since" in pages.text()
        wide = pages.run("return document.documentElement.scrollWidth")
        assert wide <= size[0], f"{view} scrolls the page sideways at {size[0]} px"
        drawn = (
            "return document.querySelector('.mwj-view svg, .mwj-view table').getBoundingClientRect().height"
        )
        assert pages.run(drawn) > 50
        dark = pages.run("return getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(18, 18, 18)") is (theme == "dark"), dark
        pages.save(f"journey-{view}-{theme}-{size[0]}")
    shop.flow(name="A-000124", state=Flow.State.FAILED, waiting_for=["payments.take_payment"])
    pages.look(reverse("admin:microworkflows_journal_flow_changelist"))
    assert "A-000124" in pages.text()
    assert pages.run("return document.documentElement.scrollWidth") <= size[0]
    pages.save(f"flows-{theme}-{size[0]}")
    assert pages.errors() == []


def test_journey_renews_itself_and_its_poll_ends_with_the_flow(
    pages: Pages, flow: Flow, now: datetime
) -> None:
    pages.look(journey(flow))
    pages.run(
        "window.asked = 0; const ask = fetch; window.fetch = (...all) => { window.asked += 1; return ask(...all); }"
    )
    look_now = "window.asked = 0; dispatchEvent(new Event('online')); return window.asked"
    assert pages.run(look_now) == 1
    event = Event.objects.get(flow=flow, type=shop.RESERVED)
    shop.delivery(event, "shipping.schedule_shipment", at=now)
    Flow.objects.update(state=Flow.State.DONE, outcome="shipped")

    wait_until("the page says the end", lambda: "done ended as shipped" in pages.text(), seconds=30)

    assert "shipping has no worker" not in pages.text()
    assert pages.run(look_now) == 0
    assert pages.errors() == []
