"""Django's entry to the metrics."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MetricsConfig(AppConfig):
    """Adds the settings of the metrics, and their check."""

    name = "microworkflows.metrics"
    label = "microworkflows_metrics"
    verbose_name = _("Metrics and health")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from microworkflows import conf
        from microworkflows.metrics import checks  # noqa: F401  (registers the system check)
        from microworkflows.metrics.conf import MetricsSettings

        conf.add_section(MetricsSettings)
