"""Django's entry to the traces: registers them with the core, and sends the last spans before a process of a worker ends."""

from typing import Any

from celery.signals import worker_process_shutdown
from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _


class TelemetryConfig(AppConfig):
    """Registers a guest that makes OpenTelemetry's spans; without an SDK, these cost little and go nowhere."""

    name = "microworkflows.telemetry"
    label = "microworkflows_telemetry"
    verbose_name = _("Telemetry")

    def ready(self) -> None:
        from microworkflows import flows

        try:
            from microworkflows.telemetry.guest import Telemetry
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("opentelemetry"):
                raise
            raise ImproperlyConfigured(
                "microworkflows.telemetry is in INSTALLED_APPS, and opentelemetry-api is not installed. Install "
                '"django-microworkflows[otel]", or take the app out.'
            ) from error
        flows.register(Telemetry())
        worker_process_shutdown.connect(_flush, weak=False)


def _flush(**kwargs: Any) -> None:
    """Send the spans that a process of a worker's pool still holds: it ends without Python's ``atexit``."""
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)  # the SDK's has it, the API's does not
    if flush is not None:
        flush()
