"""Django's entry to the context orders."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """The bounded context orders."""

    name = "orders"
    label = "orders"
    default_auto_field = "django.db.models.BigAutoField"
