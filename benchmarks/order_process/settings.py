"""Settings of the shop without the kit's worker: the rivals' processes.

They do not import ``project``, whose Celery app has the kit's worker. What decides about speed is as it is there.
"""

import os

import dj_database_url

SECRET_KEY = os.environ["SECRET_KEY"]
INSTALLED_APPS = [
    "orders",
    "payments",
    "inventory",
    "shipping",
    "django_outbox_pattern",
    "microworkflows",  # the shop's apps import it; here it neither relays nor receives
    "django.contrib.auth",
    "django.contrib.contenttypes",
]
SILENCED_SYSTEM_CHECKS = ["microworkflows.E030"]  # no worker of the kit: that is the point
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
DATABASES = {
    "default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=600, conn_health_checks=True)
}
DATABASES["default"]["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 5}

CELERY_BROKER_URL = os.environ["BROKER_URL"]
CELERY_IMPORTS = ["benchmarks.order_process.chain", "benchmarks.order_process.apart"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = TIME_ZONE
CELERY_WORKER_CONCURRENCY = 1
# As the kit's workers have it. Left alone, Celery closes the connection to the database before and after each task.
CELERY_DB_REUSE_MAX = 1_000_000

DJANGO_OUTBOX_PATTERN = {
    "DEFAULT_STOMP_HOST_AND_PORTS": [("127.0.0.1", int(os.environ.get("STOMP_PORT", "61613")))],
    "DEFAULT_STOMP_VHOST": os.environ.get("STOMP_VHOST", "/"),
    "DEFAULT_STOMP_USERNAME": "guest",
    "DEFAULT_STOMP_PASSCODE": "guest",
    # Its default is 1, which leaves the consumer idle between two messages; Celery's workers have 4.
    "DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true", "auto-delete": "false", "prefetch-count": "4"},
    # DEFAULT_PRODUCER_WAITING_TIME, seconds between two looks into its outbox, stays at 1. It is read as a whole number,
    # and with 0 the publisher connects anew before stomp.py is done with the connection it has just closed: the new one
    # is taken for broken, and nothing is published for four minutes (DEFAULT_PAUSE_FOR_RETRY).
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname:<7} {processName} {name}: {message}", "style": "{"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ["LOG_LEVEL"]},
}
