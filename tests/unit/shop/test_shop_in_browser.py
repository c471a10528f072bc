"""The shop's pages in a real browser, as wide as its people's screens: the journey stands beside the order, and no list is cut."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome

from microworkflows.testing import Flow
from orders import operations
from orders.models import Order
from tests.unit.shop.conftest import Draft

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

See = Callable[..., None]


@pytest.fixture
def see(browser: Chrome, live_server: LiveServer, client: Client, admin_user: User) -> See:
    """Return a function that shows a page in a window of some width to somebody who may do everything."""
    client.force_login(admin_user)
    browser.get(f"{live_server.url}/admin/login/")
    browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})

    def show(path: str, *, width: int, picture: str) -> None:
        browser.set_window_size(width, 1000)
        browser.get(live_server.url + path)
        if folder := os.environ.get("SCREENSHOTS"):
            browser.save_screenshot(str(Path(folder) / f"{picture}.png"))

    return show


def page(order: Order) -> str:
    return reverse("admin:orders_order_change", args=[order.pk])


def test_journey_stands_beside_a_placed_order(see: See, browser: Chrome, draft: Draft) -> None:
    order = operations.place_order(order=draft())

    see(page(order), width=1200, picture="placed-1200")

    journey, form = (
        browser.execute_script(
            "return document.querySelector(arguments[0]).getBoundingClientRect()", selector
        )
        for selector in (".mw-page__journey", ".mw-page__form #content-main")
    )
    assert journey["left"] >= form["right"]


def test_draft_shows_its_state_and_no_journey(see: See, browser: Chrome, draft: Draft) -> None:
    see(page(draft()), width=1200, picture="draft-1200")

    text = browser.execute_script("return document.querySelector('#content').innerText")
    assert "Draft" in text
    assert "Journey" not in text


@pytest.mark.parametrize("shown", ["microworkflows/outboxevent", "microworkflows/inboxevent", "orders/order"])
def test_list_is_not_cut_beside_its_filters(
    see: See, browser: Chrome, draft: Draft, flow: Flow, shown: str
) -> None:
    operations.place_order(order=draft(payment_token="tok_declined"))
    flow.run()

    see(f"/admin/{shown}/", width=1400, picture=f"{shown.rpartition('/')[2]}-1400")

    rows, wide, seen = browser.execute_script(
        "const list = document.querySelector('.results');"
        "return [list.querySelectorAll('tbody tr').length, list.scrollWidth, list.clientWidth]"
    )
    assert rows
    assert wide <= seen
