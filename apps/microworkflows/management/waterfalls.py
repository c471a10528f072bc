"""A waterfall in a terminal: each line of a journey with its time as characters from left to right."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from microworkflows import journeys, texts
from microworkflows.journeys import human_duration
from microworkflows.overviews import Account, Line, Span

_NARROWEST = 20


def rendered(account: Account, *, width: int, now: datetime) -> Iterator[str]:
    """Yield the lines of an account that fit a terminal of this width.

    Args:
        account: The journey.
        width: Columns of the terminal.
        now: End of what goes on still.
    """
    yield texts.line(f"{account.title}: {account.summary}")
    spans = [span for each in account.lines for span in each.spans]
    left = max((len(each.text) for each in account.lines), default=0)
    right = max((len(each.note) for each in account.lines), default=0)
    room = max(width - left - right - 4, _NARROWEST)
    began_at = min((span.began_at for span in spans), default=now)
    ended_at = max((span.ended_at or now for span in spans), default=now)
    length = max(ended_at - began_at, timedelta(milliseconds=1))
    for each in account.lines:
        drawn = _drawn(each.spans, began_at, length, now, room)
        yield texts.line(f"{each.text:<{left}}  {drawn}  {each.note}".rstrip())
    if spans:
        yield f"{'':<{left}}  {'└' + '─' * (room - 2) + '┘'}  {human_duration(length)}"
    yield from (texts.line(hint) for hint in account.hints)


def _drawn(spans: Sequence[Span], began_at: datetime, length: timedelta, now: datetime, room: int) -> str:
    row = [" "] * room
    for span in spans:
        first = min(math.floor(room * ((span.began_at - began_at) / length)), room - 1)
        last = max(math.ceil(room * (((span.ended_at or now) - began_at) / length)), first + 1)
        row[first:last] = [span.sign] * (min(last, room) - first)
    return "".join(row)


def account_of(journey: journeys.Journey) -> Account:
    """Return the account of a journey of this database, whose attempts have no times of their own."""
    lines: list[Line] = []
    for step in journey.steps:
        status = "" if step.relay.status in ("relayed", "foreign") else f" ({step.relay.status})"
        lines.append(
            Line(text=f"{step.name}{status}", note=f"+{human_duration(step.recorded_at - _began(journey))}")
        )
        lines += [_line(step, delivery) for delivery in step.deliveries]
    state = "needs attention" if journey.failed else "unknown" if journey.unknown else "on its way"
    state = "settled in this database" if journey.settled and not journey.failed else state
    hints = [
        f"! No worker of {absence.context} is known to live: celery -A … worker -Q {absence.context}"
        for absence in journeys.absences(journey)
    ]
    return Account(
        title=journey.subject.title if journey.subject else journey.correlation_id,
        summary=f"{state}, {len(journey.steps)} events",
        lines=lines,
        hints=hints,
        plain=_plain(journey, state),
    )


def _began(journey: journeys.Journey) -> datetime:
    assert journey.began_at is not None  # it has steps
    return journey.began_at


def _line(step: journeys.Step, delivery: journeys.Delivery) -> Line:
    spans: list[Span] = []
    if delivery.received_at is None:
        if delivery.open:
            spans.append(Span(began_at=step.recorded_at, ended_at=None, sign="·"))
    else:
        spans.append(Span(began_at=step.recorded_at, ended_at=delivery.received_at, sign="·"))
        spans.append(
            Span(
                began_at=delivery.received_at,
                ended_at=delivery.handled_at,
                sign="█" if delivery.handled_at else "-",
            )
        )
    note = f"{delivery.status}{f' [{delivery.mode}]' if delivery.mode else ''}"
    if delivery.error:
        note += f": {delivery.error.strip().partition(chr(10))[0][:80]}"
    return Line(text=f"  {delivery.label}", note=note, spans=tuple(spans))


def _plain(journey: journeys.Journey, state: str) -> dict[str, object]:
    return {
        "correlation_id": journey.correlation_id,
        "state": state,
        "events": [
            {
                "id": str(step.id),
                "type": step.type,
                "emitted_by": step.emitted_by,
                "causation_id": step.causation_id,
                "recorded_at": step.recorded_at.isoformat(),
                "status": str(step.relay.status),
                "deliveries": [
                    {
                        "consumer": each.label,
                        "status": str(each.status),
                        "mode": each.mode,
                        "received_at": each.received_at and each.received_at.isoformat(),
                        "handled_at": each.handled_at and each.handled_at.isoformat(),
                        "attempts": each.attempts,
                        "error": each.error,
                    }
                    for each in step.deliveries
                ],
            }
            for step in journey.steps
        ],
    }
