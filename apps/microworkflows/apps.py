"""The kit as a Django app: finds each app's events and microworkflows at start."""

from celery.signals import celeryd_after_setup
from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class MicroworkflowsConfig(AppConfig):
    """Imports ``events`` and ``workflows`` of every installed app, so that the registry is complete."""

    name = "microworkflows"
    verbose_name = _("Microworkflows")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows import embedded
        from microworkflows.checks import surroundings  # registers the system checks

        embedded.register()  # as worker.setup does, which may have been forgotten: a check says so
        celeryd_after_setup.connect(surroundings.guard_worker, weak=False)
        autodiscover_modules("events", "workflows")
