import datetime
import re
from decimal import Decimal

from django.core import mail
from django.urls import reverse
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from tests.buying import buy, check_out, put

Basket = get_model("basket", "Basket")
Benefit = get_model("offer", "Benefit")
Condition = get_model("offer", "Condition")
ConditionalOffer = get_model("offer", "ConditionalOffer")
Range = get_model("offer", "Range")
Voucher = get_model("voucher", "Voucher")


def make_offer(kind):
    everything = Range.objects.create(name="Everything", includes_all_products=True)
    condition = Condition.objects.create(range=everything, type=Condition.COUNT, value=1)
    benefit = Benefit.objects.create(range=everything, type=Benefit.PERCENTAGE, value=10)
    return ConditionalOffer.objects.create(
        name=f"Tenth {kind}", offer_type=kind, condition=condition, benefit=benefit
    )


def test_customer_buys_several_things(client, customer, tea, cup):
    order = buy(client, tea, cup, quantity=2)

    assert order.lines.count() == 2
    assert order.user == customer
    assert tea.stockrecords.get().num_allocated == 2
    assert order.sources.get().amount_debited == order.total_incl_tax
    assert order.number in mail.outbox[0].body


def test_guest_buys(client, tea):
    order = buy(client, tea, guest=True)

    assert order.guest_email == "guest@example.com"
    assert order.billing_address is None


def test_offer_takes_a_tenth_off(client, customer, tea):
    offer = make_offer(ConditionalOffer.SITE)

    order = buy(client, tea)

    assert order.total_discount_incl_tax == Decimal("1.20")
    offer.refresh_from_db()
    assert offer.num_orders == 1


def test_voucher_takes_a_tenth_off(client, customer, tea):
    now = timezone.now()
    voucher = Voucher.objects.create(
        name="Tenth",
        code="TENTH",
        usage=Voucher.MULTI_USE,
        start_datetime=now,
        end_datetime=now + datetime.timedelta(1),
    )
    voucher.offers.add(make_offer(ConditionalOffer.VOUCHER))
    put(client, tea)
    client.post(reverse("basket:vouchers-add"), {"code": "TENTH"})

    order = check_out(client)

    assert order.total_discount_incl_tax == Decimal("1.20")
    voucher.refresh_from_db()
    assert (voucher.num_orders, voucher.num_basket_additions) == (1, 1)


def test_voucher_is_put_away(client, customer, tea):
    now = timezone.now()
    voucher = Voucher.objects.create(
        name="Tenth", code="TENTH", start_datetime=now, end_datetime=now + datetime.timedelta(1)
    )
    voucher.offers.add(make_offer(ConditionalOffer.VOUCHER))
    put(client, tea)
    client.post(reverse("basket:vouchers-add"), {"code": "TENTH"})

    client.post(reverse("basket:vouchers-remove", kwargs={"pk": voucher.pk}))

    assert not Basket.objects.get(owner=customer).vouchers.exists()


def test_basket_of_a_guest_is_merged_at_log_in(client, tea, django_user_model):
    user = django_user_model.objects.create_user(
        "jane", email="jane@example.com", password="a password of jane"
    )
    put(client, tea)

    client.post(
        reverse("customer:login"),
        {
            "login-username": "jane@example.com",
            "login-password": "a password of jane",
            "login_submit": "Log In",
        },
    )
    client.get(reverse("basket:summary"))

    assert Basket.objects.get(owner=user).lines.get().product == tea


def test_things_beyond_the_stock_are_not_sold(client, customer, cup):
    answer = client.post(reverse("basket:add", kwargs={"pk": cup.pk}), {"quantity": 5})

    assert answer.status_code == 302
    assert cup.stockrecords.get().num_allocated is None


def test_line_of_the_basket_is_changed_and_saved_for_later(client, customer, tea):
    put(client, tea)
    line = Basket.objects.get(owner=customer).lines.get()
    form = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": line.pk}

    client.post(reverse("basket:summary"), {**form, "form-0-quantity": 3})
    line.refresh_from_db()
    client.post(reverse("basket:summary"), {**form, "form-0-quantity": 3, "form-0-save_for_later": "on"})

    assert line.quantity == 3
    assert Basket.objects.get(owner=customer, status="Saved").lines.count() == 1


def test_order_is_put_into_the_basket_again(client, customer, tea):
    order = buy(client, tea)

    client.post(
        reverse("customer:order", kwargs={"order_number": order.number}),
        {"order_number": order.number, "action": "reorder"},
    )

    assert Basket.objects.filter(owner=customer, status="Open").get().lines.count() == 1


def test_customer_registers_and_keeps_an_address(client, country):
    form = {"email": "new@example.com", "password1": "a long password", "password2": "a long password"}
    assert client.post(reverse("customer:register"), form).status_code == 302

    address = {
        "first_name": "Jane",
        "last_name": "Doe",
        "line1": "1 Road",
        "line4": "Town",
        "postcode": "N1 9RT",
        "country": "GB",
    }
    answer = client.post(reverse("customer:address-create"), address)

    assert answer.status_code == 302
    assert get_model("address", "UserAddress").objects.get().user.email == "new@example.com"


def test_customer_reviews_what_was_bought_and_wishes_for_more(client, customer, tea, cup):
    client.post(
        reverse("catalogue:reviews-add", kwargs={"product_slug": tea.slug, "product_pk": tea.pk}),
        {"title": "Good", "body": "Very", "score": 5, "name": "Jane", "email": "jane@example.com"},
    )
    client.post(
        reverse("customer:wishlists-create-with-product", kwargs={"product_pk": cup.pk}),
        {
            "name": "Mine",
            "visibility": "Private",
            "shared_emails-TOTAL_FORMS": 0,
            "shared_emails-INITIAL_FORMS": 0,
        },
    )

    tea.refresh_from_db()
    assert tea.reviews.count() == 1
    assert get_model("wishlists", "WishList").objects.get().owner == customer


def test_customer_is_told_when_something_is_there_again(client, customer, staff):
    gone = factories.create_product(title="Pot", product_class="Goods", price=9, num_in_stock=0)

    client.post(reverse("customer:alert-create", kwargs={"pk": gone.pk}), {})
    record = gone.stockrecords.get()
    record.num_in_stock = 5
    record.save()

    assert get_model("customer", "ProductAlert").objects.filter(user=customer).count() == 1


def test_looking_at_a_product_counts(client, customer, tea):
    client.get(tea.get_absolute_url())

    assert get_model("analytics", "UserProductView").objects.get().product == tea


def test_password_is_changed(client, customer):
    client.post(
        reverse("customer:change-password"),
        {
            "old_password": "a password of jane",
            "new_password1": "another of jane",
            "new_password2": "another of jane",
        },
    )

    assert [re.sub(r"\s+", " ", message.subject) for message in mail.outbox]
