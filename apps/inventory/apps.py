"""Django's entry to the context inventory."""

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    """The bounded context inventory."""

    name = "inventory"
    label = "inventory"
    default_auto_field = "django.db.models.BigAutoField"
