"""django-outbox-pattern, set up as its documentation says, as one program: migrate, record, relay, latency.

It reads DATABASE_URL, BROKER_URL (for the login and the virtual host), STOMP_PORT and QUEUE. It has one variant.
"""

import os
import random
import sys
import time
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.core.management import call_command

AT_ONCE = 500  # rows in one transaction, at most
DATABASE = urlsplit(os.environ["DATABASE_URL"])
BROKER = urlsplit(os.environ["BROKER_URL"])

settings.configure(
    SECRET_KEY="of a measurement",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django_outbox_pattern"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE.path.lstrip("/"),
            "USER": unquote(DATABASE.username or ""),
            "PASSWORD": unquote(DATABASE.password or ""),
            "HOST": DATABASE.hostname or "",
            "PORT": DATABASE.port or "",
            "CONN_MAX_AGE": None,
        }
    },
    DJANGO_OUTBOX_PATTERN={
        "DEFAULT_STOMP_HOST_AND_PORTS": [(BROKER.hostname, int(os.environ["STOMP_PORT"]))],
        "DEFAULT_STOMP_USERNAME": unquote(BROKER.username or "guest"),
        "DEFAULT_STOMP_PASSCODE": unquote(BROKER.password or "guest"),
        "DEFAULT_STOMP_VHOST": unquote(BROKER.path.removeprefix("/")) or "/",
    },
)
django.setup()

from django.db import transaction  # noqa: E402
from django_outbox_pattern.headers import get_message_headers  # noqa: E402
from django_outbox_pattern.models import Published  # noqa: E402

# RabbitMQ declares what stands behind /queue/ anew, with other arguments; this one it takes as it is.
DESTINATION = f"/amq/queue/{os.environ['QUEUE']}"
HEADERS = {"persistent": "true"}  # RabbitMQ keeps a STOMP message on disk only if it says so


def marker(number: int) -> str:
    return f"m{number:09d}m"


def event(number: int) -> dict[str, Any]:
    return {"number": number, "marker": marker(number), "filler": "x" * 240}


def record(count: int) -> None:
    for first in range(0, count, AT_ONCE):
        rows = [
            Published(destination=DESTINATION, body=event(number), headers=HEADERS)
            for number in range(first, min(first + AT_ONCE, count))
        ]
        for row in rows:
            row.headers = get_message_headers(row)  # as its save() does
        with transaction.atomic():
            Published.objects.bulk_create(rows)
    print(f"recorded {count}", flush=True)


def latency(count: int, pause: float) -> None:
    for number in range(count):
        with transaction.atomic():
            Published.objects.create(destination=DESTINATION, body=event(number), headers=HEADERS)
        print(marker(number), time.monotonic_ns(), flush=True)
        time.sleep(pause * random.uniform(0.5, 1.5))


def relay() -> None:
    print("relaying", flush=True)
    call_command("publish")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["migrate"]:
            call_command("migrate", verbosity=0)
        case ["record", count]:
            record(int(count))
        case ["relay"]:
            relay()
        case ["latency", count, pause]:
            latency(int(count), float(pause))
        case _:
            sys.exit("migrate | record N | relay | latency N SECONDS")
