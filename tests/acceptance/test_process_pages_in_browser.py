"""The map, the variants and the business view in a real browser, on rows of the journal: light, dark and on a phone."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from selenium.webdriver import Chrome

from microworkflows.journal.models import Minute
from tests.acceptance.running import wait_until
from tests.unit.journal import process_rows

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PAGES = {"map": "context_changelist", "variants": "variants", "business": "business"}


@pytest.fixture
def page(browser: Chrome, live_server: Any, client: Client) -> Iterator["Page"]:
    process_rows.week()
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    browser.get(f"{live_server.url}/admin/login/")
    browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
    yield Page(browser, live_server.url)
    browser.get("about:blank")  # no poll is left when the server goes


class Page:
    def __init__(self, browser: Chrome, url: str) -> None:
        self._browser, self._url = browser, url

    def open(self, name: str, window: str = "1h") -> None:
        self._browser.get(
            f"{self._url}{reverse(f'admin:microworkflows_journal_{PAGES[name]}')}?window={window}"
        )

    def run(self, script: str, *values: object) -> Any:
        return self._browser.execute_script(script, *values)

    def is_within(self) -> bool:
        """Return True if the page itself need not be scrolled sideways."""
        return bool(self.run("return document.documentElement.scrollWidth <= window.innerWidth"))

    def look(self, name: str, *, dark: bool = False, phone: bool = False) -> None:
        """Take a picture, if somebody wants to see it."""
        self._browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": 375 if phone else 1400,
                "height": 812 if phone else 1000,
                "deviceScaleFactor": 1,
                "mobile": phone,
            },
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        if folder := os.environ.get("SCREENSHOTS"):
            height = self.run("return document.documentElement.scrollHeight")
            png = self._browser.execute_cdp_cmd(
                "Page.captureScreenshot",
                {
                    "captureBeyondViewport": True,
                    "clip": {
                        "x": 0,
                        "y": 0,
                        "width": 375 if phone else 1400,
                        "height": min(height, 3000),
                        "scale": 1,
                    },
                },
            )["data"]
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(png))


def test_pages_fit_light_dark_and_a_phone_and_the_map_renews_itself(page: Page) -> None:
    for name in PAGES:
        page.open(name)
        page.look(f"{name}_light")
        light = page.run(INK)
        assert page.is_within(), name
        page.look(f"{name}_dark", dark=True)
        assert page.run(INK) != light, name
        page.look(f"{name}_phone", phone=True)
        assert page.is_within(), f"{name}: the picture scrolls, not the page"
    page.open("map", "15m")
    assert "✕" not in page.run(TAKE_PAYMENT)
    page.run("window.marked = true")
    Minute.objects.filter(consumer="payments.take_payment").update(failed=1)

    wait_until("the map tells of the failures", lambda: "✕" in page.run(TAKE_PAYMENT), seconds=20)

    assert page.run("return window.marked === true"), "the page was loaded anew"
    page.run("document.querySelector('a[href=\"#to:payments.take_payment\"]').focus()")
    page._browser.switch_to.active_element.send_keys("\n")
    assert page.run("return document.querySelector('tr:target th').innerText") == "payments.take_payment"


INK = "return getComputedStyle(document.querySelector('.mw-process')).color"
TAKE_PAYMENT = "return document.querySelector('.mw-shape[href=\"#to:payments.take_payment\"]').textContent"
