from django.urls import reverse
from oscar.core.loading import get_model
from oscar.test.factories import create_product


def make_book(*, stock=3):
    get_model("catalogue", "ProductClass").objects.create(name="E-books", requires_shipping=False)
    return create_product(title="Emma", product_class="E-books", price=12, num_in_stock=stock)


def buy(client, book):
    """Put two copies into the basket, and go through the checkout."""
    client.post(reverse("basket:add", kwargs={"pk": book.pk}), {"quantity": 2})
    client.get(reverse("checkout:shipping-method"))
    return client.post(reverse("checkout:preview"), {"action": "place_order"})
