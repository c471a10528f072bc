"""The steps of the pause: the fence closes, the last changes follow, and the target takes over; and tidying up after it."""

import time
from contextlib import suppress
from datetime import datetime

from django.db import DatabaseError, transaction

from microworkflows import times
from microworkflows.cutover.models import ContextMode, ContextMove
from microworkflows.cutover.splitting import (
    capture,
    chunks,
    constraints,
    databases,
    fence,
    preflight,
    rounds,
    sequences,
    tables,
)
from microworkflows.cutover.splitting.databases import address, execute
from microworkflows.cutover.splitting.fence import Sign
from microworkflows.cutover.splitting.patience import BusyError, let_writers_end
from microworkflows.cutover.splitting.steps import MoveStep
from microworkflows.cutover.splitting.underway import Underway
from microworkflows.models import OutboxEvent

PAUSED = frozenset({MoveStep.PAUSE, MoveStep.DRAIN, MoveStep.SWITCH})
"""The steps in which the context works nowhere."""

_LOOK_SECONDS = 0.05
_HINT_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 1.0
"""Longest wait for others' transactions while the context pauses; if they take longer, it works on meanwhile."""
_SHORT_ROUND_SECONDS = 0.3
"""A round that takes no longer leaves so few changes that the last one fits into the pause."""


def pause(move: Underway) -> None:
    """From here on its events wait, at the broker and in its worker."""
    sign = Sign(
        text=f"{move.context} is being moved to {address(move.target)}; until it is there, nobody can write its "
        "rows.",
        hint="Wait and try again, as the kit's workers do. To give the move up, run split_database with --abort.",
    )
    move.refuse_other_columns()
    refused = preflight.of_steps_by_monolith(move.source, move.target, move.context)
    preflight.refuse(move.context, refused)
    names = [table.name for table in move.own(move.source)]
    ends_at = time.monotonic() + move.patience
    while True:
        if not fence.is_closed(move.source, move.context):
            _until_short(move)
            move.note(MoveStep.PAUSE, paused_at=times.now())
        fence.write_on(move.source, move.context, sign)
        try:
            let_writers_end(move.source, names, seconds=_LONGEST_WAIT_SECONDS)
        except BusyError as busy:
            fence.open_gate(move.source, move.context)
            if time.monotonic() > ends_at:
                raise
            move.say(f"{busy} {move.context} works on meanwhile.")
            time.sleep(_LONGEST_WAIT_SECONDS)
        else:
            return


def drain(move: Underway) -> None:
    """The events that it announced go to the broker."""
    await_relay(move)


def switch(move: Underway) -> None:
    """The last changes follow, and the source gives it up, in one transaction."""
    move.refuse_other_columns()
    move.round()
    own = move.own(move.source)
    without_key = [table for table in own if not table.key]
    counts = rounds.replace(move.source, move.target, move.context, without_key)
    sequences.go_on(move.source, move.target, own)
    constraints.bring_back_at_once(move.target, move.state().aside, patience=move.patience)
    sign = Sign(
        text=f"{move.context} was moved to {address(move.target)}; its rows here are old.",
        hint=f"Start this process with {databases.setting()} of that database.",
    )
    with transaction.atomic(using=move.source.alias):
        for statement in tables.unfinished(move.context):
            execute(move.source, statement)
        fence.write_on(move.source, move.context, sign)
        move.note(MoveStep.OPEN, counts={**move.state().counts, **counts})


def open_target(move: Underway) -> None:
    """The target's fence opens: it can write there."""
    with transaction.atomic(using=move.target.alias):
        if not preflight.was_left(move.target, move.context):
            modes = list(ContextMode.objects.using(move.source.alias).all())
            ContextMode.objects.using(move.target.alias).bulk_create(modes, ignore_conflicts=True)
        ContextMove.objects.using(move.target.alias).filter(pk=move.context).delete()
        fence.open_gate(move.target, move.context)
    paused_at = move.state().paused_at
    if paused_at is not None and move.state().paused_seconds is None:
        move.note(MoveStep.OPEN, paused_seconds=(times.now() - paused_at).total_seconds())


def tidy(move: Underway) -> None:
    """Triggers and old events leave the source, and foreign keys are checked; it works already."""
    own = move.own(move.source)
    capture.take_down(move.source, move.context, own, patience=move.patience)
    for table in own:
        if table.of_events:
            chunks.delete(move.source, move.context, table)
    constraints.validate(move.target, move.state().aside)
    fence.take_down(move.target, move.context, move.own(move.target), patience=move.patience)


def work_on(move: Underway) -> None:
    """After a pause that failed, the context works on in the source, and catches up again later."""
    with suppress(DatabaseError), transaction.atomic(using=move.source.alias):
        if move.state().step in PAUSED:  # and did not switch
            fence.open_gate(move.source, move.context)
            move.note(MoveStep.CATCH_UP)


def await_relay(move: Underway, *, before: datetime | None = None) -> None:
    """Wait until its events are with the broker: those recorded before a time, or all."""
    pending = OutboxEvent.objects.using(move.source.alias).pending(context=move.context)
    if before is not None:
        pending = pending.filter(added__lt=before)
    hint_at = time.monotonic() + _HINT_SECONDS
    while number := pending.count():
        if time.monotonic() > hint_at:
            move.say(
                f"{number} events of {move.context} are still to be relayed. Does its worker, or "
                f"`manage.py relay {move.context}`, run on this database?"
            )
            hint_at = time.monotonic() + _HINT_SECONDS
        time.sleep(_LOOK_SECONDS)


def _until_short(move: Underway) -> None:
    """Copy what changes until that takes so little time that the rest fits into a pause."""
    hint_at = time.monotonic() + _HINT_SECONDS
    while True:
        began_at = time.monotonic()
        done = move.round()
        if time.monotonic() - began_at < _SHORT_ROUND_SECONDS:
            return
        if time.monotonic() > hint_at:
            move.say(
                f"{sum(done.changed.values())} rows had changed once more; {move.context} is written to about as fast as they "
                "are copied. Wait for a quieter time, or give the move up with --abort."
            )
            hint_at = time.monotonic() + _HINT_SECONDS
