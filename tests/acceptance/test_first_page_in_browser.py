"""The admin's first page in a real browser: a worker that stops shows by itself, on a phone too; light and dark."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from selenium.webdriver import Chrome

from microworkflows.journal.models import Alarm, Process
from tests.acceptance.running import wait_until
from tests.unit.journal import rows

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four contexts that began on an earlier day: of inventory nobody tells, and shipping's messages need somebody."""
    monkeypatch.setattr(rows, "NOW", timezone.now())
    for name in ("orders", "payments", "shipping"):
        rows.context(
            name, tallied_at=rows.ago(-600), tally={"parked": 3, "dead": 1} if name == "shipping" else None
        )
        for kind in ("worker", "relay"):
            rows.process(kind, name, seen=-600, began_at=rows.ago(2 * 24 * 3600))
    rows.context("inventory", tallied_at=rows.ago(600))
    Alarm.objects.create(
        flow=rows.flow("A-000123"),
        awaited="shipping.shipment_scheduled.v1",
        of="orders.order_accepted.v1",
        due_at=rows.ago(60),
        raised_at=rows.ago(50),
        owner="shipping",
        cause="parked",
        details="It is parked after attempt 10: CarrierAway: no answer python manage.py replay --context shipping",
    )


def look(browser: Chrome, name: str, *, dark: bool = False, phone: bool = False) -> None:
    """Set the screen, and take a picture if somebody wants to see it."""
    width = 375 if phone else 1400
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        png = browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(png))


@pytest.mark.usefixtures("services")
def test_stopped_worker_shows_on_the_first_page_by_itself(
    browser: Chrome, live_server: Any, client: Client
) -> None:
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    browser.get(f"{live_server.url}/admin/login/")
    browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
    browser.get(f"{live_server.url}/admin/")

    def table() -> str:
        return str(browser.execute_script("return document.querySelector('.mw-contexts').innerText"))

    before = table()
    look(browser, "first_page_light")
    fits = (
        "const box = document.querySelector('.mw-contexts__table'); return box.scrollWidth <= box.clientWidth"
    )
    assert browser.execute_script(fits), "all columns are to be seen at once"
    stopped = timezone.now()
    Process.objects.filter(kind="worker", service="payments").update(stopped_at=stopped, seen_at=stopped)
    wait_until("the stopped worker on the page", lambda: "stopped since" in table(), seconds=20)

    assert "stopped" not in before
    assert "unknown" in before
    look(browser, "first_page_dark", dark=True)
    look(browser, "first_page_phone", phone=True)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.find_element("css selector", '.mw-contexts a[href*="alarm"][href*="shipping"]').click()
    assert "A-000123" in browser.page_source
    look(browser, "alarms_light")
    browser.get("about:blank")  # no poll is left when the server goes
