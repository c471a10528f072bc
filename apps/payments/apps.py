"""Django's entry to the context payments."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """The bounded context payments."""

    name = "payments"
    label = "payments"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the context's system checks."""
        from payments import checks  # noqa: F401
