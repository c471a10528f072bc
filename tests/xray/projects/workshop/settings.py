import json
import os
from pathlib import Path

BASE_DIR = Path(__file__).parent
SECRET_KEY = "workshop"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "sales",
    "stock",
]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
if os.environ.get("WORKSHOP_MIDDLEWARE"):
    MIDDLEWARE = ["microworkflows_xray.middleware.RecorderMiddleware", *MIDDLEWARE]
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("WORKSHOP_DATABASE", BASE_DIR / "workshop.sqlite3"),
        "ATOMIC_REQUESTS": bool(os.environ.get("WORKSHOP_ATOMIC")),
    }
}
if "WORKSHOP_POSTGRES" in os.environ:
    DATABASES = {
        "default": {"ENGINE": "django.db.backends.postgresql", **json.loads(os.environ["WORKSHOP_POSTGRES"])}
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "/static/"
