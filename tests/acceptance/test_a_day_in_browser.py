"""A day of those who work with the admin, in a real browser before real workers: a clerk, an operator and a lead, each with their rights alone."""

import pytest
from selenium.webdriver import Chrome

from tests.acceptance.admin import Admin
from tests.acceptance.running import Demo

pytestmark = [pytest.mark.acceptance, pytest.mark.browser, pytest.mark.slow]

PASSWORD = "for-tests-only"
RIGHTS = {
    "clerk": [
        *("view_order", "add_order", "change_order", "place_order"),
        *("view_orderline", "add_orderline", "change_orderline", "delete_orderline", "view_product"),
    ],
    "operator": [
        *("view_order", "view_flow", "view_outboxevent", "view_inboxevent", "view_hold", "pause_hold"),
        *("replay_inboxevent", "dismiss_inboxevent"),
    ],
    "lead": ["view_order", "view_flow"],
}
SHIPPED = ["Order accepted", "Payment received", "Items reserved", "Shipment scheduled"]


@pytest.fixture
def page(browser: Chrome, open_shop: Demo) -> Admin:
    """Return the pages of a shop that has a clerk, an operator and a lead."""
    open_shop.ask(HIRE.format(rights=RIGHTS, password=PASSWORD))
    return Admin(browser, open_shop.url)


def test_clerk_operator_and_lead_do_their_work_and_see_what_is_theirs(page: Admin, open_shop: Demo) -> None:
    # The operator pauses what is to stand still.
    page.log_in("operator", PASSWORD)
    assert "Products" not in page.text("#content-main")
    page.follow("a[href$='/microworkflows/hold/']")
    page.follow(".object-tools a")
    page.choose("what", "inventory")
    page.type("why", "The shelves are counted until noon.")
    page.press("Pause")
    page.wait_for_text(".messagelist", "The context inventory is paused until somebody resumes it")
    page.screenshots("day_1_operator_pauses")
    log_out(page)

    # The clerk takes an order, and sees where it waits.
    page.log_in("clerk", PASSWORD)
    assert offered(page) == {"/admin/orders/order/", "/admin/orders/order/add/", "/admin/orders/product/"}
    page.open("/admin/orders/order/add/")
    for name, value in ADDRESS.items():
        page.type(name, value)
    page.choose("payment_token", "tok_visa")
    page.fill_line(0, product="sencha", quantity=2)
    page.wait_for_text("#running-total", "Total: ")
    page.screenshots("day_2_clerk_writes_an_order")
    page.press("Place order")
    page.wait_for_step("Payment received")
    page.wait_for_text("#content", "inventory is paused")
    assert "The shelves are counted" not in page.text("#content"), "why is for those who may see pauses"
    page.screenshots("day_3_clerk_sees_where_it_waits")
    order = page.path()
    log_out(page)

    # The operator lets it go on, and looks after what fails.
    page.log_in("operator", PASSWORD)
    page.open("/admin/microworkflows/hold/")
    page.reload_until("#result_list .field-waiting", "2")
    page.follow("#result_list .field-resumed a")
    page.press("Yes, resume")
    page.wait_for_text(".messagelist", "is resumed")
    open_shop.ask(DECLINE_UNKNOWN_ORDER)
    page.open("/admin/microworkflows/inboxevent/?status=parked")
    page.reload_until("#content", "orders.cancel_declined")
    page.follow("#result_list tbody th a")
    page.wait_for_text("#content", "UnknownOrderError")
    page.screenshots("day_4_operator_looks_at_a_failure")
    log_out(page)

    # The clerk sees it shipped, and what is not the clerk's is refused kindly.
    page.log_in("clerk", PASSWORD)
    page.open(order)
    page.wait_for_text("[data-mw-part=headline]", "Shipped")
    assert page.steps() == SHIPPED
    page.open("/admin/microworkflows/inboxevent/")
    page.wait_for_text("#content", "You may not do this")
    page.screenshots("day_5_clerk_is_refused")
    page.follow("#content a")
    log_out(page)

    # The lead looks at the whole, and may change nothing.
    page.log_in("lead", PASSWORD)
    page.open("/admin/microworkflows_journal/flow/?q=Evening")
    page.screenshots("day_6_lead_looks_at_flows")
    page.open("/admin/microworkflows_journal/context/business/")
    page.screenshots("day_7_lead_looks_at_the_business")
    page.open(order)
    assert page.steps() == SHIPPED
    assert page.run("return document.querySelectorAll('#content form [type=submit]').length") == 0
    assert [each for each in page.errors() if "403 (Forbidden)" not in each] == []


def offered(page: Admin) -> set[str]:
    """Return the addresses to which the first page's lists of apps lead."""
    script = "return [...document.querySelectorAll('#content-main .app-list a, #content-main .module table a')].map(a => a.pathname)"
    return {path for path in page.run(script) if path.count("/") > 3}


def log_out(page: Admin) -> None:
    page.follow("#logout-form button")


ADDRESS = {
    "customer_name": "Evening Class",
    "street": "School Lane 3",
    "postcode": "10115",
    "city": "Berlin",
}

HIRE = """
from django.contrib.auth.models import Permission, User
for name, codenames in {rights}.items():
    user, _ = User.objects.get_or_create(username=name, is_staff=True)
    user.set_password("{password}")
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
"""

DECLINE_UNKNOWN_ORDER = """
from uuid import uuid4
from django.db import transaction
from microworkflows import outbox
from payments.events import PaymentDeclined
order_id = uuid4()
with transaction.atomic():
    outbox.record(PaymentDeclined(order_id=order_id, reason="card declined"), correlation_id=str(order_id))
"""
