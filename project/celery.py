"""The Celery app of the shop: ``celery -A project worker -Q payments -n payments@%h`` runs one context."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from microworkflows import worker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")
worker.setup(app)


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Stop Celery from setting up logging: a worker logs as the settings say, at ``LOG_LEVEL``."""
