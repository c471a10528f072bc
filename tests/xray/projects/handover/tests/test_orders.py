from django.test import TestCase
from shop.orders import creators, services
from shop.stock.models import Reservation, Stock


class OrderTest(TestCase):
    def test_order_takes_goods_and_gives_them_back(self):
        Stock.objects.create(sku="tea", available=10)

        order = creators.place_order("1", {"tea": 3})
        services.return_order(order)
        services.close_order(order)

        assert Stock.objects.get().available == 10
        assert not Reservation.objects.exists()
