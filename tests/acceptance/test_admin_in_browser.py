"""The admin in a real browser, in front of real workers: an order is placed and watched, a dead letter is replayed."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from tests.acceptance.running import Demo, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.browser]


@pytest.fixture
def admin(browser: Chrome, open_shop: Demo) -> "Admin":
    """Return the admin's first page, logged in with what the demo's terminal says."""
    page = Admin(browser, open_shop)
    page.open("/admin/")
    page.type("username", open_shop.wait_for(r"user +(\w+)")[1])
    page.type("password", open_shop.wait_for(r"password +(\w+)")[1])
    page.screenshot("01_login")
    page.press("Log in")
    page.screenshot("02_index")
    return page


def test_order_is_placed_and_watched_until_it_is_shipped_without_a_reload(admin: "Admin") -> None:
    admin.open("/admin/orders/order/add/")
    admin.type("customer_name", "Reading Room")
    admin.type("street", "Library Lane 1")
    admin.type("postcode", "10115")
    admin.type("city", "Berlin")
    admin.choose("payment_token", "tok_slow_bank")  # so that there is something to watch
    admin.fill_line(0, product="sencha", quantity=2)
    admin.click(".add-row a")
    admin.fill_line(1, product="stoneware", quantity=3)
    admin.screenshot("03_new_order")
    admin.press("Save and continue editing")
    assert admin.text("[data-mw-part=headline]") == "Draft"
    admin.screenshot("04_draft")

    admin.press("Place order")

    admin.wait_for_text("[data-mw-part=steps]", "Order accepted")
    admin.mark_page()
    assert "Shipment scheduled" not in admin.text("[data-mw-part=steps]")
    admin.wait_for_text("[data-mw-part=steps]", "Next attempt")
    admin.screenshot("05_waiting_for_the_bank")
    admin.wait_for_text("[data-mw-part=headline]", "Shipped")
    admin.wait_for_text("[data-mw-part=summary]", "settled")
    assert admin.steps() == ["Order accepted", "Payment received", "Items reserved", "Shipment scheduled"]
    assert admin.is_marked(), "the page was loaded anew"
    assert admin.errors() == []
    admin.screenshot("06_shipped")


@pytest.mark.slow
def test_parked_message_is_replayed_from_the_admin(admin: "Admin", open_shop: Demo) -> None:
    order_id = str(uuid4())
    open_shop.ask(DECLINE_UNKNOWN_ORDER.format(order_id=order_id))
    admin.open("/admin/microworkflows/inboxevent/?status=parked")
    admin.reload_until("#content", "orders.cancel_declined")
    admin.screenshot("07_parked")
    admin.follow("#result_list tbody th a")
    admin.wait_for_text("#content", "UnknownOrderError")
    admin.screenshot("08_parked_message")
    open_shop.ask(MAKE_ORDER.format(order_id=order_id))  # what was wrong is mended

    admin.follow(".mw-again button")
    admin.wait_for_text("#content", "Try these messages again now")
    admin.screenshot("08_why")
    admin.follow("#mw-confirm button[name=confirmed]")

    admin.wait_for_text(".messagelist", "1 message replayed")
    assert "replayed" in admin.text(".field-history")
    admin.reload_until(".field-status_badge", "handled")
    admin.open(f"/admin/orders/order/{order_id}/change/")
    assert "Cancelled: payment declined" in admin.text("[data-mw-part=headline]")
    admin.screenshot("09_replayed")
    admin.open("/admin/")
    assert "0 parked" in admin.text(".mw-counts")


DECLINE_UNKNOWN_ORDER = """
from django.db import transaction
from microworkflows import outbox
from payments.events import PaymentDeclined
with transaction.atomic():
    event = PaymentDeclined(order_id="{order_id}", reason="card declined")
    outbox.record(event, correlation_id="{order_id}")
"""

MAKE_ORDER = """
from django.utils import timezone
from orders.models import Order
Order.objects.create(
    id="{order_id}", customer_name="Late Entry", street="Quay 2", postcode="10115", city="Berlin", country="DE",
    state="accepted", total="9.90", currency="EUR", placed_at=timezone.now(),
)
"""


class Admin:
    """The admin as a person uses it."""

    def __init__(self, browser: Chrome, shop: Demo) -> None:
        self._browser = browser
        self._shop = shop

    def open(self, path: str) -> None:
        self._browser.get(self._shop.url + path)

    def reload_until(self, selector: str, text: str) -> None:
        """Load the page again until it says ``text``: only journeys renew themselves."""

        def look() -> bool:
            self._browser.refresh()
            return text in self.text(selector)

        wait_until(f"{selector} says {text!r}", look, seconds=20)

    def do(self, selector: str, act: Callable[[WebElement], object]) -> None:
        """Do something to the first visible element; again, if the page replaces it meanwhile."""

        def attempt() -> bool:
            try:
                shown = [
                    e for e in self._browser.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()
                ]
                if shown:
                    act(shown[0])
            except (StaleElementReferenceException, ElementNotInteractableException):
                return False
            return bool(shown)

        wait_until(f"{selector} is on the page", attempt, seconds=10)

    def text(self, selector: str) -> str:
        """Return the text of the first such element, read in one go, its spaces alike: "" while there is none."""
        text: str = self._browser.execute_script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", selector
        )
        return " ".join(text.split())

    def wait_for_text(self, selector: str, text: str) -> None:
        wait_until(f"{selector} says {text!r}", lambda: text in self.text(selector), seconds=30)

    def type(self, name: str, text: str) -> None:
        self.do(f"[name={name}]", lambda field: field.clear())
        self.do(f"[name={name}]", lambda field: field.send_keys(text))

    def choose(self, name: str, value: str) -> None:
        self.do(f"[name={name}]", lambda field: Select(field).select_by_value(value))

    def click(self, selector: str) -> None:
        self.do(selector, lambda element: element.click())

    def press(self, label: str) -> None:
        """Press a button and wait for the page that follows."""
        self.follow(f"input[type=submit][value='{label}']")

    def follow(self, selector: str) -> None:
        """Click on what leads to another page, and wait for that."""
        self.mark_page()
        self.click(selector)
        wait_until(
            "another page is there",
            lambda: (
                not self.is_marked()
                and self._browser.execute_script("return document.readyState") == "complete"
            ),
            seconds=20,
        )

    def fill_line(self, number: int, *, product: str, quantity: int) -> None:
        """Pick a product by what a person would type into the autocomplete field."""
        self.click(f"#lines-{number} .select2-selection")
        self.do(".select2-search__field", lambda field: field.send_keys(product))
        wait_until(
            "the product is offered",
            lambda: product in self.text(".select2-results__option--highlighted").lower(),
            seconds=10,
        )
        self.do(".select2-search__field", lambda field: field.send_keys(Keys.ENTER))
        self.type(f"lines-{number}-quantity", str(quantity))

    def steps(self) -> list[str]:
        return [step.text for step in self._browser.find_elements(By.CSS_SELECTOR, ".mw-step__name")]

    def mark_page(self) -> None:
        """Leave a mark that a navigation would remove."""
        self._browser.execute_script("window.stayed = true")

    def is_marked(self) -> bool:
        return self._browser.execute_script("return window.stayed === true") is True

    def errors(self) -> list[str]:
        """Return what the browser's console complains about."""
        log = self._browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium has no annotation here
        errors = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        return [error for error in errors if "favicon.ico" not in error]

    def screenshot(self, name: str) -> None:
        """Save the whole page to the folder that SCREENSHOTS names, if it does."""
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._browser.save_screenshot(str(Path(folder) / f"{name}.png"))
