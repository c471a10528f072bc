from django.apps import AppConfig


class LoyaltyConfig(AppConfig):
    name = "bookshop.loyalty"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from bookshop.loyalty import receivers  # noqa: F401
