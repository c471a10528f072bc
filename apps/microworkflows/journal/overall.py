"""What ``manage.py top`` shows: each context's worker, relay, queue and rates, and the flows that are stuck, as plain data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from microworkflows.journal import alarms, presence, rates
from microworkflows.journal.models import Flow
from microworkflows.journal.presence import Life, Presence, Seen
from microworkflows.journal.rates import Rate


def overall(*, now: datetime, most: int) -> dict[str, Any]:
    """Return what is known now; None stands for what is unknown, times are texts (ISO 8601).

    Args:
        now: The present time.
        most: Number of overdue events that are named, the longest overdue first.
    """
    present, going, late = presence.presences(now=now), rates.rates(now=now), alarms.flows_by_owner()
    heard_at = presence.last_heard()
    return {
        "at": now.isoformat(timespec="seconds"),
        "heard_at": _text(heard_at),
        "flows": {
            str(state.label): Flow.objects.filter(state=state).count()
            for state in (Flow.State.ON_ITS_WAY, Flow.State.FAILED, Flow.State.UNKNOWN)
        }
        | {"overdue": sum(late.values())},
        "contexts": [_context(each, going.get(each.context, Rate()), late) for each in present],
        "overdue": [
            {
                "subject": each.subject,
                "correlation_id": each.correlation_id,
                "awaited": each.awaited,
                "due_at": _text(each.due_at),
                "owner": each.owner,
                "cause": each.cause,
                "details": each.details,
            }
            for each in alarms.overdue(most=most)
        ],
    }


def _context(of: Presence, rate: Rate, late: Mapping[str, int]) -> dict[str, Any]:
    return {
        "context": of.context,
        "worker": _part(of.worker),
        "workers": len(of.worker.names) if of.worker.life is Life.ALIVE else 0,
        "relay": _part(of.relay) | {"leads": of.relay.leads},
        "depth": of.depth,
        "handling": of.handling,
        "flows": of.flows,
        "pending": of.pending,
        "oldest_at": _text(of.oldest_at),
        "failing": of.failing,
        "parked": of.parked,
        "dead": of.dead,
        "overdue": late.get(of.context, 0),
        "relayed_a_minute": round(rate.relayed, 1),
        "handled_a_minute": round(rate.handled, 1),
        "failed_a_minute": round(rate.failed, 1),
    }


def _part(seen: Seen) -> dict[str, Any]:
    return {"life": str(seen.life), "since": _text(seen.since)}


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")
