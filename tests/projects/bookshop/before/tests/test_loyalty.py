import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from oscar.core.loading import get_model

from bookshop.loyalty.models import Account
from tests.buying import buy, make_book

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(client):
    user = get_user_model().objects.create_user("jane", email="jane@example.com")
    client.force_login(user)
    return user


def test_order_gives_points(client, reader):
    answer = buy(client, make_book())

    assert answer.url == reverse("checkout:thank-you")
    assert Account.objects.get(customer=reader).points == 24


def test_order_takes_books_from_stock(client, reader):
    book = make_book()

    buy(client, book)

    assert get_model("order", "Order").objects.get().status == "Pending"
    assert book.stockrecords.get().num_allocated == 2


def test_books_beyond_the_stock_are_not_sold(client, reader):
    book = make_book(stock=3)

    for _ in range(2):
        buy(client, book)

    assert Account.objects.get(customer=reader).points == 24
