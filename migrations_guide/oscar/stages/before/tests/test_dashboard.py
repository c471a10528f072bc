from django.urls import reverse
from oscar.core.loading import get_model

from tests.buying import Order, buy

PaymentEventType = get_model("order", "PaymentEventType")
ShippingEventType = get_model("order", "ShippingEventType")
Product = get_model("catalogue", "Product")


def act(staff, order, **form):
    answer = staff.post(reverse("dashboard:order-detail", kwargs={"number": order.number}), form)
    assert answer.status_code == 302, answer.content[:2000]
    order.refresh_from_db()


def test_order_that_is_cancelled_gives_its_stock_back(client, customer, staff, tea):
    order = buy(client, tea, quantity=3)

    act(staff, order, order_action="change_order_status", new_status="Cancelled")

    assert order.status == "Cancelled"
    assert tea.stockrecords.get().num_allocated == 0


def test_order_is_refunded(client, customer, staff, tea):
    order = buy(client, tea)
    PaymentEventType.objects.create(name="Refunded", code="refunded")

    act(
        staff, order, order_action="create_order_payment_event", payment_event_type="refunded", amount="12.00"
    )

    assert order.sources.get().amount_refunded == 12


def test_lines_are_shipped(client, customer, staff, tea, cup):
    order = buy(client, tea, cup)
    ShippingEventType.objects.create(name="Shipped", code="shipped")
    lines = [line.pk for line in order.lines.all()]

    act(
        staff,
        order,
        line_action="create_shipping_event",
        shipping_event_type="shipped",
        reference="R1",
        selected_line=lines,
        **{f"selected_line_qty_{pk}": 1 for pk in lines},
    )

    assert order.shipping_events.count() == 1
    assert tea.stockrecords.get().num_in_stock == 9


def test_lines_change_their_status_and_an_order_gets_a_note(client, customer, staff, tea):
    order = buy(client, tea)
    line = order.lines.get().pk

    act(
        staff,
        order,
        line_action="change_line_statuses",
        new_status="Packed",
        selected_line=[line],
        **{f"selected_line_qty_{line}": 1},
    )
    act(staff, order, order_action="save_note", message="Call first", note_type="Info")

    assert order.lines.get().status == "Packed"
    assert order.notes.filter(message="Call first").count() == 1


def test_orders_change_their_status_together(client, customer, staff, tea):
    orders = [buy(client, tea) for _ in range(2)]

    staff.post(
        reverse("dashboard:order-list"),
        {
            "action": "change_order_statuses",
            "new_status": "Paid",
            "selected_order": [order.pk for order in orders],
        },
    )

    assert {order.status for order in Order.objects.all()} == {"Paid"}


def test_product_is_edited(staff, tea):
    record = tea.stockrecords.get()
    category = get_model("catalogue", "Category").add_root(name="Drinks")
    formsets = ("productcategory_set", "images", "primary_recommendations")
    form = {f"{name}-{field}": 0 for name in formsets for field in ("TOTAL_FORMS", "INITIAL_FORMS")}
    form |= {"productcategory_set-TOTAL_FORMS": 1, "productcategory_set-0-category": category.pk}
    form |= {"stockrecords-TOTAL_FORMS": 1, "stockrecords-INITIAL_FORMS": 1, "stockrecords-0-id": record.pk}
    form |= {
        "stockrecords-0-partner": record.partner.pk,
        "stockrecords-0-partner_sku": "tea-1",
        "stockrecords-0-num_in_stock": 50,
    }
    form |= {"stockrecords-0-price_currency": "EUR", "stockrecords-0-price": "13.00"}
    form |= {
        "title": "Green tea",
        "slug": "green-tea",
        "is_public": "on",
        "is_discountable": "on",
        "structure": "standalone",
        "action": "save",
    }

    answer = staff.post(reverse("dashboard:catalogue-product", kwargs={"pk": tea.pk}), form)

    assert answer.status_code == 302, answer.context["form"].errors
    tea.refresh_from_db()
    assert tea.title == "Green tea"
    assert tea.stockrecords.get().num_in_stock == 50


def test_product_is_deleted(staff, tea):
    staff.post(reverse("dashboard:catalogue-product-delete", kwargs={"pk": tea.pk}))

    assert not Product.objects.exists()


def test_category_partner_and_range_are_made(staff, tea):
    staff.post(
        reverse("dashboard:catalogue-category-create"),
        {
            "name": "Drinks",
            "slug": "drinks",
            "treebeard_position": "first-child",
            "treebeard_ref_node": "",
            "is_public": "on",
        },
    )
    staff.post(reverse("dashboard:partner-create"), {"name": "Grower"})
    staff.post(
        reverse("dashboard:range-create"),
        {"name": "All", "slug": "all", "includes_all_products": "on", "is_public": "on"},
    )
    (made,) = get_model("offer", "Range").objects.all()
    staff.post(
        reverse("dashboard:range-products", kwargs={"pk": made.pk}),
        {"action": "add_products", "query": tea.stockrecords.get().partner_sku, "upload_type": "included"},
    )

    assert get_model("catalogue", "Category").objects.count() == 1
    assert get_model("partner", "Partner").objects.filter(name="Grower").count() == 1


def test_offer_is_made_step_by_step(staff):
    everything = get_model("offer", "Range").objects.create(name="Everything", includes_all_products=True)
    staff.post(
        reverse("dashboard:offer-metadata"), {"name": "Tenth", "description": "", "offer_type": "Site"}
    )
    staff.post(
        reverse("dashboard:offer-benefit"), {"range": everything.pk, "type": "Percentage", "value": 10}
    )
    staff.post(reverse("dashboard:offer-condition"), {"range": everything.pk, "type": "Count", "value": 1})
    staff.post(reverse("dashboard:offer-restrictions"), {"priority": 0, "exclusive": "on"})

    assert get_model("offer", "ConditionalOffer").objects.get().benefit.value == 10


def test_review_is_approved(client, customer, staff, tea):
    review = get_model("reviews", "ProductReview").objects.create(
        product=tea, user=customer, score=4, title="Good", body="Very", status=0
    )

    staff.post(
        reverse("dashboard:reviews-update", kwargs={"pk": review.pk}),
        {"title": "Good", "body": "Very", "score": 4, "status": 1},
    )

    tea.refresh_from_db()
    assert tea.rating == 4


def test_product_is_edited_in_the_plain_admin(staff, customer):
    partner = get_model("partner", "Partner").objects.create(name="Grower")

    staff.post(
        reverse("admin:partner_partner_change", args=[partner.pk]),
        {"name": "Farmer", "code": partner.code, "users": [customer.pk]},
    )

    partner.refresh_from_db()
    assert partner.name == "Farmer"
