"""Django's entry to the cut-over: finds each app's legacy steps at start."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class CutoverConfig(AppConfig):
    """Imports ``legacy`` of every installed app, after their microworkflows are known."""

    name = "microworkflows.cutover"
    label = "microworkflows_cutover"
    verbose_name = "Cut-over"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows.cutover import checks  # noqa: F401  (registers the system checks)

        autodiscover_modules("legacy")
