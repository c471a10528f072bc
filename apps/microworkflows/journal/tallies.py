"""Tallies: counts of one context's rows that are not done, which a relay takes every few seconds beside its work."""

from contextlib import suppress
from typing import Any, Final, Self

from django.db.models import Count

from microworkflows import celery_app, topology
from microworkflows.journal.notices import TallyFacts
from microworkflows.loads import Loads
from microworkflows.models import InboxEvent, OutboxEvent

MOST = 100_000
"""Number up to which rows are counted: beyond it, a count costs more than it tells."""

_SECONDS: Final = 5.0
"""Longest wait for one answer of the broker."""


class Tallies:
    """Counts, with a connection to the broker that stays open from one to the next."""

    def __init__(self) -> None:
        self._loads = Loads(celery_app.get(), seconds=_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def of(self, context: str) -> TallyFacts:
        """Count the rows of a context, on partial indexes, and its dead letters."""
        pending = OutboxEvent.objects.pending(context=context)
        facts = TallyFacts(context=context, pending=_count(pending))
        if facts["pending"] and (oldest := pending.first()) is not None:
            facts["oldest"] = oldest.recorded_at.timestamp()
        stuck = OutboxEvent.objects.filter(
            status__in=(OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED)
        )
        numbers = dict(
            stuck.of_context(context).order_by().values_list("status").annotate(number=Count("pk"))
        )
        facts["unheard"] = numbers.get(OutboxEvent.Status.UNHEARD, 0)
        facts["rejected"] = numbers.get(OutboxEvent.Status.REJECTED, 0)
        facts["waiting"] = _count(InboxEvent.objects.waiting().of_context(context))
        facts["parked"] = _count(InboxEvent.objects.parked().of_context(context))
        if (dead := self._dead(context)) is not None:
            facts["dead"] = dead
        return facts

    def _dead(self, context: str) -> int | None:
        """Return the number of the context's dead letters; None if the broker does not say."""
        try:
            return self._loads.of(topology.dead_letter_name(context)).depth
        except Exception:  # of whatever transport; the relay tells of a broker that is away
            self._close()
            return None

    def _close(self) -> None:
        with suppress(Exception):
            self._loads.close()


def _count(rows: Any) -> int:
    return int(rows.order_by()[:MOST].count())
