"""Erasing in the tables: events of the outbox, messages of the inbox, and the errors in their history."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import models, router, transaction

from microworkflows import flows as guests
from microworkflows import masking, sensitive, times, transactions, unreceived
from microworkflows.cloudevents import ERASED, context_of, has_data
from microworkflows.erasing.work import Work
from microworkflows.models import CorrelationOf, Header, HistoryEntry, InboxEvent, OutboxEvent

_BATCH = 200
_AGAIN = "erase again in a moment"
_OPEN = {
    OutboxEvent.Status.PENDING: ("on its way to the broker", _AGAIN),
    OutboxEvent.Status.SCHEDULED: (
        "a timer that is not due yet",
        "erase again once it was sent, or erase with --although, which cancels it",
    ),
    OutboxEvent.Status.UNHEARD: ("nobody heard it", "manage.py unheard --relay, or erase with --although"),
    OutboxEvent.Status.REJECTED: (
        "the broker refused it",
        "relay it again in the admin, or erase with --although",
    ),
}
_FAILING = {
    InboxEvent.Status.WAITING: (
        "it waits for another attempt",
        "wait for it or manage.py dismiss, or erase with --although",
    ),
    InboxEvent.Status.PARKED: (
        "it is parked",
        "manage.py replay or manage.py dismiss, or erase with --although",
    ),
}


def erase_outbox(work: Work) -> None:
    """Erase from the events that were relayed and received; with ``although``, also from those that cannot be relayed, and from timers, which are cancelled."""
    found = OutboxEvent.objects.annotate(flow=CorrelationOf("body")).filter(work.about)
    rows = dict(found.values_list("pk", "flow"))
    work.found += len(rows)
    work.events |= set(rows)
    work.correlation_ids |= set(filter(None, rows.values()))
    flows = sorted(set(rows.values()))
    awaited: dict[UUID, list[str]] = {}
    for each in unreceived.of_flows(flows) if flows else ():
        awaited.setdefault(each.event_id, []).append(each.listener)
    for row in _locked(work, OutboxEvent.objects.filter(pk__in=list(rows)), "events"):
        data = masking.erased(row.type, row.body["data"], at=times.aware(work.at))
        if data == row.body["data"]:
            work.already += Header.ERASED_AT in row.headers
        elif row.status == OutboxEvent.Status.PENDING or (row.status in _OPEN and not work.although):
            work.keep("events", *_OPEN[OutboxEvent.Status(row.status)])
        elif listeners := awaited.get(row.pk):
            work.keep(
                "events", f"not received yet by {', '.join(sorted(listeners))}", "wait, then erase again"
            )
        else:
            _mark(row, data, work)
            if row.status == OutboxEvent.Status.SCHEDULED:
                row.status = OutboxEvent.Status.CANCELLED
            row.save(update_fields=["status", "body", "headers"])
            work.erased["events"] += 1


def erase_inbox(work: Work) -> None:
    """Erase from messages that are done, with their errors; with ``although``, dismiss the others and erase from them, too."""
    found = InboxEvent.objects.annotate(flow=CorrelationOf("body")).filter(work.about)
    keys = dict(found.values_list("pk", "flow"))
    work.found += len(keys)
    work.correlation_ids |= set(filter(None, keys.values()))
    for row in _locked(work, InboxEvent.objects.filter(pk__in=list(keys)), "messages"):
        work.events.add(row.event_id)
        work.contexts.add(context_of(row.type))
        data = masking.erased(row.type, row.body["data"], at=times.aware(work.at))
        is_personal = has_data(row.body) and data != row.body["data"]
        is_failing = row.status in _FAILING
        if is_personal and is_failing and not work.although:
            work.keep("messages", *_FAILING[InboxEvent.Status(row.status)])
            continue
        errors = _erase_errors(row, work)
        if is_personal:
            _mark(row, data, work)
            work.erased["messages"] += 1
            if is_failing:
                row.status, row.expires_at = InboxEvent.Status.DISMISSED, work.at
                _tell_dismissed(row, work)
        if is_personal or errors:
            row.save(update_fields=["body", "headers", "status", "expires_at"])
            HistoryEntry.objects.create(
                msg_id=row.msg_id,
                kind=HistoryEntry.Kind.ERASED,
                at=work.at,
                fingerprint=row.fingerprint or "",
                by=work.by,
                why=work.why,
            )
        else:
            work.already += Header.ERASED_AT in (row.headers or {})


def _locked(work: Work, rows: "models.QuerySet[Any]", what: str) -> Iterator[Any]:
    """Yield rows, a few in each transaction; those that somebody holds are kept."""
    using = router.db_for_write(rows.model)
    ids: Sequence[UUID] = list(rows.order_by("pk").values_list("pk", flat=True))
    for first in range(0, len(ids), _BATCH):
        batch = ids[first : first + _BATCH]
        with transactions.waiting_for_nobody(using=using):
            free = rows.using(using).filter(pk__in=batch).order_by("pk")
            held = list(free.select_for_update(skip_locked=True, no_key=True))
            for _ in range(len(batch) - len(held)):
                work.keep(what, "somebody has it in hand", _AGAIN)
            yield from held


def _mark(row: Any, data: Any, work: Work) -> None:
    at = times.aware(work.at).isoformat()
    row.body = {**row.body, "data": data, ERASED: at}
    row.headers = {**(row.headers or {}), Header.ERASED_AT: at}


def _tell_dismissed(row: InboxEvent, work: Work) -> None:
    label, _, event_id = row.msg_id.partition(":")
    act, messages = str(HistoryEntry.Kind.DISMISSED.label), [(label, UUID(event_id))]
    transaction.on_commit(
        lambda: guests.acted(act, messages, by=work.by, why=work.why),
        using=router.db_for_write(InboxEvent),
        robust=True,
    )


def _erase_errors(row: InboxEvent, work: Work) -> int:
    """Leave of the errors of a message their types alone; return the number of changes in row and history."""
    changes = 0
    if row.error and (text := sensitive.erased_error(row.error, at=times.aware(work.at))) != row.error:
        row.headers = {**row.headers, Header.ERROR: text, Header.TRACEBACK: None}
        changes += 1
    for entry in row.history.exclude(error="", traceback=""):
        text = sensitive.erased_error(entry.error, at=times.aware(work.at))
        if (text, "") != (entry.error, entry.traceback):
            entry.error, entry.traceback = text, ""
            entry.save(update_fields=["error", "traceback"])
            work.erased["errors in the history"] += 1
            changes += 1
    return changes
