"""The page Cut-over in a real browser, from inline to live and back: what is asked, what is shown; light, dark and on a phone."""

import base64
import itertools
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from kombu import Connection
from pytest_django import Settings
from selenium.webdriver import Chrome

from microworkflows import celery_app, embedded, heartbeats, topology
from microworkflows.cutover import doubts, legacy_steps, returning, switch
from microworkflows.cutover.models import ModeChange
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import Setting
from microworkflows.errors import PermanentError
from microworkflows.models import Heartbeat, InboxEvent
from microworkflows.testing import Flow
from orders import operations
from orders.models import Order
from payments import gateway
from payments.events import PaymentReceived
from payments.models import Payment
from payments.workflows import refund_payment, take_payment
from tests.acceptance.admin import Admin
from tests.acceptance.running import wait_until
from tests.earlier_shop import earlier_shop
from tests.unit.cutover.conftest import CONTEXTS
from tests.unit.shop.conftest import Draft, draft, shop  # noqa: F401  (fixtures)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PAGE = "/admin/microworkflows_cutover/contextmode/"
CARD = "#payments"
SCREENS = [("light", False, False), ("dark", True, False), ("phone", False, True)]


@pytest.fixture
def monolith(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A monolith at work: payments has legacy steps and a worker, and a broker of files that nobody else uses."""
    settings.MICROWORKFLOWS = {"CUTOVER": CONTEXTS, "FOOTPRINT": "/srv/shop/footprint.json"}
    embedded.register()
    url = f"embedded://{tmp_path / 'broker'}"
    monkeypatch.setattr(celery_app.get(), "connection_for_read", lambda **options: Connection(url))
    with Connection(url) as connection:
        topology.declare(connection.channel())
        for _ in range(3):
            connection.Producer().publish("{}", exchange=topology.exchange_name(), routing_key="shipping")
    for queue in ("payments", "inventory", "monolith"):
        process = heartbeats.Process(worker=f"{queue}@kiln", host="kiln", pid=1, started_at=timezone.now())
        heartbeats.note(process, depths={queue: 0}, handling=0)
    alive = timezone.now() + timedelta(hours=1)
    Heartbeat.objects.exclude(queue="inventory").update(seen_at=alive)
    Heartbeat.objects.filter(queue="inventory").update(seen_at=timezone.now() - timedelta(hours=2))
    monkeypatch.setattr(doubts, "ENOUGH", 5)
    with legacy_steps.isolated(), earlier_shop():
        yield


@pytest.fixture
def admin(browser: Chrome, live_server: Any, client: Client) -> Iterator[Admin]:
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    browser.get(f"{live_server.url}/admin/login/")
    browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
    yield Admin(browser, live_server.url)
    browser.get("about:blank")


def look(browser: Chrome, name: str) -> None:
    """See that the page fits its screens; take pictures of the whole page if somebody wants to see them."""
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    for screen, dark, phone in SCREENS:
        metrics = {
            "width": 375 if phone else 1400,
            "height": 900,
            "deviceScaleFactor": 1,
            "mobile": phone,
        }
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        fits = "return document.documentElement.scrollWidth <= window.innerWidth"
        assert browser.execute_script(fits), f"{name} fits a screen of {metrics['width']} pixels"
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            clip = browser.execute_script(
                "const box = document.querySelector(arguments[0])?.getBoundingClientRect(); return box && "
                "{x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height, scale: 1.5}",
                CARD,
            )
            if clip:
                shot = {"captureBeyondViewport": True, "clip": clip}
                png = browser.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]
                (Path(folder) / f"{name}_{screen}_card.png").write_bytes(base64.b64decode(png))
            png = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})["data"]
            (Path(folder) / f"{name}_{screen}.png").write_bytes(base64.b64decode(png))
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def payments_of(event: Any) -> list[Any]:
    return [Payment.objects.filter(order_id=event.order_id)]


def test_context_is_handed_over_by_the_page_and_goes_back(
    monolith: None,
    admin: Admin,
    browser: Chrome,
    draft: Draft,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flow = Flow()
    wrong = {"currency": ""}

    def charge(event: Any) -> Any:
        paid = take_payment.function(event)
        return (
            paid.model_copy(update=wrong) if wrong["currency"] and isinstance(paid, PaymentReceived) else paid
        )

    legacy_steps.legacy(take_payment, observe=payments_of, noise=["payments.Payment.taken_at"])(charge)
    legacy_steps.legacy(refund_payment, observe=payments_of, noise=["payments.Payment.refunded_at"])(
        refund_payment.function
    )

    def place(number: int, **wishes: Any) -> list[Order]:
        return [operations.place_order(order=draft(**wishes)) for _ in range(number)]

    def go(button: str, why: str) -> None:
        admin.do(f"{CARD} form:not(.mw-move--back) input[name=why]", lambda field: field.send_keys(why))
        admin.do(f"{CARD} button[value='{button}']", lambda element: element.click())

    def says(text: str, where: str = CARD) -> bool:
        wait_until(f"{where} says {text!r}", lambda: text in admin.text(where), seconds=10)
        return True

    # Inline: shipping's queue has messages and no consumer, and says so.
    admin.open(PAGE)
    assert says("3 wait", "#shipping")
    assert says("not seen", "#inventory")
    assert says("running", CARD)
    look(browser, "inline")

    # Shadow: first all agree, in every step; then some do not.
    go("shadow ", "compare before handing over")
    assert says("compare before handing over")
    place(4)
    place(6, lines={"CUP-RAKU-LTD": 1})
    admin.open(PAGE)
    assert says("all agree")
    look(browser, "shadow_agreeing")
    wrong["currency"] = "USD"
    disagreeing = place(2)
    wrong["currency"] = ""
    admin.open(PAGE)
    assert says("2 not agreed")
    admin.do(f"{CARD} details.mw-disagreements summary", lambda element: element.click())
    assert says(disagreeing[-1].number)
    look(browser, "shadow_disagreeing")

    # Live 1 %: it asks first, and changes nothing until that is answered.
    go("live 1", "nearly all agree")
    assert says("did not agree with the legacy step: 2 differ", "#content")
    assert switch.settings()["payments"] == Setting(Mode.SHADOW)
    look(browser, "question")
    admin.do("#mw-confirm button", lambda element: element.click())
    assert says("1 % of new flows live")
    assert switch.settings()["payments"] == Setting(Mode.LIVE, 1)
    assert "2 of" in ModeChange.objects.latest("pk").against[0]
    place(3)
    lucky = next(
        order for order in (draft() for _ in itertools.count()) if not switch.position(str(order.pk))
    )
    operations.place_order(order=lucky)
    flow.run()
    admin.open(PAGE)
    assert says("Live and inline since")
    assert says("flows 1 3")
    look(browser, "live_1")

    # All flows are asked about apart; then they fail, and it goes back by itself.
    go("live 100", "as long as somebody looks")
    assert says("Nothing is left to the monolith", "#content")
    look(browser, "question_all")
    admin.do("#mw-confirm button", lambda element: element.click())
    assert says("100 % of new flows live")
    place(2)
    flow.run()
    admin.open(PAGE)
    admin.do(f"{CARD} input[name=failing]", lambda field: field.send_keys("3"))
    admin.do(f"{CARD} .mw-move--return button", lambda element: element.click())
    assert says("at 3 failing messages of live flows")

    def refuse() -> None:
        raise PermanentError("no such merchant")

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "configured", refuse)
        place(2)
        flow.run(keep_failures=True)
        admin.open(PAGE)
        assert says("2 parked")
        look(browser, "live_failing")
        still_live = place(2)
        place_one = InboxEvent.objects.parked().count()
        flow.run(keep_failures=True)
    assert (place_one, len(still_live)) == (2, 2)
    assert switch.settings()["payments"] == Setting(Mode.INLINE)
    admin.open(PAGE)
    assert says(returning.BY)
    assert says("went back by itself")
    assert says("4 flows still need the payments worker")
    assert says("Keep its worker until there is none.")
    look(browser, "returned")
    admin.do(f"{CARD} a[href$='{still_live[0].pk}/']", lambda element: element.click())
    assert reverse("admin:microworkflows_journey", args=[str(still_live[0].pk)]) == admin.path()
