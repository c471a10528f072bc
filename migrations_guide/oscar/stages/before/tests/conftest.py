import pytest
from django.contrib.auth import get_user_model
from oscar.core.loading import get_model
from oscar.test import factories


@pytest.fixture(autouse=True)
def country(db):
    return get_model("address", "Country").objects.create(
        iso_3166_1_a2="GB",
        iso_3166_1_a3="GBR",
        iso_3166_1_numeric="826",
        printable_name="United Kingdom",
        name="United Kingdom",
        is_shipping_country=True,
    )


@pytest.fixture
def tea(db):
    return factories.create_product(title="Tea", product_class="Goods", price=12, num_in_stock=10)


@pytest.fixture
def cup(db):
    return factories.create_product(title="Cup", product_class="Goods", price=5, num_in_stock=4)


@pytest.fixture
def customer(client, db):
    user = get_user_model().objects.create_user(
        "jane", email="jane@example.com", password="a password of jane"
    )
    client.force_login(user)
    return user


@pytest.fixture
def staff(db):
    from django.test import Client

    user = get_user_model().objects.create_user(
        "sam", email="sam@example.com", is_staff=True, is_superuser=True
    )
    client = Client()
    client.force_login(user)
    return client
