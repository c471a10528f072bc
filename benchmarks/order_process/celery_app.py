"""Celery as it comes, without the kit's worker: ``celery -A benchmarks.order_process.celery_app worker -Q payments``."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.order_process.settings")

app = Celery("order_process")
app.config_from_object("django.conf:settings", namespace="CELERY")


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Log as the shop's workers do."""
