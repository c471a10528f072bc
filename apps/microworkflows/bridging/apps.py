"""Django's entry to the bridging."""

from django.apps import AppConfig


class BridgingConfig(AppConfig):
    """Registers the system check."""

    name = "microworkflows.bridging"
    label = "microworkflows_bridging"
    verbose_name = "Bridging"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows.bridging import checks  # noqa: F401  (registers the system check)
