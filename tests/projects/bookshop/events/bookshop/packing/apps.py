from django.apps import AppConfig


class PackingConfig(AppConfig):
    name = "bookshop.packing"
    default_auto_field = "django.db.models.BigAutoField"
