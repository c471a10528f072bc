from django.contrib.auth import get_user_model
from oscar.core.loading import get_model
from oscar.test import factories

PASSWORD = "a password of sam"


def open_shop(shelf):
    """Fill the shelf, given as pieces by title; return the products' ids by title."""
    get_model("address", "Country").objects.get_or_create(
        iso_3166_1_a2="GB",
        defaults={"printable_name": "United Kingdom", "name": "United Kingdom", "is_shipping_country": True},
    )
    # What the first customer would make: two who are the first at once would make it twice.
    get_model("payment", "SourceType").objects.get_or_create(name="Card")
    get_model("order", "PaymentEventType").objects.get_or_create(name="Settled")
    User = get_user_model()
    if not User.objects.filter(username="sam").exists():
        User.objects.create_superuser("sam", "sam@example.com", PASSWORD)
    return {title: make_product(title, pieces).pk for title, pieces in shelf.items()}


def make_product(title, pieces):
    product = factories.create_product(title=title, product_class="Goods", price=9, num_in_stock=pieces)
    # Oscar's counter fails where two people are the first at once.
    get_model("analytics", "ProductRecord").objects.create(product=product)
    return product
