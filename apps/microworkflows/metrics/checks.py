"""System checks of the metrics; they run if their app is installed."""

from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.db import router

from microworkflows.metrics.models import Tally
from microworkflows.models import InboxEvent

TAG = "microworkflows"


@register(TAG)
def check_client(**kwargs: Any) -> list[CheckMessage]:
    """E070: the library that writes the metrics down is not installed."""
    if find_spec("prometheus_client") is not None:
        return []
    return [
        Error(
            "microworkflows.metrics is installed, and prometheus-client, which writes its page, is not.",
            hint='pip install "django-microworkflows[prometheus]"',
            id="microworkflows.E070",
        )
    ]


@register(TAG)
def check_database(**kwargs: Any) -> list[CheckMessage]:
    """E071: the totals are in another database than the rows that they count."""
    theirs, ours = router.db_for_write(Tally), router.db_for_write(InboxEvent)
    if theirs == ours:
        return []
    return [
        Error(
            f"The totals of the metrics are in the database {theirs!r}, and outbox and inbox in {ours!r}: no scrape could count.",
            hint="Route the app microworkflows_metrics to the database of django_outbox_pattern.",
            id="microworkflows.E071",
        )
    ]
