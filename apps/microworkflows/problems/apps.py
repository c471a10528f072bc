"""Django's entry to the problems: registers them with the core."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProblemsConfig(AppConfig):
    """Registers the guest and its system check."""

    name = "microworkflows.problems"
    label = "microworkflows_problems"
    verbose_name = _("Problems")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows import flows
        from microworkflows.problems import checks  # noqa: F401  (registers the system check)
        from microworkflows.problems.guest import Problems

        flows.register(Problems())
