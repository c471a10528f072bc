"""The pages of the metrics and of the web server's health, for Prometheus and for probes: texts, and no login."""

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from microworkflows import conf, logs
from microworkflows.metrics import bounded, database, health
from microworkflows.metrics.conf import MetricsSettings

logger = logs.logger(__name__)

_READY_SECONDS = 3.0


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Show the metrics, in Prometheus' text format or in OpenMetrics, as the request accepts."""
    # The extra may be missing, which a check says; health needs none.
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    from microworkflows.metrics.collector import MicroworkflowsCollector

    token = conf.read(MetricsSettings).metrics_token
    if token and not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}"):
        refused = HttpResponse(
            "The token of METRICS_TOKEN is missing.\n", status=401, content_type="text/plain"
        )
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    registry = CollectorRegistry()
    registry.register(MicroworkflowsCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Answer 200: this process answers, whatever else is away. To restart it would mend nothing."""
    return _text("ok")


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database answers and is migrated, else 503 with the reason; the log has its text.

    A broker that is away changes nothing: what is recorded waits in the outbox.
    """
    reasons: list[str] = []
    bounded.run({"ready": lambda: reasons.append(_reason())}, seconds=_READY_SECONDS)
    reason = reasons[0] if reasons else f"The database has not answered in {_READY_SECONDS:g} s."
    return _text(reason, status=503) if reason else _text("ok")


def _reason() -> str:
    """Return why this process cannot work; empty if it can."""
    try:
        with database.opened("ready"):
            missing = health.missing_migrations()
    except Error as error:
        logger.error("the database does not answer: %s", error)
        return f"The database does not answer: {type(error).__name__}. The log says more."
    return f"The database is not migrated: {', '.join(missing)}." if missing else ""


def _text(text: str, *, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain")
