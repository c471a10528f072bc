"""SQL of the metrics, for both databases."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Func

from microworkflows import ids, times
from microworkflows.metrics.catalog import BUCKETS

_RECORDED_AT = (
    "('x' || lpad(replace(substr(right(msg_id, 36), 1, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0"
)
_SECONDS = (
    "(CASE WHEN substr(right(msg_id, 36), 15, 1) = '7'"
    f" THEN greatest(extract(epoch FROM added) - {_RECORDED_AT}, 0) END)::double precision"
)


class Label(Func):
    """The label in the key of a message: that of a microworkflow, or of a context."""

    output_field = models.CharField()

    def __init__(self) -> None:
        super().__init__("msg_id")

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(compiler, connection, template="split_part(%(expressions)s, ':', 1)", **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return super().as_sql(
            compiler, connection, template="substr(%(expressions)s, 1, length(%(expressions)s) - 37)", **extra
        )


class Hop(Func):
    """Seconds from the recording of an event, which the id in the key of its message tells, to its receipt.

    It is null for an id that tells no time. Clocks that differ may make it too long, and never less than 0.
    """

    output_field = models.FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return _SECONDS, []

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return "microworkflows_hop(msg_id, added)", []


class Bucket(Func):
    """The number of the bucket that :class:`Hop` falls into."""

    output_field = models.IntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # A bucket holds its upper bound; PostgreSQL's holds the lower one.
        bounds = ", ".join(map(str, BUCKETS))
        return f"width_bucket({_SECONDS} - 1e-9, ARRAY[{bounds}]::double precision[])", []

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return "microworkflows_bucket(msg_id, added)", []


def add_functions(connection: BaseDatabaseWrapper) -> None:
    """Give a connection to SQLite the functions that these expressions call."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        session: Any = connection.connection
        session.create_function("microworkflows_hop", 2, _hop, deterministic=True)
        session.create_function("microworkflows_bucket", 2, _bucket, deterministic=True)


def _hop(msg_id: str, added: str) -> float | None:
    event = UUID(msg_id[-36:])
    if event.version != 7:
        return None
    stored = datetime.fromisoformat(added)
    received_at = stored.replace(tzinfo=UTC) if settings.USE_TZ else times.aware(stored)
    return max((received_at - ids.timestamp(event)).total_seconds(), 0.0)


def _bucket(msg_id: str, added: str) -> int | None:
    seconds = _hop(msg_id, added)
    return None if seconds is None else sum(seconds > bound for bound in BUCKETS)
