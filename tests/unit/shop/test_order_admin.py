"""The shop's front: drafting and placing orders in the admin, and that what was placed cannot be edited."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from microworkflows.models import OutboxEvent
from orders import operations
from orders.forms import DraftForm
from orders.models import Order, Product
from tests.unit.shop.conftest import Draft

ORDERS = "/admin/orders/order/"
BUTTON = "Place order"

Staff = Callable[..., Client]


@pytest.fixture
def staff(client: Client, db: None) -> Staff:
    """Return a function that logs somebody in who has just these permissions."""

    def log_in(*permissions: str) -> Client:
        user = User.objects.create(username="somebody", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return log_in


def page(order: Order) -> str:
    return reverse("admin:orders_order_change", args=[order.pk])


def place(order: Order) -> str:
    return reverse("admin:orders_order_place", args=[order.pk])


def said(client: Client, url: str = ORDERS) -> list[str]:
    """Return the messages that the next page shows."""
    return [str(message) for message in client.get(url).context["messages"]]


def form(order: Order | None = None, *lines: tuple[str, int], **values: Any) -> dict[str, Any]:
    """Return what the browser sends for an order with these lines, saved lines first."""
    saved = list(order.lines.all()) if order else []
    seen = {"seen": DraftForm(instance=order).initial["seen"]} if order else {}
    data: dict[str, Any] = seen | {
        "customer_name": "Sample Customer",
        "street": "Example Street 1",
        "postcode": "10115",
        "city": "Berlin",
        "country": "DE",
        "payment_token": "tok_visa",
        "lines-TOTAL_FORMS": len(saved) + len(lines),
        "lines-INITIAL_FORMS": len(saved),
    }
    for index, line in enumerate(saved):
        data |= {f"lines-{index}-id": line.pk, f"lines-{index}-order": line.order_id}
        data |= {f"lines-{index}-product": line.product_id, f"lines-{index}-quantity": line.quantity}
    for index, (sku, quantity) in enumerate(lines, start=len(saved)):
        data |= {
            f"lines-{index}-product": Product.objects.get(sku=sku).pk,
            f"lines-{index}-quantity": quantity,
        }
    return data | values


def test_refusal_says_who_is_logged_in_and_leads_back(staff: Staff, shop: None) -> None:
    refused = staff("view_order").get(f"{ORDERS}add/")

    text = refused.content.decode()
    assert refused.status_code == 403
    assert "You are logged in as somebody" in text
    assert 'href="/admin/"' in text


# Drafting.


def test_second_of_two_tabs_is_refused_with_what_changed_and_loses_nothing(
    admin_client: Client, draft: Draft
) -> None:
    order = draft()
    first, second = form(order, city="Hamburg"), form(order, street="Another Street 2")

    admin_client.post(page(order), first)
    refused = admin_client.post(page(order), second)

    order.refresh_from_db()
    shown = refused.context["adminform"].form
    assert order.city == "Hamburg"
    assert order.street != "Another Street 2"
    assert "City: was Berlin, is now Hamburg." in shown.non_field_errors()
    assert shown["street"].value() == "Another Street 2"


def test_refused_form_can_be_saved_again_once_its_reader_knows(admin_client: Client, draft: Draft) -> None:
    order = draft()
    second = form(order, street="Another Street 2")
    admin_client.post(page(order), form(order, city="Hamburg"))

    refused = admin_client.post(page(order), second)
    admin_client.post(
        page(order), second | {"seen": refused.context["adminform"].form["seen"].value(), "city": "Hamburg"}
    )

    order.refresh_from_db()
    assert (order.city, order.street) == ("Hamburg", "Another Street 2")


def test_second_tab_is_told_of_a_line_that_the_first_one_changed(admin_client: Client, draft: Draft) -> None:
    order = draft()
    line = order.lines.select_related("product").first()
    assert line is not None
    second = form(order)

    admin_client.post(page(order), form(order) | {"lines-0-quantity": line.quantity + 4})
    refused = admin_client.post(page(order), second)

    line.refresh_from_db()
    told = refused.context["adminform"].form.non_field_errors()
    assert f"{line.product}: was {line.quantity - 4}, is now {line.quantity}." in told


@pytest.mark.parametrize("seen", ["", "no JSON", "[]", "[" * 50_000], ids=["empty", "text", "list", "deep"])
def test_form_that_does_not_say_what_it_saw_is_refused(admin_client: Client, draft: Draft, seen: str) -> None:
    order = draft()

    refused = admin_client.post(page(order), form(order, city="Hamburg", seen=seen))

    order.refresh_from_db()
    assert refused.status_code == 200
    assert order.city != "Hamburg"


def test_save_of_a_draft_that_was_placed_meanwhile_says_so(admin_client: Client, draft: Draft) -> None:
    order = draft()
    data = form(order, city="Hamburg")
    operations.place_order(order=order)

    answer = admin_client.post(page(order), data)

    order.refresh_from_db()
    assert answer.status_code == 302
    assert order.city != "Hamburg"
    assert any("your changes were not saved" in text for text in said(admin_client, page(order)))


def test_order_is_placed_from_the_page_that_adds_it(admin_client: Client, shop: None) -> None:
    empty = admin_client.get(f"{ORDERS}add/")
    answer = admin_client.post(f"{ORDERS}add/", form(None, ("TEA-SENCHA-100", 2)) | {"_place": BUTTON})

    order = Order.objects.get()
    assert BUTTON in empty.content.decode()
    assert answer["Location"] == page(order)
    assert order.state == Order.State.ACCEPTED
    assert OutboxEvent.objects.count() == 1


def test_added_order_that_cannot_be_placed_stays_a_draft_and_says_why(
    admin_client: Client, shop: None
) -> None:
    answer = admin_client.post(f"{ORDERS}add/", form() | {"_place": BUTTON})

    assert Order.objects.get().is_draft
    assert any("no lines" in text for text in said(admin_client, answer["Location"]))


def test_who_may_only_draft_cannot_place_from_the_page_that_adds(staff: Staff, shop: None) -> None:
    clerk = staff("add_order", "add_orderline", "view_order")

    empty = clerk.get(f"{ORDERS}add/")
    refused = clerk.post(f"{ORDERS}add/", form(None, ("TEA-SENCHA-100", 2)) | {"_place": BUTTON})

    assert BUTTON not in empty.content.decode()
    assert refused.status_code == 403
    assert not Order.objects.exists()


def test_order_is_drafted_with_its_lines(admin_client: Client, shop: None) -> None:
    response = admin_client.post(f"{ORDERS}add/", form(None, ("TEA-SENCHA-100", 2), ("MUG-STONE-350", 1)))

    order = Order.objects.get()
    assert response.status_code == 302
    assert order.is_draft
    assert [(line.product.sku, line.quantity) for line in order.lines.all()] == [
        ("TEA-SENCHA-100", 2),
        ("MUG-STONE-350", 1),
    ]


def test_same_product_twice_is_refused_with_advice(admin_client: Client, shop: None) -> None:
    response = admin_client.post(f"{ORDERS}add/", form(None, ("MUG-STONE-350", 2), ("MUG-STONE-350", 1)))

    assert response.status_code == 200
    assert Order.objects.count() == 0


def test_draft_can_be_edited_and_deleted(admin_client: Client, draft: Draft) -> None:
    order = draft()

    admin_client.post(page(order), form(order, city="Hamburg"))
    order.refresh_from_db()
    admin_client.post(reverse("admin:orders_order_delete", args=[order.pk]), {"post": "yes"})

    assert order.city == "Hamburg"
    assert not Order.objects.exists()


def test_only_active_products_are_offered_for_a_line(admin_client: Client, shop: None) -> None:
    Product.objects.filter(sku="TEA-SENCHA-100").update(active=False)
    asked = {"app_label": "orders", "model_name": "orderline", "field_name": "product", "term": "TEA-"}

    offered = admin_client.get(reverse("admin:autocomplete"), asked).json()["results"]

    assert [product["text"] for product in offered] == ["Assam black tea, 250 g (TEA-ASSAM-250)"]


# Placing by the button.


def test_button_places_what_the_form_shows(admin_client: Client, draft: Draft) -> None:
    order = draft(lines={"TEA-SENCHA-100": 1})
    sent = form(order, ("MUG-STONE-350", 1), city="Hamburg", _place=BUTTON)

    response = admin_client.post(page(order), sent)

    order.refresh_from_db()
    assert response.headers["Location"] == page(order)
    assert order.state == Order.State.ACCEPTED
    assert (str(order.total), order.city) == ("24.40", "Hamburg")
    assert said(admin_client) == [f"Order {order.number} was placed: 24.40 EUR."]


def test_placing_is_written_into_the_history(admin_client: Client, draft: Draft) -> None:
    order = draft()

    admin_client.post(page(order), form(order, _place=BUTTON))

    assert "Placed." in [entry.get_change_message() for entry in LogEntry.objects.all()]


def test_order_that_cannot_be_placed_stays_a_draft_and_says_why(admin_client: Client, draft: Draft) -> None:
    order = draft(lines={})

    admin_client.post(page(order), form(order, _place=BUTTON))

    order.refresh_from_db()
    assert order.is_draft
    assert said(admin_client) == [f"Order {order.number} has no lines. Add at least one product to it."]


def test_form_with_an_error_places_nothing(admin_client: Client, draft: Draft) -> None:
    order = draft()

    response = admin_client.post(page(order), form(order, city="", _place=BUTTON))

    order.refresh_from_db()
    assert response.status_code == 200
    assert order.is_draft


def test_draft_shows_the_button_and_placed_order_does_not(admin_client: Client, draft: Draft) -> None:
    order = draft()
    before = admin_client.get(page(order)).content.decode()

    operations.place_order(order=order)
    after = admin_client.get(page(order)).content.decode()

    assert BUTTON in before
    assert BUTTON not in after


# Placing without editing.


def test_address_places_a_saved_draft(admin_client: Client, draft: Draft) -> None:
    order = draft()

    response = admin_client.post(place(order))

    order.refresh_from_db()
    assert response.headers["Location"] == page(order)
    assert order.state == Order.State.ACCEPTED


def test_address_takes_no_get(admin_client: Client, draft: Draft) -> None:
    order = draft()

    response = admin_client.get(place(order))

    order.refresh_from_db()
    assert response.status_code == 405
    assert order.is_draft


def test_address_of_an_unknown_order_is_not_found(admin_client: Client, db: None) -> None:
    assert admin_client.post(place(Order())).status_code == 404


@pytest.mark.parametrize("by_address", [True, False])
def test_placing_needs_the_csrf_token(draft: Draft, admin_user: User, by_address: bool) -> None:
    order = draft()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)

    response = strict.post(place(order) if by_address else page(order), form(order, _place=BUTTON))

    order.refresh_from_db()
    assert response.status_code == 403
    assert order.is_draft


def test_second_placing_is_refused_and_announces_nothing(admin_client: Client, draft: Draft) -> None:
    order = draft()
    admin_client.post(place(order))
    said(admin_client)

    admin_client.post(place(order))

    [message] = said(admin_client)
    assert "it was placed before" in message
    assert OutboxEvent.objects.count() == 1


# Placing many.


def test_action_places_what_it_can_and_says_what_it_cannot(admin_client: Client, draft: Draft) -> None:
    good, empty, placed = draft(), draft(lines={}), operations.place_order(order=draft())
    selected = [good.pk, empty.pk, placed.pk]

    admin_client.post(ORDERS, {"action": "place_selected", "_selected_action": selected})

    for order in (good, empty):
        order.refresh_from_db()
    assert (good.state, empty.state) == (Order.State.ACCEPTED, Order.State.DRAFT)
    messages = said(admin_client)
    assert len(messages) == 3
    assert f"Order {good.number} was placed: 34.30 EUR." in messages
    assert OutboxEvent.objects.count() == 2


# Who may.


def test_placing_needs_its_permission(staff: Staff, draft: Draft) -> None:
    order = draft()
    client = staff("view_order", "change_order", "change_orderline", "view_orderline", "add_orderline")

    shown = client.get(page(order)).content.decode()
    answers = [
        client.post(page(order), form(order, _place=BUTTON)).status_code,
        client.post(place(order)).status_code,
    ]
    client.post(ORDERS, {"action": "place_selected", "_selected_action": [order.pk]})

    order.refresh_from_db()
    assert BUTTON not in shown
    assert answers == [403, 403]
    assert order.is_draft


def test_refused_placing_saves_nothing_either(staff: Staff, draft: Draft) -> None:
    order = draft()
    client = staff("change_order", "change_orderline")

    client.post(page(order), form(order, city="Hamburg", _place=BUTTON))

    order.refresh_from_db()
    assert order.city == "Berlin"


def test_who_may_look_and_place_gets_a_button_that_edits_nothing(staff: Staff, draft: Draft) -> None:
    order = draft()
    client = staff("view_order", "view_orderline", "place_order")

    shown = client.get(page(order)).content.decode()
    client.post(place(order), form(order, city="Hamburg"))

    order.refresh_from_db()
    assert f'formaction="{place(order)}"' in shown
    assert (order.state, order.city) == (Order.State.ACCEPTED, "Berlin")


def test_placing_an_order_that_one_may_not_see_is_refused(staff: Staff, draft: Draft) -> None:
    order = draft()

    response = staff("place_order").post(place(order))

    order.refresh_from_db()
    assert response.status_code == 403
    assert order.is_draft


# Once placed.


def test_placed_order_is_read_only(admin_client: Client, draft: Draft) -> None:
    order = operations.place_order(order=draft())

    shown = admin_client.get(page(order))
    refused = admin_client.post(page(order), form(order, city="Hamburg"))

    order.refresh_from_db()
    assert b'name="city"' not in shown.content
    assert b'name="lines-0-quantity"' not in shown.content
    assert refused["Location"] == page(order)
    assert order.city == "Berlin"


def test_placed_order_cannot_be_deleted(admin_client: Client, draft: Draft) -> None:
    order = operations.place_order(order=draft())

    single = admin_client.post(reverse("admin:orders_order_delete", args=[order.pk]), {"post": "yes"})
    admin_client.post(ORDERS, {"action": "delete_selected", "_selected_action": [order.pk], "post": "yes"})

    assert single.status_code == 403
    assert Order.objects.filter(pk=order.pk).exists()


def test_selected_drafts_can_be_deleted(admin_client: Client, draft: Draft) -> None:
    drafts = [draft().pk, draft().pk]

    admin_client.post(ORDERS, {"action": "delete_selected", "_selected_action": drafts, "post": "yes"})

    assert not Order.objects.exists()


def test_page_of_a_placed_order_shows_state_and_journey(admin_client: Client, draft: Draft) -> None:
    order = operations.place_order(order=draft())

    shown = admin_client.get(page(order)).content.decode()

    assert '<span class="mw-badge mw-badge--busy">Accepted</span>' in shown
    assert "OrderAccepted" in shown or "order_accepted" in shown
    assert str(order.pk) in shown


def test_page_of_a_cancelled_order_says_why(admin_client: Client, draft: Draft) -> None:
    order = operations.place_order(order=draft())
    operations.cancel_declined(order_id=order.pk, note="card <declined>")

    shown = admin_client.get(page(order)).content.decode()

    assert ">Cancelled: payment declined</span> card &lt;declined&gt;" in shown


@pytest.mark.parametrize(
    ("values", "tone", "text"),
    [
        ({"state": "shipped"}, "good", "Shipped"),
        ({"state": "paid"}, "busy", "Paid"),
        (
            {"state": "cancelled", "cancel_reason": "payment_declined", "cancel_note": "card declined"},
            "bad",
            "Cancelled: payment declined",
        ),
    ],
)
def test_list_shows_each_state_as_a_badge(
    admin_client: Client, draft: Draft, values: dict[str, str], tone: str, text: str
) -> None:
    order = operations.place_order(order=draft())
    Order.objects.filter(pk=order.pk).update(**values)

    shown = admin_client.get(ORDERS).content.decode()

    assert f'<span class="mw-badge mw-badge--{tone}">{text}</span>' in shown
    assert "34.30 EUR" in shown


@pytest.mark.parametrize("term", ["number", "customer_name", "id"])
def test_orders_are_found_by_number_customer_and_id(admin_client: Client, draft: Draft, term: str) -> None:
    order = draft(customer_name="Another Customer")
    draft()

    response = admin_client.get(ORDERS, {"q": str(getattr(order, term))})

    assert [found.pk for found in response.context["cl"].queryset] == [order.pk]


def test_sku_of_a_product_never_changes(admin_client: Client, shop: None) -> None:
    tea = Product.objects.get(sku="TEA-SENCHA-100")
    sent = {"sku": "OTHER", "name": "Sencha", "price": "10.50", "currency": "EUR", "active": "on"}

    admin_client.post(reverse("admin:orders_product_change", args=[tea.pk]), sent)

    tea.refresh_from_db()
    assert (tea.sku, tea.name) == ("TEA-SENCHA-100", "Sencha")
