"""A journey for a terminal, and as plain data; ``manage.py journey`` prints it."""

from datetime import datetime
from typing import Any, Final

from microworkflows.journal.bars import Bar, Part
from microworkflows.journal.journeys import Delivery, Event, Journey
from microworkflows.journeys import human_duration
from microworkflows.overviews import Account, Line, Span

SIGNS: Final = {
    Part.OUTBOX: "·",
    Part.QUEUE: "·",
    Part.WORKING: "█",
    Part.FAILED: "x",
    Part.RETRY: "-",
    Part.PARKED: "p",
}


def account(journey: Journey) -> Account:
    """Return a journey as lines with spans of time, and as plain data."""
    lines = []
    for event in journey.events:
        status = "" if event.status in ("relayed", "untold") else f" ({event.status})"
        after = human_duration(event.recorded_at - journey.began_at)
        lines.append(Line(text=f"{event.name}{status}", note=f"+{after}"))
        lines += [_line(delivery) for delivery in event.deliveries]
    ended = f", {journey.outcome}" if journey.outcome else ""
    took = human_duration(journey.ended_at - journey.began_at)
    hints = [
        f"{'!' if each.is_urgent else ' '} {each.what}: {each.full_reason} {each.command}".rstrip()
        for each in journey.expected
    ]
    if journey.missing:
        hints.append(f"? Some notices of {', '.join(journey.missing)} are missing.")
    for host, shift in sorted(journey.shifts.items()):
        way = "ahead" if shift.total_seconds() < 0 else "behind"
        hints.append(f"  The clock of {host} is {human_duration(abs(shift))} {way}.")
    return Account(
        title=journey.title,
        summary=f"{journey.state}{ended}, {len(journey.events)} events in {took}",
        lines=lines,
        hints=hints,
        plain=plain(journey),
    )


def plain(journey: Journey) -> dict[str, Any]:
    """Return a journey as values that JSON has: times in ISO 8601, durations in seconds."""
    return {
        "correlation_id": journey.correlation_id,
        "about": {"kind": journey.kind, "key": journey.key, "title": journey.title},
        "state": journey.state,
        "since": _time(journey.since),
        "outcome": journey.outcome,
        "began_at": _time(journey.began_at),
        "ended_at": _time(journey.ended_at),
        "events": [_event(event) for event in journey.events],
        "expected": [
            {
                "what": each.what,
                "context": each.context,
                "since": _time(each.since),
                "cause": str(each.cause),
                "reason": each.reason,
                "error": each.error,
                "command": each.command,
                "urgent": each.is_urgent,
            }
            for each in journey.expected
        ],
        "clock_shifts": {host: shift.total_seconds() for host, shift in journey.shifts.items()},
        "missing_notices_of": list(journey.missing),
    }


def _line(delivery: Delivery) -> Line:
    note = delivery.status
    if delivery.attempts > 1:
        note += f", attempt {delivery.attempts}"
    if delivery.mode:
        note += f" [{delivery.mode}]"
    if delivery.acts:
        note += f", {delivery.acts[-1].what} by {delivery.acts[-1].by or 'somebody'}"
    return Line(text=f"  {delivery.consumer}", note=note, spans=tuple(_span(bar) for bar in delivery.bars))


def _span(bar: Bar) -> Span:
    return Span(began_at=bar.began_at, ended_at=bar.ended_at, sign=SIGNS[bar.part])


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "type": event.type,
        "emitted_by": event.emitted_by,
        "causation_id": event.causation_id,
        "recorded_at": _time(event.recorded_at),
        "status": event.status,
        "deliveries": [
            {
                "consumer": each.consumer,
                "status": each.status,
                "mode": each.mode,
                "received_at": _time(each.received_at),
                "handled_at": _time(each.handled_at),
                "attempts": each.attempts,
                "error": each.error,
                "due_at": _time(each.due_at),
                "worker": each.worker,
            }
            for each in event.deliveries
        ],
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
