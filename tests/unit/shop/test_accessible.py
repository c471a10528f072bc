"""The shop's and the kit's pages for those who do not see them, or have no mouse."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome

from orders.models import Order
from tests.unit.accessibility import Reader
from tests.unit.shop.test_links import orders  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def reader(
    orders: None,  # noqa: F811
    browser: Chrome,
    live_server: LiveServer,
    client: Client,
    admin_user: User,
) -> Reader:
    client.force_login(admin_user)
    return Reader(browser, live_server.url, client)


def test_axe_finds_nothing_on_any_page(reader: Reader, request: pytest.FixtureRequest) -> None:
    assert reader.complaints(reader.pages("/admin/"), request) == []


@pytest.mark.parametrize(
    "page",
    [
        "index",
        "orders_order_add",
        "orders_order_changelist",
        "microworkflows_inboxevent_changelist",
        "microworkflows_deadletter_changelist",
        "microworkflows_hold_changelist",
        "microworkflows_hold_add",
    ],
)
def test_tab_key_reaches_everything_and_shows_where_it_is(reader: Reader, page: str) -> None:
    assert reader.unreachable(reverse(f"admin:{page}")) == []


def test_tab_key_reaches_everything_beside_a_journey(reader: Reader) -> None:
    order = Order.objects.filter(state="shipped").get()

    assert reader.unreachable(reverse("admin:orders_order_change", args=[order.pk])) == []
