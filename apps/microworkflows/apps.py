"""The kit as a Django app: finds each app's events and microworkflows at start."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class MicroworkflowsConfig(AppConfig):
    """Imports ``events`` and ``workflows`` of every installed app, so that the registry is complete."""

    name = "microworkflows"
    verbose_name = "Microworkflows"

    def ready(self) -> None:
        from microworkflows import checks  # noqa: F401  (registers the system checks)

        autodiscover_modules("events", "workflows")
