"""Times: aware and in UTC wherever the kit computes with them, whatever the project's ``USE_TZ`` says.

Without ``USE_TZ``, Django reads times without a zone from each database, and SQLite takes no others: they are of the project's
``TIME_ZONE``. So a time is :func:`stored` where it goes to the database, and :func:`aware` where it comes from there.
"""

from datetime import UTC, datetime

from django.conf import settings
from django.db import connections, router
from django.db.models import Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now
from django.utils import timezone
from django_outbox_pattern.models import Published


def now() -> datetime:
    """Return the present time, as the database takes it."""
    return stored(datetime.now(UTC))


def database_now() -> Combinable:
    """Return the database's own time, for a query; in SQLite, whose time is this machine's, as the project writes times."""
    return Now() if settings.USE_TZ or _takes_zones() else Value(now())


def stored(time: datetime) -> datetime:
    """Return a time as the database takes it."""
    if settings.USE_TZ or _takes_zones():
        return aware(time)
    return time if timezone.is_naive(time) else timezone.make_naive(time, timezone.get_default_timezone())


def aware(time: datetime) -> datetime:
    """Return a time that a database or a person may have given without a zone: then it is of the project's ``TIME_ZONE``."""
    return timezone.make_aware(time, timezone.get_default_timezone()) if timezone.is_naive(time) else time


def local(time: datetime) -> datetime:
    """Return a time in the zone of the person who looks."""
    return timezone.localtime(aware(time))


def shown(time: datetime) -> str:
    """Return a time as all pages and commands show it to people: local, with its zone, such as ``2026-03-14 09:41 CET``."""
    return f"{local(time):%Y-%m-%d %H:%M %Z}"


def _takes_zones() -> bool:
    return connections[router.db_for_write(Published)].vendor == "postgresql"
