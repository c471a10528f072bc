"""Django's entry to the context shipping."""

from django.apps import AppConfig


class ShippingConfig(AppConfig):
    """The bounded context shipping."""

    name = "shipping"
    label = "shipping"
    default_auto_field = "django.db.models.BigAutoField"
