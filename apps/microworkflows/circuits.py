"""Circuits: a microworkflow with a breaker is paused after failures in a row, and goes on once something succeeds.

The breaker's last hold tells how it stands. In force: *open*. Its time is up and nobody has ended it: *half-open*, so what waits comes
back, a success ends the hold, and a failure begins the next one. Ended: *closed*. So a killed process forgets nothing but its count.

Failures in a row are counted by each process, and by each message: its series is kept with it, whichever process tries it next.
"""

import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import Error, IntegrityError, router, transaction

from microworkflows import holds, logs, registry, times
from microworkflows.breaking import Breaker
from microworkflows.cloudevents import context_of
from microworkflows.models import Header, Hold, InboxEvent
from microworkflows.workflows import Microworkflow

logger = logs.logger(__name__)


class Series(NamedTuple):
    """Failures in a row."""

    number: int
    since: float
    """Time of the first one, in seconds since 1970."""


class Spared(NamedTuple):
    """What becomes of a message whose failure costs no attempt."""

    hold: Hold | None
    """The pause that it waits for; None if it is tried again by itself."""
    series: Series | None
    """Its failures in a row, to be kept with it; None while it is held."""


_failed: dict[str, Series] = {}
"""Failures in a row of this process, by the label of the microworkflow."""
_succeeded: dict[str, float] = {}
"""Time of this process's last success, by the label of the microworkflow."""


def forget() -> None:
    """Forget what this process has counted, for tests."""
    _failed.clear()
    _succeeded.clear()


def note_success(workflow: Microworkflow[Any]) -> None:
    """Note that a microworkflow has handled an event, and close its circuit if that is half-open. Else it costs no statement."""
    if workflow.breaker is None:
        return
    _failed.pop(workflow.label, None)
    _succeeded[workflow.label] = time.time()
    if (hold := holds.half_open(workflow.label)) is not None:
        _close(hold)


def note_failure(consumer: str, error: BaseException) -> None:
    """Count a failure, once, if it is one for the breaker of this microworkflow."""
    breaker = _breaker(consumer)
    if breaker is not None and breaker.counts(error):
        _failed[consumer] = _next(_failed.get(consumer), after=0.0)


def spare(row: InboxEvent, error: BaseException, *, why: str) -> Spared | None:
    """Return what becomes of a message whose failure is no fault of its own, in the transaction that keeps it.

    This opens the circuit if it is time for that. A pause that somebody else began stays as it is.

    Args:
        row: The message, which this transaction has locked.
        error: Its error, which :func:`note_failure` has counted.
        why: The error in a line, for those who look at the pause.

    Returns:
        None if the failure costs an attempt as any other does: it is none for the breaker, or this message has failed as often as opens a
        circuit, while the microworkflow handled others here.
    """
    consumer = row.label
    breaker = _breaker(consumer)
    if breaker is None or not breaker.counts(error):
        return None
    now = datetime.now(UTC)
    hold = Hold.objects.select_for_update().filter(**_key(consumer), ended_at=None).first()
    if hold is not None and hold.over_at(now) is None:
        return _held(consumer, hold)
    if hold is not None and hold.is_breakers:
        return _held(consumer, _open(consumer, breaker, after=hold, why=why))
    last = _last(consumer)
    over_at = None if last is None else last.over_at(now)
    if last is not None and over_at is None:  # another process has just begun it
        return _held(consumer, last)
    at = over_at.timestamp() if over_at else 0.0
    own = _next(_kept(row), after=at)
    here = _failed.get(consumer, own)
    if here.since < at:
        here = _failed[consumer] = _next(None, after=at)
    is_alone = own.number >= breaker.after and _succeeded.get(consumer, 0.0) < own.since
    if here.number >= breaker.after or is_alone:
        return _held(consumer, _open(consumer, breaker, after=hold, why=why))
    return Spared(None, own) if own.number < breaker.after else None


def _breaker(consumer: str) -> Breaker | None:
    workflow = registry.workflow(consumer)
    return workflow.breaker if workflow else None


def _key(consumer: str) -> dict[str, Any]:
    return {"kind": Hold.Kind.MICROWORKFLOW, "name": consumer}


def _last(consumer: str) -> Hold | None:
    return Hold.objects.filter(**_key(consumer)).order_by("began_at", "id").last()


def _kept(row: InboxEvent) -> Series | None:
    kept = (row.headers or {}).get(Header.SERIES)
    return Series(int(kept[0]), float(kept[1])) if kept else None


def _next(series: Series | None, *, after: float) -> Series:
    """Return a series with one failure more; one that began before this time is over."""
    if series is None or series.since < after:
        return Series(1, time.time())
    return series._replace(number=series.number + 1)


def _held(consumer: str, hold: Hold) -> Spared:
    """Spare a message until the hold is over; this process did not know of the hold when it called the microworkflow."""
    _failed.pop(consumer, None)
    transaction.on_commit(lambda: holds.look(anew=True), using=router.db_for_write(Hold))
    return Spared(hold, None)


def _open(consumer: str, breaker: Breaker, *, after: Hold | None, why: str) -> Hold:
    """Pause a microworkflow, after a hold that is over or none; return the hold, which may be another process's."""
    now, last = datetime.now(UTC), None
    if after is not None and after.ends_at is not None:
        if after.is_breakers:
            last = after.ends_at - after.began_at
        after.ended_at = after.ends_at
        after.save(update_fields=["ended_at"])
    ends_at = now + breaker.pause_after(last)
    using = router.db_for_write(Hold)
    made = Hold(
        **_key(consumer), by=Hold.BREAKER, why=why, began_at=times.stored(now), ends_at=times.stored(ends_at)
    )
    try:
        with transaction.atomic(using=using):
            made.save(force_insert=True)
    except IntegrityError:  # another process was quicker
        return _last(consumer) or made
    transaction.on_commit(lambda: _tell_opened(made), using=using)
    return made


def _fields(hold: Hold) -> dict[str, str]:
    return {"context": context_of(hold.name), "microworkflow": hold.name}


def _tell_opened(hold: Hold) -> None:
    until = "" if hold.ends_at is None else times.aware(hold.ends_at).isoformat(timespec="seconds")
    logger.warning(
        "opened the circuit of %s until %s: %s", *(hold.name, until, hold.why), extra=_fields(hold)
    )


def _close(hold: Hold) -> None:
    using = router.db_for_write(Hold)
    try:
        with transaction.atomic(using=using):
            closed = Hold.objects.filter(pk=hold.pk, ended_at=None).update(
                ended_at=times.now(), ended_by=Hold.BREAKER
            )
    except Error as error:  # the next success closes it
        logger.warning("cannot close the circuit of %s yet: %s", *(hold.name, error), extra=_fields(hold))
        return
    transaction.on_commit(lambda: holds.look(anew=True), using=using)
    if closed:
        logger.warning("closed the circuit of %s: it was handled again", hold.name, extra=_fields(hold))
