"""The shop's settings with two contexts that are cut over."""

import os

import dj_database_url

from shop.settings import *
from shop.settings import INSTALLED_APPS as BEFORE

INSTALLED_APPS = [
    *BEFORE,
    "warehouse",
    "analytics_events",
    "django_outbox_pattern",
    "microworkflows",
    "microworkflows.cutover",
    "microworkflows.bridging",
]
MICROWORKFLOWS = {
    "CUTOVER": ["warehouse", "analytics_events"],
    "PREFIX": os.environ.get("BROKER_PREFIX", ""),
}
CELERY_BROKER_URL = os.environ.get("BROKER_URL", f"embedded://{BASE_DIR}/broker")
if "WAREHOUSE_URL" in os.environ:  # for who compares both sides
    DATABASES["warehouse"] = dj_database_url.parse(os.environ["WAREHOUSE_URL"])
if "OWN_DATABASE" in os.environ:  # a process of the warehouse, after its move
    MICROWORKFLOWS["CUTOVER"] = []
