import os

import dj_database_url

SECRET_KEY = "a depot on a developer's machine"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["depot.parcels.apps.ParcelsConfig", "depot.archive"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "depot.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_I18N = False
USE_TZ = False
TIME_ZONE = "Europe/Berlin"

DATABASES = {
    "default": {**dj_database_url.parse(os.environ["DEPOT_DATABASE"]), "ATOMIC_REQUESTS": True},
    "archive": dj_database_url.parse(os.environ["DEPOT_ARCHIVE"]),
}
DATABASE_ROUTERS = ["depot.routers.ArchiveRouter"]

CELERY_BROKER_URL = os.environ["DEPOT_REDIS"]
CELERY_TASK_ROUTES = {"depot.parcels.tasks.*": {"queue": "labels"}}
CELERY_BEAT_SCHEDULE = {"reprint": {"task": "depot.parcels.tasks.print_label", "schedule": 3600, "args": [1]}}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": True,
    "formatters": {"json": {"()": "depot.logs.JsonFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
