"""The record of what was declared at the broker, in this database: AMQP lists no bindings, and code forgets what it once declared.

Relays and workers write it, and repeat it every minute while they live. So it also tells whether a process still declares a
binding, such as one of the version before in a rolling deploy.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import DurationField, ExpressionWrapper, F

from microworkflows import times
from microworkflows.models import DeclaredBinding
from microworkflows.topology import Bound

EVERY = timedelta(minutes=1)
"""Time between two notes of a process."""

STALE_AFTER = 3 * EVERY
"""Age from which on no process that lives declares a binding."""


class Recorded(NamedTuple):
    """A binding, as the record has it."""

    bound: Bound
    since: datetime
    """Time at which it was declared first."""
    declared_at: datetime
    """Time at which it was declared last."""
    is_kept: bool
    """True if a process that lives declares it, or did so moments ago."""


def note(bindings: Iterable[Bound]) -> None:
    """Note that bindings are declared now. Rows go in order, so that two processes do not wait for each other."""
    now = times.database_now()
    DeclaredBinding.objects.bulk_create(
        [
            DeclaredBinding(
                exchange=each.exchange, queue=each.queue, routing_key=each.key, since=now, declared_at=now
            )
            for each in sorted(bindings)
        ],
        update_conflicts=True,
        unique_fields=["exchange", "queue", "routing_key"],
        update_fields=["declared_at"],
    )


def recorded() -> list[Recorded]:
    """Return the record, by exchange, queue and key."""
    age = ExpressionWrapper(times.database_now() - F("declared_at"), output_field=DurationField())
    return sorted(
        Recorded(
            Bound(row.exchange, row.queue, row.routing_key),
            times.aware(row.since),
            times.aware(row.declared_at),
            row.age <= STALE_AFTER,
        )
        for row in DeclaredBinding.objects.annotate(age=age)
    )


def forget(bindings: Collection[Bound]) -> None:
    """Delete bindings from the record, because they are gone at the broker."""
    for each in bindings:
        DeclaredBinding.objects.filter(
            exchange=each.exchange, queue=each.queue, routing_key=each.key
        ).delete()
