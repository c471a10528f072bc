"""Reasons: why an awaited event has not come, and who has to act, chosen from what its journey still expects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext as _

from microworkflows import times
from microworkflows.cloudevents import context_of
from microworkflows.journal import journeys, lateness
from microworkflows.journal.expectations import Cause, Expectation
from microworkflows.journal.journeys import Journey
from microworkflows.journal.lateness import Miss
from microworkflows.journal.presence import Life, Presence, Seen

AT_REST: Final = "at rest"
"""Cause: nothing is under way in the flow, and nothing that it still waits for can bring the event about."""

_DOWN: Final = frozenset({Cause.WORKER, Cause.RELAY})
"""Causes that are certain, whatever notices are missing."""

_SHARED: Final = _DOWN | {Cause.BACKLOG}
"""Causes that hold for every flow that waits for the same contexts."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """The likely cause for which an event has not come."""

    owner: str
    """Context that has to act."""
    cause: str
    """A word of :class:`~microworkflows.journal.expectations.Cause`, or :data:`AT_REST`."""
    details: str
    """What stands in the way, and what to do."""


class Reasons:
    """Finds reasons in one round of the watcher; of many flows that wait for the same dead worker, or queue, it reads one."""

    def __init__(self, *, now: datetime) -> None:
        self._now = now
        self._shared: dict[tuple[object, ...], Reason | None] = {}

    def of(self, miss: Miss, *, until: datetime) -> Reason | None:
        """Return the reason of a miss; None if nobody can judge yet, because notices of those involved may still come."""
        key = (miss.awaited, miss.of, miss.flow.state, *miss.flow.waiting_for)
        if key in self._shared:
            return self._shared[key]
        reason = self._read(miss, until)
        if reason is None or reason.cause in _SHARED:
            self._shared[key] = reason
        return reason

    def _read(self, miss: Miss, until: datetime) -> Reason | None:
        journey = journeys.journey(miss.flow.correlation_id, now=times.stored(self._now))
        if journey is None:
            return None
        expected = _likely(journey, miss)
        owner = expected.context if expected else context_of(miss.awaited)
        involved = {owner, context_of(miss.awaited), *map(context_of, miss.flow.waiting_for)}
        began_at = times.aware(miss.flow.began_at)
        if lateness.untold(involved, since=began_at, until=until, now=self._now):
            return None
        if not _has_told(journey.contexts.get(owner), since=miss.due_at):
            return None
        return _reason(journey, expected, owner, involved)


def _likely(journey: Journey, miss: Miss) -> Expectation | None:
    """Return what most likely holds the event up: first what can bring it about, then what will not come by itself."""
    leading = _leading(miss.awaited, journey.contexts.values())
    holding = [each for each in journey.expected if each.cause is not Cause.DEADLINE]
    return min(
        holding,
        key=lambda each: (each.context not in leading, not each.is_urgent, each.since),
        default=None,
    )


def _leading(awaited: str, contexts: Iterable[Presence]) -> set[str]:
    """Return the contexts on the declared ways to an event."""
    workflows = [each for context in contexts for each in context.declarations.get("workflows", ())]
    wanted, found = {awaited}, set()
    while more := [each for each in workflows if each["label"] not in found and wanted & set(each["emits"])]:
        found |= {each["label"] for each in more}
        wanted |= {each["on"] for each in more}
    return {context_of(label) for label in found} | {context_of(type) for type in wanted}


def _has_told(owner: Presence | None, *, since: datetime) -> bool:
    """Return True if the owner's worker and relay have told something since then, or surely do not run, or are unknown."""
    return owner is None or all(_is_settled(part, since) for part in (owner.worker, owner.relay))


def _is_settled(part: Seen, since: datetime) -> bool:
    return part.life is not Life.ALIVE or (part.seen_at is not None and part.seen_at >= since)


def _reason(journey: Journey, expected: Expectation | None, owner: str, involved: set[str]) -> Reason:
    if expected is None:
        return Reason(owner=owner, cause=AT_REST, details=_at_rest(journey, owner))
    said = _said(expected)
    missing = sorted({name for each in involved for name in _missing(journey.contexts, each)})
    if not missing:
        return Reason(owner=owner, cause=str(expected.cause), details=said)
    cause = expected.cause if expected.cause in _DOWN else Cause.UNKNOWN
    gaps = _("Notices of %(names)s are missing for good, so it may have happened all the same.")
    details = f"{gaps % {'names': ', '.join(missing)}} {said}"
    return Reason(owner=owner, cause=str(cause), details=details)


def _said(expected: Expectation) -> str:
    if not expected.command:
        return expected.full_reason
    if expected.reason.endswith(":"):
        return f"{expected.full_reason} {expected.command}"
    return " ".join((expected.full_reason, _("Next: %(command)s") % {"command": expected.command}))


def _at_rest(journey: Journey, owner: str) -> str:
    handled = [each for each in journey.deliveries if each.handled_at is not None]
    if not handled:
        return _(
            "Nothing is under way in the flow, and nobody who listens is declared: does %(context)s send notices?"
        ) % {"context": owner}
    last = max(handled, key=lambda each: each.handled_at or journey.began_at)
    return _(
        "Nothing is under way in the flow: %(consumer)s was the last to handle an event, and nothing followed."
    ) % {"consumer": last.consumer}


def _missing(contexts: Mapping[str, Any], context: str) -> tuple[str, ...]:
    return contexts[context].missing if context in contexts else ()
