"""The admin in a real browser, in front of real workers: an order is placed and watched, a dead letter is replayed."""

from uuid import uuid4

import pytest
from selenium.webdriver import Chrome

from tests.acceptance.admin import Admin
from tests.acceptance.running import Demo

pytestmark = [pytest.mark.acceptance, pytest.mark.browser]


@pytest.fixture
def admin(browser: Chrome, open_shop: Demo) -> Admin:
    """Return the admin's first page, logged in with what the demo's terminal says."""
    page = Admin(browser, open_shop.url)
    page.open("/admin/")
    page.type("username", open_shop.wait_for(r"user +(\w+)")[1])
    page.type("password", open_shop.wait_for(r"password +(\w+)")[1])
    page.screenshot("01_login")
    page.press("Log in")
    page.screenshot("02_index")
    return page


def test_order_is_placed_and_watched_until_it_is_shipped_without_a_reload(admin: Admin) -> None:
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

    admin.wait_for_step("Order accepted")
    admin.mark_page()
    assert "Shipment scheduled" not in admin.steps()
    admin.wait_for_text("[data-mw-part=picture]", "the next is due")
    admin.screenshot("05_waiting_for_the_bank")
    admin.wait_for_text("[data-mw-part=headline]", "Shipped")
    admin.wait_for_text("[data-mw-part=summary]", "done")
    assert admin.steps() == ["Order accepted", "Payment received", "Items reserved", "Shipment scheduled"]
    assert admin.is_marked(), "the page was loaded anew"
    assert admin.errors() == []
    admin.screenshot("06_shipped")


@pytest.mark.slow
def test_parked_message_is_replayed_from_the_admin(admin: Admin, open_shop: Demo) -> None:
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
