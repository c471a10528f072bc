"""Accounts of flows as lines and as plain data: a guest's where one knows the flow, else of what this database knows."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from microworkflows import holds, journeys, overviews, texts, times
from microworkflows.journeys import human_duration
from microworkflows.overviews import Account, Line, Span


def account(term: str) -> Account | None:
    """Return the account of the newest flow that a name, key or id means; None if it is unknown here."""
    beyond = overviews.overview.account(term)
    found = _here(term) if beyond is None else _with_timers(beyond)
    return None if found is None else _with_pauses(found)


def _with_pauses(account: Account) -> Account:
    """Return an account that says what is paused of the flow, or of what it waits for in this database."""
    in_force = holds.in_force()
    if not in_force:
        return account
    correlation_id = str(account.plain["correlation_id"])
    found = journeys.pauses(correlation_id, journeys.journey(correlation_id), in_force)
    said = (
        f"‖ The {hold.what} is paused since {times.shown(hold.began_at)} by {hold.by}: {hold.why}"
        for hold in found
    )
    pauses = [
        {
            "kind": hold.get_kind_display(),
            "name": hold.name,
            "began_at": times.aware(hold.began_at).isoformat(),
            "ends_at": hold.ends_at and times.aware(hold.ends_at).isoformat(),
            "by": hold.by,
            "why": hold.why,
        }
        for hold in found
    ]
    return replace(
        account,
        hints=[*account.hints, *map(texts.line, said)],
        plain={**account.plain, **({"pauses": pauses} if pauses else {})},
    )


def _with_timers(account: Account) -> Account:
    """Return an account of a guest's with the timers, of which only this database knows."""
    timers = journeys.timers(str(account.plain["correlation_id"]))
    if not timers:
        return account
    due = [(step, times.local(step.relay.due_at)) for step in timers if step.relay.due_at]
    return replace(
        account,
        hints=[*account.hints, *(f"  {step.name} is due at {at:%H:%M:%S}." for step, at in due)],
        plain={
            **account.plain,
            "timers": [{"id": str(step.id), "type": step.type, "due_at": at.isoformat()} for step, at in due],
        },
    )


def without(plain: Any, hidden: Collection[str]) -> Any:
    """Return an account's plain data with null in place of what somebody may not see, by its names: an error may quote what an event holds."""
    if isinstance(plain, dict):
        return {
            key: None if key in hidden and value else without(value, hidden) for key, value in plain.items()
        }
    return [without(each, hidden) for each in plain] if isinstance(plain, list) else plain


def _here(term: str) -> Account | None:
    """Return the account of the newest flow that a term means in this database."""
    for correlation_id in (*journeys.flows_about(term)[:1], term):
        journey = journeys.journey(correlation_id)
        if journey.steps:
            return account_of(journey)
    return None


def account_of(journey: journeys.Journey) -> Account:
    """Return the account of a journey of this database, whose attempts have no times of their own."""
    lines: list[Line] = []
    for step in journey.steps:
        due = f", due at {times.local(step.relay.due_at):%H:%M:%S}" if step.relay.due_at else ""
        status = "" if step.relay.status in ("relayed", "foreign") else f" ({step.relay.status}{due})"
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
                "due_at": step.relay.due_at and step.relay.due_at.isoformat(),
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
