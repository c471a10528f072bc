"""The shop's settings with events: what the scaffold wrote, and a broker."""

import os

from shop.settings import *
from shop.settings import INSTALLED_APPS as BEFORE

INSTALLED_APPS = [
    *BEFORE,
    "partner_events",
    "django_outbox_pattern",
    "microworkflows",
    "microworkflows.cutover",
]
MICROWORKFLOWS = {"CUTOVER": ["partner_events"], "PREFIX": os.environ.get("BROKER_PREFIX", "")}
CELERY_BROKER_URL = os.environ.get("BROKER_URL", f"embedded://{BASE_DIR}/broker")
