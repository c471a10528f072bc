"""Django's entry to the problems: registers them with the core."""

from django.apps import AppConfig


class ProblemsConfig(AppConfig):
    """Registers the guest and its system check."""

    name = "microworkflows.problems"
    label = "microworkflows_problems"
    verbose_name = "Problems"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows import flows
        from microworkflows.problems import checks  # noqa: F401  (registers the system check)
        from microworkflows.problems.guest import Problems

        flows.register(Problems())
