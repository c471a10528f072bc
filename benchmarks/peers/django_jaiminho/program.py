"""django-jaiminho with its strategy keep-order, set up as its documentation says: migrate, record, relay, latency.

It reads DATABASE_URL, BROKER_URL, QUEUE and VARIANT: default or confirmed.
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

settings.configure(
    SECRET_KEY="of a measurement",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["jaiminho"],
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
    JAIMINHO_CONFIG={"PUBLISH_STRATEGY": "keep-order", "DELETE_AFTER_SEND": True},
)
django.setup()

from django.db import transaction  # noqa: E402
from sending import send  # noqa: E402


def marker(number: int) -> str:
    return f"m{number:09d}m"


def event(number: int) -> dict[str, Any]:
    return {"number": number, "marker": marker(number), "filler": "x" * 240}


def record(count: int) -> None:
    for first in range(0, count, AT_ONCE):
        with transaction.atomic():
            for number in range(first, min(first + AT_ONCE, count)):
                send(event(number))
    print(f"recorded {count}", flush=True)


def latency(count: int, pause: float) -> None:
    for number in range(count):
        with transaction.atomic():
            send(event(number))
        print(marker(number), time.monotonic_ns(), flush=True)
        time.sleep(pause * random.uniform(0.5, 1.5))


def relay() -> None:
    print("relaying", flush=True)
    call_command("events_relay", run_in_loop=True, loop_interval=0.1)  # its README's figure for keep-order


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
