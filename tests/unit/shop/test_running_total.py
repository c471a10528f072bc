"""The total below an order's lines while they are typed: its prices, and the script in a real browser."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from orders import operations
from orders.models import Order, Product
from project.processes.waiting import eventually
from tests.unit.shop.conftest import Draft

PRICES = "admin:orders_order_prices"

Login = Callable[..., Client]


@pytest.fixture
def clerk(login: Login) -> Client:
    """Somebody who drafts orders."""
    return login("add_order", "change_order", "add_orderline", "change_orderline", "view_product")


def product(sku: str) -> Product:
    return Product.objects.get(sku=sku)


def total(client: Client, url: str) -> bool:
    """Return True if a page has the place for the total."""
    return 'id="running-total"' in client.get(url).content.decode()


def test_prices_are_told_exactly_in_hundredths(clerk: Client, shop: None) -> None:
    dear = Product.objects.create(sku="DEAR", name="Dear", price=Decimal("99999999.99"), currency="GBP")
    tea = product("TEA-SENCHA-100")

    told = clerk.get(reverse(PRICES), {"product": [dear.pk, tea.pk]}).json()

    assert told == {
        str(dear.pk): {"cents": 9_999_999_999, "currency": "GBP"},
        str(tea.pk): {"cents": int(tea.price * 100), "currency": tea.currency},
    }


@pytest.mark.parametrize("key", ["0", "x", "-1", "9" * 40, "9" * 18, ""])
def test_unknown_product_has_no_price(clerk: Client, shop: None, key: str) -> None:
    assert clerk.get(reverse(PRICES), {"product": key}).json() == {}


def test_prices_are_for_those_who_may_see_the_catalogue(login: Login, shop: None) -> None:
    assert login("add_order").get(reverse(PRICES)).status_code == 403


def test_total_is_where_lines_are_typed(clerk: Client, draft: Draft) -> None:
    drafted, placed = draft(), operations.place_order(order=draft())
    add, edit, look = (
        reverse("admin:orders_order_add"),
        *(reverse("admin:orders_order_change", args=[each.pk]) for each in (drafted, placed)),
    )

    assert [total(clerk, url) for url in (add, edit, look)] == [True, True, False]


# In a browser


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_total_follows_what_is_typed(
    browser: Chrome, live_server: LiveServer, client: Client, admin_user: User, draft: Draft
) -> None:
    tea, mug = product_prices("TEA-SENCHA-100", "MUG-STONE-350", of=draft())
    page = Page(browser)
    page.open(live_server, client, admin_user, Order.objects.get())
    page.shows(2 * tea + mug)

    page.type(0, "999")
    page.shows(999 * tea + mug)

    page.type(0, "many")
    page.shows(mug, rest=", without 1 line that is not complete")

    page.type(0, "3")
    page.delete(1)
    page.shows(3 * tea)

    page.add(product("MUG-STONE-350"), "2")
    page.shows(3 * tea + 2 * mug)

    page.remove_added()
    page.shows(3 * tea)
    assert page.errors() == []


def product_prices(*skus: str, of: Order) -> list[Decimal]:
    return [of.lines.get(product__sku=sku).price for sku in skus]


class Page:
    """The page of a draft with two lines."""

    def __init__(self, browser: Chrome) -> None:
        self._browser = browser

    def open(self, server: LiveServer, client: Client, user: User, order: Order) -> None:
        client.force_login(user)
        self._browser.get(f"{server.url}/admin/login/")
        self._browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
        self._browser.get(f"{server.url}{reverse('admin:orders_order_change', args=[order.pk])}")

    def shows(self, amount: Decimal, *, rest: str = "") -> None:
        eventually(
            lambda: self._total() == f"Total: {amount} EUR{rest}",
            what=f"the total to be {amount}{rest}",
            timeout=20,
            progress=self._total,
        )

    def type(self, line: int, quantity: str) -> None:
        field = self._browser.find_element(By.NAME, f"lines-{line}-quantity")
        self._run("arguments[0].type = 'text'", field)  # a browser would not let the letters of a test in
        field.clear()
        field.send_keys(quantity)

    def delete(self, line: int) -> None:
        self._browser.find_element(By.NAME, f"lines-{line}-DELETE").click()

    def add(self, chosen: Product, quantity: str) -> None:
        """Choose as Select2 does, which tells of it by jQuery."""
        self._run(
            "const field = django.jQuery('[name=lines-2-product]');"
            "field.append(new Option(arguments[1], arguments[0], true, true)).trigger('change')",
            str(chosen.pk),
            str(chosen),
        )
        self.type(2, quantity)

    def remove_added(self) -> None:
        self._run("document.querySelector('#lines-2 .inline-deletelink').click()")

    def errors(self) -> list[Any]:
        log = self._browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no annotation here
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def _total(self) -> str:
        return str(self._run("return document.getElementById('running-total').textContent"))

    def _run(self, script: str, *values: object) -> Any:
        return self._browser.execute_script(script, *values)
