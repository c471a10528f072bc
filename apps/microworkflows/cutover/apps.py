"""Django's entry to the cut-over: registers it with the core, and finds each app's legacy steps at start."""

from typing import Any

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class CutoverConfig(AppConfig):
    """Imports ``legacy`` of every installed app, after their microworkflows are known."""

    name = "microworkflows.cutover"
    label = "microworkflows_cutover"
    verbose_name = _("Cut-over")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db import router
        from django.db.models.signals import post_migrate

        from microworkflows import conf, flows
        from microworkflows.cutover import checks  # noqa: F401  (registers the system checks)
        from microworkflows.cutover.conf import CutoverSettings
        from microworkflows.cutover.guest import Cutover
        from microworkflows.cutover.routing import OthersAreElsewhere

        conf.add_section(CutoverSettings)
        flows.register(Cutover())
        if not any(isinstance(known, OthersAreElsewhere) for known in router.routers):
            router.routers.insert(0, OthersAreElsewhere())  # one that says yes to all must not come before it
        post_migrate.connect(_keep_others_away, sender=self, dispatch_uid="microworkflows_cutover.elsewhere")
        autodiscover_modules("legacy")


def _keep_others_away(*, using: str, **kwargs: Any) -> None:
    """Let new tables and columns of others be refused, too, after a migration of a context's own database."""
    from django.db import connections

    if connections[using].vendor == "postgresql":
        from microworkflows.cutover.splitting import elsewhere

        elsewhere.keep_up(connections[using])
