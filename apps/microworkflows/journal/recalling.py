"""Recalling: the failed attempts of messages, and what people did about them, from the histories that their owners keep.

What notices have told comes up in a history again, at a time that another clock may have given: of equal entries, those nearest in
time are the same one.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import Error

from microworkflows import times
from microworkflows.journal.merging import Change
from microworkflows.journal.models import Attempt
from microworkflows.journal.notices import LONGEST_ERROR, Kind
from microworkflows.journal.reading import ActTold, AttemptTold, EventTold
from microworkflows.models import HistoryEntry, InboxEvent

logger = logging.getLogger(__name__)

_KINDS = {
    HistoryEntry.Kind.FAILED: Kind.FAILED,
    HistoryEntry.Kind.PARKED: Kind.PARKED,
    HistoryEntry.Kind.REPLAYED: Kind.REPLAYED,
    HistoryEntry.Kind.DISMISSED: Kind.DISMISSED,
}
_FAILING = {
    InboxEvent.Status.WAITING: HistoryEntry.Kind.FAILED,
    InboxEvent.Status.PARKED: HistoryEntry.Kind.PARKED,
}
_ACTS = (Kind.REPLAYED, Kind.DISMISSED)

Histories = Mapping[str, Sequence[HistoryEntry]]
"""Entries of messages that the journal does not know yet, in their order, by the message's key."""


def unknown_of(rows: Sequence[InboxEvent], *, alias: str) -> Histories:
    """Return what the histories of these messages tell beyond what the journal knows.

    A message that fails and has no history, because an earlier version of the kit kept it, gets one entry, made of its row.
    """
    told: dict[str, list[HistoryEntry]] = defaultdict(list)
    try:
        for entry in (
            HistoryEntry.objects.using(alias).filter(msg_id__in=[row.msg_id for row in rows]).order_by("id")
        ):
            told[entry.msg_id].append(entry)
    except Error as error:
        logger.warning(
            "the journal cannot read the histories of %s, so it lacks failed attempts: %s", alias, error
        )
    for row in rows:
        if row.msg_id not in told and row.status in _FAILING:
            told[row.msg_id].append(_made_of(row))
    known = _known([row for row in rows if row.msg_id in told])
    return {key: _without(entries, known.get(key, ())) for key, entries in told.items()}


def changes(row: InboxEvent, told: EventTold, entries: Sequence[HistoryEntry]) -> list[Change]:
    """Return the failed attempts among entries of a message's history, as if notices told them."""
    failures = [each for each in entries if each.is_failure]
    return [
        (
            _KINDS[HistoryEntry.Kind(each.kind)],
            times.aware(each.at),
            _attempt(row, told, each, is_last=each is failures[-1]),
            None,
        )
        for each in failures
    ]


def acts(row: InboxEvent, entries: Sequence[HistoryEntry]) -> list[ActTold]:
    """Return what people did, among entries of a message's history."""
    return [
        ActTold(
            kind=_KINDS[HistoryEntry.Kind(each.kind)],
            at=times.aware(each.at),
            event=row.event_id,
            consumer=row.label,
            by=each.by,
            why=each.why[:LONGEST_ERROR],
        )
        for each in entries
        if not each.is_failure
    ]


def _made_of(row: InboxEvent) -> HistoryEntry:
    # A waiting message says when it is due, and not when it failed.
    at = min(times.aware(row.expires_at), datetime.now(UTC))
    return HistoryEntry(
        msg_id=row.msg_id,
        kind=_FAILING[InboxEvent.Status(row.status)],
        at=at,
        attempt=max(row.attempts, 1),
        error=row.error or "",
        fingerprint=row.fingerprint or "",
    )


def _attempt(row: InboxEvent, told: EventTold, entry: HistoryEntry, *, is_last: bool) -> AttemptTold:
    at = times.aware(entry.at)
    is_due = is_last and row.status == InboxEvent.Status.WAITING
    return AttemptTold(
        event=told,
        consumer=row.label,
        number=entry.attempt,
        began=row.received_at if entry.duration is None else at - timedelta(seconds=entry.duration),
        seconds=entry.duration,
        mode=row.mode,
        emitted=[],
        error=entry.error[:LONGEST_ERROR],
        fingerprint=entry.fingerprint,
        due=row.due_at if is_due else None,
    )


def _known(rows: Sequence[InboxEvent]) -> dict[str, list[Attempt]]:
    """Return the attempts and acts of messages that the journal has, by the message's key."""
    keys: dict[tuple[UUID, str], str] = {(row.event_id, row.label): row.msg_id for row in rows}
    found: dict[str, list[Attempt]] = defaultdict(list)
    events = {event_id for event_id, _ in keys}
    for each in Attempt.objects.filter(delivery__event__in=events).select_related("delivery"):
        key = keys.get((each.delivery.event_id, each.delivery.consumer))
        if key is not None:
            found[key].append(each)
    return found


def _without(entries: Sequence[HistoryEntry], known: Sequence[Attempt]) -> list[HistoryEntry]:
    """Return the entries that are none of the known attempts and acts."""
    left = list(entries)
    for each in known:
        same = [entry for entry in left if _are_alike(entry, each)]
        if same:
            left.remove(min(same, key=lambda entry: abs(times.aware(entry.at) - times.aware(each.ended_at))))
    return left


def _are_alike(entry: HistoryEntry, attempt: Attempt) -> bool:
    kind = _KINDS[HistoryEntry.Kind(entry.kind)]
    return kind == attempt.ending and (kind in _ACTS or (entry.attempt or 1) == attempt.number)
