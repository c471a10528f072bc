"""Django's entry to the cut-over: registers it with the core, and finds each app's legacy steps at start."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class CutoverConfig(AppConfig):
    """Imports ``legacy`` of every installed app, after their microworkflows are known."""

    name = "microworkflows.cutover"
    label = "microworkflows_cutover"
    verbose_name = "Cut-over"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows import conf, flows
        from microworkflows.cutover import checks  # noqa: F401  (registers the system checks)
        from microworkflows.cutover.conf import CutoverSettings
        from microworkflows.cutover.guest import Cutover

        conf.add_section(CutoverSettings)
        flows.register(Cutover())
        autodiscover_modules("legacy")
