"""A Celery app without the kit, on the same settings: what it does with the project's own tasks, the kit must do, too."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.integration.settings")

app = Celery("plain")
app.config_from_object("django.conf:settings", namespace="CELERY")
