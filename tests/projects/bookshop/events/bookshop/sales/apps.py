from django.apps import AppConfig


class SalesConfig(AppConfig):
    name = "bookshop.sales"

    def ready(self):
        from bookshop.sales import receivers  # noqa: F401
