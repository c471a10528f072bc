from django.apps import AppConfig


class StockConfig(AppConfig):
    name = "shop.stock"

    def ready(self) -> None:
        from shop.orders.signals import order_closed
        from shop.stock.receivers import release

        order_closed.connect(release)
