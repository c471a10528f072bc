"""Payments, stock, reservations and shipments in the admin: shown as they are, edited only where that is no lie."""

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from inventory import operations as inventory
from inventory.models import Reservation, StockItem
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders import operations as orders
from orders.models import Order
from payments.models import Payment
from shipping.models import Destination, Shipment
from tests.unit.shop.conftest import Draft

READ_ONLY: list[type[Model]] = [Payment, Reservation, Shipment, Destination]


def url(model: type[Model], view: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


@pytest.fixture
def sold(draft: Draft, flow: Flow) -> None:
    """One order that is shipped, one declined, one out of stock."""
    for wish in (
        {"lines": {"TEA-SENCHA-100": 2}},
        {"payment_token": "tok_declined"},
        {"lines": {"CUP-RAKU-LTD": 1}},
    ):
        orders.place_order(order=draft(**wish))
    flow.run()


def test_reservation_tells_an_empty_shelf_from_one_that_is_gone(admin_client: Client, sold: None) -> None:
    refused = Reservation.objects.get(state=Reservation.State.REFUSED)
    address = url(Reservation, "change", refused.pk)

    empty = admin_client.get(address).content.decode()
    StockItem.objects.filter(sku="CUP-RAKU-LTD").delete()
    gone = admin_client.get(address).content.decode()

    assert "no stock item has this SKU" not in empty
    assert "no stock item has this SKU" in gone


def test_order_of_a_product_without_a_stock_item_leaves_a_warning(
    draft: Draft, flow: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    StockItem.objects.filter(sku="TEA-SENCHA-100").delete()

    orders.place_order(order=draft(lines={"TEA-SENCHA-100": 1}))
    flow.run()

    assert "No stock item has the SKU TEA-SENCHA-100" in caplog.text


@pytest.mark.parametrize("model", [Order, *READ_ONLY, OutboxEvent, InboxEvent])
def test_no_click_counts_a_list_once_for_each_choice_of_its_filters(
    admin_client: Client, sold: None, model: type[Model]
) -> None:
    with CaptureQueriesContext(connection) as plain:
        admin_client.get(url(model, "changelist"))

    with CaptureQueriesContext(connection) as asked:
        shown = admin_client.get(url(model, "changelist"), {"_facets": "True"})

    assert len(asked) <= len(plain)
    assert "Show counts" not in shown.content.decode()


@pytest.mark.parametrize(
    ("model", "badges"),
    [
        (Payment, ["Received", "Declined: card declined", "Refunded"]),
        (Reservation, ["Issued", "Dropped", "Out of stock"]),
        (Shipment, ["Scheduled"]),
        (Destination, ["Shipped", "Not shipped"]),
        (StockItem, ["In stock", "Last pieces", "None available"]),
    ],
)
def test_lists_show_what_happened(
    admin_client: Client, sold: None, model: type[Model], badges: list[str]
) -> None:
    shown = admin_client.get(url(model, "changelist")).content.decode()

    assert [text for text in badges if f">{text}</span>" not in shown] == []


def test_waiting_reservation_says_for_what(admin_client: Client, draft: Draft, flow: Flow) -> None:
    orders.place_order(order=draft())
    flow.run(contexts=["inventory"])

    shown = admin_client.get(url(Reservation, "changelist")).content.decode()

    assert '<span class="mw-badge mw-badge--busy">Waiting for the payment</span>' in shown
    assert "1 × MUG-STONE-350, 2 × TEA-SENCHA-100" in shown


def test_destination_says_that_it_waits_for_the_items(admin_client: Client, draft: Draft, flow: Flow) -> None:
    orders.place_order(order=draft())
    flow.run(contexts=["shipping"])

    shown = admin_client.get(url(Destination, "changelist")).content.decode()

    assert ">Items awaited</span>" in shown


def test_destination_without_an_address_says_so(admin_client: Client, draft: Draft) -> None:
    destination = Destination.objects.create(order_id=draft().pk, ready=True)

    shown = admin_client.get(url(Destination, "changelist")).content.decode()

    assert ">Address awaited</span>" in shown
    assert str(destination) == "(address to come)"


@pytest.mark.parametrize("model", READ_ONLY)
def test_what_events_made_can_be_seen_but_not_edited(
    admin_client: Client, sold: None, model: type[Model]
) -> None:
    row = model._default_manager.all()[0]

    answers = {
        "change page": admin_client.get(url(model, "change", row.pk)).status_code,
        "change": admin_client.post(url(model, "change", row.pk), {}).status_code,
        "add": admin_client.get(url(model, "add")).status_code,
        "delete": admin_client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code,
    }

    assert answers == {"change page": 200, "change": 403, "add": 403, "delete": 403}


@pytest.mark.parametrize("model", READ_ONLY)
def test_rows_are_found_by_the_order(admin_client: Client, sold: None, model: type[Model]) -> None:
    row = model._default_manager.all()[0]

    response = admin_client.get(url(model, "changelist"), {"q": str(row.order_id)})  # type: ignore[attr-defined]  # all have it

    assert [found.pk for found in response.context["cl"].queryset] == [row.pk]


@pytest.mark.parametrize("model", [*READ_ONLY, StockItem])
def test_any_text_can_be_searched_for(admin_client: Client, sold: None, model: type[Model]) -> None:
    assert admin_client.get(url(model, "changelist"), {"q": "no such thing – at all"}).status_code == 200


# Stock.


@pytest.fixture
def tea(shop: None) -> StockItem:
    """Forty teas, of which three are reserved."""
    StockItem.objects.filter(sku="TEA-SENCHA-100").update(reserved=3)
    return StockItem.objects.get(sku="TEA-SENCHA-100")


def test_stock_is_counted_in_the_admin(admin_client: Client, tea: StockItem) -> None:
    page = url(StockItem, "change", tea.pk)

    response = admin_client.post(page, {"on_hand": 50, "seen": 40, "sku": "OTHER", "reserved": 0})

    tea.refresh_from_db()
    assert response.status_code == 302
    assert (tea.sku, tea.on_hand, tea.reserved) == ("TEA-SENCHA-100", 50, 3)


@pytest.mark.parametrize(
    ("on_hand", "problem"),
    [
        (2, "3 pieces are reserved for paid orders, so there must be at least as many."),
        (-1, "Ensure this value is greater than or equal to 0."),
        ("", "This field is required."),
    ],
)
def test_impossible_count_is_refused(
    admin_client: Client, tea: StockItem, on_hand: int | str, problem: str
) -> None:
    response = admin_client.post(url(StockItem, "change", tea.pk), {"on_hand": on_hand, "seen": 40})

    tea.refresh_from_db()
    assert problem in response.content.decode()
    assert tea.on_hand == 40


def test_count_is_checked_again_when_stock_moved_meanwhile(admin_client: Client, tea: StockItem) -> None:
    page = url(StockItem, "change", tea.pk)
    inventory.count_stock(sku=tea.sku, on_hand=38)

    refused = admin_client.post(page, {"on_hand": 45, "seen": 40}).content.decode()
    admin_client.post(page, {"on_hand": 45, "seen": 38})

    tea.refresh_from_db()
    assert "Stock moved while you were counting: 40 pieces were on hand, now there are 38." in refused
    assert '<input type="hidden" name="seen" value="38" id="id_seen">' in refused
    assert tea.on_hand == 45


def test_new_product_gets_its_shelf(admin_client: Client, db: None) -> None:
    admin_client.post(url(StockItem, "add"), {"sku": "NEW-THING", "on_hand": 7})

    item = StockItem.objects.get()
    assert (item.sku, item.on_hand, item.reserved) == ("NEW-THING", 7, 0)


def test_stock_item_cannot_be_deleted(admin_client: Client, tea: StockItem) -> None:
    assert admin_client.post(url(StockItem, "delete", tea.pk), {"post": "yes"}).status_code == 403


def test_who_may_only_look_sees_stock_without_a_form(client: Client, tea: StockItem) -> None:
    user = User.objects.create(username="somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_stockitem"))
    client.force_login(user)

    response = client.get(url(StockItem, "change", tea.pk))

    assert response.status_code == 200
    assert b'name="on_hand"' not in response.content
