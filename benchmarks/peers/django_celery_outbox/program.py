"""django-celery-outbox, set up as its documentation says, as one program: migrate, record, relay, latency.

It reads DATABASE_URL, BROKER_URL, QUEUE and VARIANT: default, tuned, confirmed or confirmed-tuned.
"""

import logging
import os
import random
import sys
import time
from typing import Any
from urllib.parse import unquote, urlsplit

import django
import structlog
from django.conf import settings
from django.core.management import call_command

AT_ONCE = 500  # rows in one transaction, at most
DATABASE = urlsplit(os.environ["DATABASE_URL"])
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "tuned": {"batch_size": 1000, "idle_time": 0.01},
    "confirmed": {},
    "confirmed-tuned": {"batch_size": 1000, "idle_time": 0.01, "publish_concurrency": 8},
}


def announce(logger: object, method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Say when the relay has declared Celery's queues for delays and begins; of the rest, log warnings and worse."""
    if line["event"] == "celery_outbox_relay_started":
        print("relaying", flush=True)
    if method == "info":
        raise structlog.DropEvent
    return line


structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    processors=[announce, *structlog.get_config()["processors"]],
)
settings.configure(
    SECRET_KEY="of a measurement",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django_celery_outbox"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE.path.lstrip("/"),
            "USER": unquote(DATABASE.username or ""),
            "PASSWORD": unquote(DATABASE.password or ""),
            "HOST": DATABASE.hostname or "",
            "PORT": DATABASE.port or "",
            "CONN_MAX_AGE": None,  # the relay closes old connections twice a batch
        }
    },
    CELERY_OUTBOX_APP="tasks.app",
    MONITORING_METRICS_ENABLED=False,  # there is no StatsD server to send to
)
django.setup()

from django.db import transaction  # noqa: E402
from tasks import app  # noqa: E402


def marker(number: int) -> str:
    return f"m{number:09d}m"


def event(number: int) -> dict[str, Any]:
    return {"number": number, "marker": marker(number), "filler": "x" * 240}


def record(count: int) -> None:
    for first in range(0, count, AT_ONCE):
        with transaction.atomic():
            for number in range(first, min(first + AT_ONCE, count)):
                app.send_task("peer.handle", kwargs=event(number))
    print(f"recorded {count}", flush=True)


def latency(count: int, pause: float) -> None:
    for number in range(count):
        with transaction.atomic():
            app.send_task("peer.handle", kwargs=event(number))
        print(marker(number), time.monotonic_ns(), flush=True)
        time.sleep(pause * random.uniform(0.5, 1.5))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["migrate"]:
            call_command("migrate", verbosity=0)
        case ["record", count]:
            record(int(count))
        case ["relay"]:
            call_command("celery_outbox_relay", **OPTIONS[os.environ["VARIANT"]])
        case ["latency", count, pause]:
            latency(int(count), float(pause))
        case _:
            sys.exit("migrate | record N | relay | latency N SECONDS")
