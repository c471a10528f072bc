"""Pause and resume: what people hold back waits in the inbox, and comes back by and by.

A process knows the holds as they were within the last second (:func:`look`), so that a message costs no statement for them. What is
held is put into the inbox without an attempt (:func:`.failures.put_aside`), and the relay passes over it until the hold is over. A new
event of a flow of which something has not come back yet gets in line behind it.
"""

import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from django.db import Error, IntegrityError, router, transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from microworkflows import logs, registry, times, topology, transactions
from microworkflows.cloudevents import context_of
from microworkflows.errors import MicroworkflowsError
from microworkflows.models import CorrelationOf, Hold, InboxEvent, InboxQuerySet, OutboxEvent

logger = logs.logger(__name__)

_FRESH_SECONDS = 1.0
_RAMP = timedelta(seconds=10)
_FIRST_BACK = 10
"""Number of messages that come back in a look of the relay when a hold is over; it doubles each second of the ramp."""


class AlreadyPausedError(MicroworkflowsError):
    """It is paused already."""


class NotPausedError(MicroworkflowsError):
    """It is not paused, so it cannot be resumed."""


class _Seen(NamedTuple):
    holds: tuple[Hold, ...] = ()
    coming_back: tuple[Hold, ...] = ()
    """Those of them that are over, and of which something may still wait."""
    until: float = 0.0


_seen = [_Seen()]
_all_back: set[UUID] = set()
"""Holds that are over, and of which nothing waited any more when the ramp had ended."""


def look(*, anew: bool = False) -> None:
    """Read the holds, unless they were read within the last second.

    Where the database does not answer, those read last count: whoever handles a message finds out, and knows what to do.
    """
    if time.monotonic() < _seen[0].until and not anew:
        return
    holds, coming_back = _seen[0].holds, _seen[0].coming_back
    now = datetime.now(UTC)
    try:
        over = times.stored(now - _RAMP)
        known = {hold.pk for hold in holds} - _all_back
        holds = tuple(Hold.objects.filter(Q(ended_at=None) | Q(ended_at__gt=over) | Q(pk__in=known)))
        coming_back = tuple(hold for hold in holds if _is_coming_back(hold, now))
    except Error as error:
        logger.warning("holds cannot be read, those read last count: %s", error)
    _seen[0] = _Seen(holds, coming_back, time.monotonic() + _FRESH_SECONDS)


def forget() -> None:
    """Forget what was read, for tests."""
    _seen[0] = _Seen()
    _all_back.clear()


def over(consumer: str, *, flow: str, is_new: bool) -> Hold | None:
    """Return the hold that keeps a consumer from an event of a flow, as read last; None if there is none.

    A new event is kept back, too, by a hold that is over, as long as something of its flow that came before it waits for its turn.
    """
    if not _seen[0].holds:
        return None
    keeps = (hold for hold in _in_force() if hold.holds(consumer, flow=flow))
    if not is_new:
        return next(keeps, None)
    behind = (
        hold
        for hold in _seen[0].coming_back
        if hold.holds(consumer, flow=flow)
        and _kept_back(hold).of_context(context_of(consumer)).filter(flow=flow).exists()
    )
    return next(chain(keeps, behind), None)


def half_open(consumer: str) -> Hold | None:
    """Return the hold of a microworkflow's breaker whose time is up, and which nobody has ended, as read last; None if there is none."""
    if not _seen[0].holds:
        return None
    now = datetime.now(UTC)
    return next(
        (
            hold
            for hold in _seen[0].holds
            if hold.is_breakers and hold.name == consumer and hold.ended_at is None and hold.over_at(now)
        ),
        None,
    )


def free(rows: InboxQuerySet) -> InboxQuerySet:
    """Return those of the rows that nothing holds, as read last.

    They come back once every process knows that their hold is over: one that does not would put them aside behind those that came later.
    """
    in_force = _in_force(known_for=timedelta(seconds=_FRESH_SECONDS))
    flows = [hold.name for hold in in_force if hold.kind == Hold.Kind.FLOW]
    if flows:
        rows = rows.alias(flow=CorrelationOf("body")).exclude(flow__in=flows)
    for hold in in_force:
        if hold.kind != Hold.Kind.FLOW:
            rows = rows.exclude(_kept_by(hold))
    return rows


def most_back(context: str, *, limit: int, now: datetime) -> int:
    """Return the number of messages that may come back to a context in a look of the relay: few just after a hold, then more."""
    now = times.aware(now)
    ends = [end for hold in _seen[0].holds if hold.touches(context) and (end := hold.over_at(now))]
    if not ends or (since := now - max(ends)) >= _RAMP:
        return limit
    back: int = _FIRST_BACK << int(since.total_seconds())
    return min(limit, back)


def in_force() -> list[Hold]:
    """Read and return the holds that are in force, the oldest first."""
    now = datetime.now(UTC)
    return [hold for hold in Hold.objects.filter(ended_at=None).order_by("id") if hold.over_at(now) is None]


def waiting(hold: Hold) -> int:
    """Return the number of messages in the inbox that wait, and that a hold keeps back."""
    return waiting_for([hold])[hold.pk]


def waiting_for(holds: Collection[Hold]) -> dict[UUID, int]:
    """Return the number of messages that wait for each of several holds, by its key, in one query."""
    rows = InboxEvent.objects.waiting()
    if any(hold.kind == Hold.Kind.FLOW for hold in holds):
        rows = rows.alias(flow=CorrelationOf("body"))
    counts = {f"of_{number}": Count("pk", filter=_kept_by(hold)) for number, hold in enumerate(holds)}
    found = rows.aggregate(**counts) if counts else {}
    return {hold.pk: found[f"of_{number}"] for number, hold in enumerate(holds)}


def kind_of(label: str) -> Hold.Kind:
    """Return whether a label is a context's or a microworkflow's."""
    return Hold.Kind.MICROWORKFLOW if "." in label else Hold.Kind.CONTEXT


def is_known(kind: Hold.Kind, name: str) -> bool:
    """Return True if the code declares it, or inbox or outbox have rows of it."""
    received = InboxEvent.objects.all()
    if kind == Hold.Kind.CONTEXT:
        return name in topology.queues() or received.of_context(name).exists()
    if kind == Hold.Kind.MICROWORKFLOW:
        return registry.workflow(name) is not None or received.of_workflow(name).exists()
    sent = OutboxEvent.objects.alias(flow=CorrelationOf("body")).filter(flow=name)
    return sent.exists() or received.of_flow(name, deliveries=[]).exists()


def pause(kind: Hold.Kind, name: str, *, by: str, why: str, ends_at: datetime | None = None) -> Hold:
    """Pause a context, a microworkflow or a flow; the processes at work follow within a second or two.

    Args:
        kind: What is paused.
        name: Label of the context or the microworkflow, or the flow's correlation id.
        by: Name of the person.
        why: The reason.
        ends_at: Time at which it resumes by itself; None: when somebody resumes it.

    Raises:
        AlreadyPausedError: somebody has paused it already. What a breaker paused, it replaces.
        ValueError: there is no reason, or the end has passed.
    """
    if not why.strip():
        raise ValueError("A pause needs a reason: others will wonder why nothing moves.")
    if ends_at is not None and times.aware(ends_at) <= datetime.now(UTC):
        raise ValueError(f"The end of the pause, {ends_at.isoformat()}, has passed.")
    try:
        made = _begin(kind, name, by=by, why=why, ends_at=ends_at)
    except IntegrityError as error:
        raise AlreadyPausedError(
            _("Somebody else has paused the %(pause)s at this very moment.")
            % {"pause": Hold(kind=kind, name=name)}
        ) from error
    logger.warning("paused %s by %s: %s", made.what, by, why)
    return made


def resume(kind: Hold.Kind, name: str, *, by: str) -> Hold:
    """Resume what is paused; what waited comes back by and by, in the order in which it came.

    Raises:
        NotPausedError: it is not paused.
    """
    now, using = datetime.now(UTC), router.db_for_write(Hold)
    with transactions.read_committed(using=using):
        hold = next((each for each in _open(kind, name) if each.over_at(now) is None), None)
        if hold is None:
            raise NotPausedError(
                f"The {Hold.Kind(kind).label} {name} is not paused. `manage.py paused` lists what is."
            )
        hold.ended_at, hold.ended_by = times.stored(now), by
        hold.save(update_fields=["ended_at", "ended_by"])
        transaction.on_commit(lambda: look(anew=True), using=using)
    logger.warning("resumed %s by %s", hold.what, by)
    return hold


def _begin(kind: Hold.Kind, name: str, *, by: str, why: str, ends_at: datetime | None) -> Hold:
    now, using = datetime.now(UTC), router.db_for_write(Hold)
    with transactions.read_committed(using=using):
        for hold in _open(kind, name):
            if (over_at := hold.over_at(now)) is None and hold.is_breakers:  # it may be shorter
                over_at, hold.ended_by = now, by
            if over_at is None:
                raise AlreadyPausedError(
                    _(
                        "The %(pause)s is paused already, since %(time)s by %(name)s: %(reason)s. "
                        "Resume it first, to give another reason or end."
                    )
                    % {
                        "pause": hold,
                        "time": times.shown(hold.began_at),
                        "name": hold.paused_by,
                        "reason": hold.why,
                    }
                )
            hold.ended_at = times.stored(over_at)
            hold.save(update_fields=["ended_at", "ended_by"])
        made = Hold.objects.create(
            kind=kind,
            name=name,
            by=by,
            why=why,
            began_at=times.stored(now),
            ends_at=None if ends_at is None else times.stored(ends_at),
        )
        transaction.on_commit(lambda: look(anew=True), using=using)
    return made


def _in_force(*, known_for: timedelta = timedelta()) -> list[Hold]:
    """Return the holds in force, as read last, and those that have been over for less than this."""
    then = datetime.now(UTC) - known_for
    return [hold for hold in _seen[0].holds if hold.over_at(then) is None]


def _is_coming_back(hold: Hold, now: datetime) -> bool:
    """Return True if a hold is over and something that it kept back may still wait."""
    if (since := hold.over_at(now)) is None:
        _all_back.discard(hold.pk)
        return False
    if hold.pk in _all_back:
        return False
    if now - since < _RAMP or _kept_back(hold).exists():
        return True
    _all_back.add(hold.pk)
    return False


def _kept_back(hold: Hold) -> InboxQuerySet:
    """Return the messages that wait, have not failed, and that a hold keeps or kept back."""
    rows: InboxQuerySet = InboxEvent.objects.waiting().alias(flow=CorrelationOf("body"))
    return rows.filter(_kept_by(hold), retry=0)


def _open(kind: Hold.Kind, name: str) -> Iterable[Hold]:
    return Hold.objects.select_for_update().filter(kind=kind, name=name, ended_at=None)


def _kept_by(hold: Hold) -> Q:
    """Return the condition for rows of the inbox that a hold keeps back; that for a flow needs the alias ``flow``."""
    if hold.kind == Hold.Kind.CONTEXT:
        return Q(msg_id__startswith=f"{hold.name}.") | Q(msg_id__startswith=f"{hold.name}:")
    if hold.kind == Hold.Kind.MICROWORKFLOW:
        return Q(msg_id__startswith=f"{hold.name}:")
    return Q(flow=hold.name)
