import pytest
from django.test import TestCase

from sales import shop
from sales.models import Order
from stock.models import StockRecord
from tests import goods


@pytest.mark.django_db
def test_last_piece_is_sold_once(client):
    goods.arrive("tea", 1)

    answers = [client.post("/buy/", {"sku": "tea"}).status_code for _ in range(3)]

    assert answers == [201, 409, 409]


@pytest.mark.django_db
def test_basket_takes_the_last_piece_once():
    goods.arrive("tea", 1)

    assert len(shop.buy_basket(["tea", "tea", "tea"])) == 1


class CancellingTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.record = goods.arrive("tea", 2)
        cls.order = shop.buy("tea")

    def test_cancelled_order_leaves_no_stock_behind(self):
        shop.cancel(self.order)

        self.record.refresh_from_db()
        self.assertEqual(self.record.allocated, 0)
        self.assertEqual(shop.is_there("tea"), True)


@pytest.mark.django_db(transaction=True)
def test_report_counts_pieces():
    goods.arrive("tea", 2)
    shop.buy("tea")

    assert shop.report() == {"tea": 2}


def test_label():
    assert shop.label("tea") == "shelf of tea"


@pytest.mark.django_db
def test_nothing_is_sold_where_nothing_is():
    assert shop.buy("tea") is None
    assert not Order.objects.exists()
    assert not StockRecord.objects.exists()


def test_that_fails_anyway():
    assert shop.label("tea") == "tea"
