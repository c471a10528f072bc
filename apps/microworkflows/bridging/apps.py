"""Django's entry to the bridging."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BridgingConfig(AppConfig):
    """Registers the system check."""

    name = "microworkflows.bridging"
    label = "microworkflows_bridging"
    verbose_name = _("Bridging")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows.bridging import checks  # noqa: F401  (registers the system check)
