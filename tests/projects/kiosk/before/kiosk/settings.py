import os
from pathlib import Path

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "for tests only"
INSTALLED_APPS = [
    "sales",
    "stock",
    "django_outbox_pattern",
    "microworkflows",
    "microworkflows.cutover",
    "django.contrib.contenttypes",
    "django.contrib.auth",
]
MICROWORKFLOWS = {"CUTOVER": ["stock"]}
DATABASES = {"default": dj_database_url.parse(os.environ.get("KIOSK_DATABASE", "sqlite://:memory:"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "kiosk.urls"
USE_TZ = True
