"""Failures: the inbox keeps a message that failed, with its error, for a retry, or parks it."""

import functools
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DataError, Error, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from pydantic import ValidationError

from microworkflows import (
    celery_app,
    circuits,
    database_errors,
    fingerprints,
    flows,
    handling,
    holds,
    isolation,
    limiting,
    logs,
    masking,
    retrying,
    signals,
    texts,
    times,
    transactions,
)
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError, RetryAfter, UnkeepableError, UnknownMicroworkflowError
from microworkflows.handling import Headers, NotBegunError
from microworkflows.ids import uuid7
from microworkflows.models import Header, HistoryEntry, Hold, InboxEvent, message_id
from microworkflows.workflows import Microworkflow

logger = logs.logger(__name__)

EndsProcess = Callable[[BaseException], bool]
"""Tells of an exception whether it ends the process, rather than the handler that it was raised in."""

_RUNS_AT_ONCE = 5
"""Number of runs without a pause of a handler that gives way each time."""
_MOST_LOSSES = 2
"""Number of sessions that a handler may lose; of the next one, the handler is the reason."""
_TRIES_TO_KEEP = 3
_ORDINARY_BYTES = 4096
"""Size of the data of an ordinary message; on a full disk, a small one may still find a place in a page."""
_LONGEST_ERROR = 20_000
_LONGEST_UNKNOWN = timedelta(seconds=8)
"""Longest wait of a message whose microworkflow a worker does not know: while versions mix, each attempt may meet another."""

_losses: Counter[str] = Counter()
"""Number of sessions lost by each message in hand: while it is, the database may have to be waited for."""


def _is_no_exception(error: BaseException) -> bool:
    return not isinstance(error, Exception)


_ends_process: ContextVar[EndsProcess] = ContextVar("microworkflows_ends_process", default=_is_no_exception)


@contextmanager
def process_ended_by(ends_process: EndsProcess) -> Iterator[None]:
    """Take whatever is raised inside the block for a handler's failure, unless this function says that it ends the process."""
    token = _ends_process.set(ends_process)
    try:
        yield
    finally:
        _ends_process.reset(token)


def raise_if_process_ends(error: BaseException) -> None:
    """Raise an exception that is no handler's failure. By default, that is any but an ``Exception``."""
    if _ends_process.get()(error):
        if isinstance(error, Exception):  # a cleanup that failed on the way out
            raise SystemExit from error
        raise error


def contained(function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that raises a RuntimeError in place of what is no ``Exception``, unless that ends the process."""

    @functools.wraps(function)
    def call() -> None:
        try:
            function()
        except Exception:
            raise
        except BaseException as error:
            raise_if_process_ends(error)
            raise RuntimeError(f"{type(error).__name__} was raised after the commit: {error}") from error

    return call


def handle_or_keep(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    attempt: int | None = None,
    last_delivery: bool = False,
) -> None:
    """Handle an event in its own transaction, as :func:`.handling.handle` does; see :func:`run_or_keep`."""
    if (
        workflow.limits is not None
        and not handling.fails_unrun(last_delivery=last_delivery)
        and holds.over(workflow.label, flow=event.meta.correlation_id, is_new=attempt is None) is None
        and (turn := limiting.turn(workflow, event.meta.id, attempt=attempt)) is not None
    ):
        put_aside(workflow.label, event, _its_turn(turn), attempt=attempt, until=turn)
        return
    handle = functools.partial(handling.handle, workflow, event, attempt=attempt, last_delivery=last_delivery)
    with isolation.session_ends_if_changed(_connection()):
        run_or_keep(handle, consumer=workflow.label, event=event, attempt=attempt)


def _its_turn(turn: datetime) -> str:
    return f"more runs would begin than its limits allow; its turn is at {times.local(turn):%H:%M:%S}"


def run_or_keep(
    handle: Callable[[], object],
    *,
    consumer: str,
    event: CloudEvent,
    attempt: int | None = None,
    headers: Headers | None = None,
) -> None:
    """Call a function that handles an event in a transaction of its own; after an error, keep the message with it.

    What is paused is put aside in its place, and so is what finds no place among the runs that may go on at once.

    If the transaction gave way to another, its session was lost, or the inbox did not take the row and does now, it is done
    again at once: no attempt is lost.

    Raises:
        Error: as :func:`keep` does, or the session cannot be opened, or memory or disk suffice for nobody; deliver the
            message again.
        UnkeepableError: as :func:`keep` does.
    """
    if (hold := holds.over(consumer, flow=event.meta.correlation_id, is_new=attempt is None)) is not None:
        put_aside(consumer, event, _paused(hold), attempt=attempt, headers=headers)
        return
    connection = _connection()
    key, runs = message_id(consumer, event.meta.id), 0
    while True:
        connection.ensure_connection()
        session, runs = connection.connection, runs + 1
        began = time.monotonic()
        try:
            handle()
            break
        except limiting.NoPlaceError as error:
            put_aside(
                consumer, event, str(error), attempt=attempt, headers=headers, wait=limiting.wait_for_place
            )
            break
        except BaseException as error:
            raise_if_process_ends(error)
            if not _may_run_again(error, key=key, session=session, runs=runs):
                if _may_be_the_databases(error) and not _takes_writes(connection):
                    raise
                if not isinstance(error, NotBegunError) or runs >= _TRIES_TO_KEEP:
                    seconds = time.monotonic() - began
                    keep(consumer, event, error, attempt=attempt, headers=headers, duration=seconds)
                    break
            logger.info(
                "retry %s by %s at once, no attempt is lost: %s",
                *(event, consumer, _brief(error, event)),
                extra=logs.fields(event.meta, consumer=consumer),
            )
        time.sleep(random.uniform(0, 0.01 * 2**runs))  # noqa: S311  (no secret)
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
    _losses.pop(key, None)


def put_aside(
    consumer: str,
    event: CloudEvent,
    why: str,
    *,
    attempt: int | None = None,
    headers: Headers | None = None,
    until: datetime | None = None,
    wait: Callable[[InboxEvent], timedelta] | None = None,
) -> None:
    """Put a message that is not to be handled now into the inbox, to be redelivered later. That is no attempt.

    Args:
        consumer: Label of the microworkflow.
        event: The event.
        why: The reason, for the log.
        attempt: For a redelivery, the number of attempts that had failed when it was sent.
        headers: Headers kept with the inbox row.
        until: The message's turn, at which it comes back.
        wait: Returns the time after which a row is redelivered. Without it and without a turn it is due at once, as far as no hold keeps it.

    Raises:
        Error: as :func:`keep` does.
        UnkeepableError: as :func:`keep` does.
    """
    try:
        with transactions.read_committed(using=_connection().alias):
            row, is_new = handling.insert_or_lock(
                consumer, event, status=InboxEvent.Status.WAITING, headers=headers or {}
            )
            if not is_new and not row.awaits(attempt):
                logger.info(
                    "skipped %s: %s is a duplicate",
                    *(event, consumer),
                    extra=logs.fields(event.meta, consumer=consumer),
                )
                return
            if is_new and attempt is not None:  # it left the inbox when it was brought back
                row.retry = attempt
            row.expires_at = times.now() if until is None else times.stored(until)
            if wait is not None:
                row.expires_at += wait(row)
            if until is not None:
                row.headers = {**(row.headers or {}), Header.TURN: until.isoformat()}
            row.save(update_fields=["retry", "expires_at", "headers"])
    except Error as error:
        keep(consumer, event, error, attempt=attempt, headers=headers)
        return
    _tell_put_aside(event, consumer, why, **logs.fields(event.meta, consumer=consumer))


def _paused(hold: Hold) -> str:
    if hold.over_at(datetime.now(UTC)) is None:
        return f"the {hold.what} is paused by {hold.by}: {hold.why}"
    return f"others of its flow waited while the {hold.what} was paused, and come first"


def _tell_put_aside(event: CloudEvent, consumer: str, why: str, **fields: Any) -> None:
    logger.info("put aside %s for %s: %s", *(event, consumer, why), extra=fields)


def _may_run_again(error: BaseException, *, key: str, session: Any, runs: int) -> bool:
    """Return True if the transaction gave way, or its session was lost, and neither too often for an accident."""
    if database_errors.gives_way(error):
        return runs < _RUNS_AT_ONCE
    connection = _connection()
    if connection.in_atomic_block or not database_errors.is_lost(error, connection, session=session):
        return False
    _losses[key] += 1
    return _losses[key] <= _MOST_LOSSES


def _may_be_the_databases(error: BaseException) -> bool:
    """Return True for an error that any message may meet while the database is in trouble."""
    return isinstance(error, NotBegunError) or database_errors.is_short_of_resources(error)


def keep(
    consumer: str,
    event: CloudEvent,
    error: BaseException,
    *,
    attempt: int | None = None,
    headers: Headers | None = None,
    duration: float | None = None,
) -> None:
    """Keep the message with its error for the next attempt, or park it. The failure of a duplicate changes nothing.

    Args:
        consumer: Label of the microworkflow, or of the context where none of its microworkflows listens.
        event: The event that the consumer failed to handle.
        error: The exception raised; a :class:`~microworkflows.errors.PermanentError`, or a statement that the kit
            refuses for good, parks the message at once.
        attempt: For a redelivery, the number of attempts that had failed when it was sent.
        headers: Headers kept with the inbox row.
        duration: Duration of the attempt in seconds; None if nothing has run.

    Raises:
        Error: the database is out of reach, only reads, or is not migrated yet; nothing was kept, and none of that is
            the message's fault: do not ack it.
        UnkeepableError: the inbox refuses this message, and keeps others.
    """
    circuits.note_failure(consumer, error)
    connection = _connection()
    for number in range(1, _TRIES_TO_KEEP + 1):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
            connection.ensure_connection()
        session = connection.connection
        try:
            _keep(consumer, event, error, attempt=attempt, headers=headers or {}, duration=duration)
            break
        except Error as refusal:
            if database_errors.is_away(refusal, connection, session=session) or not _takes_writes(connection):
                raise
            if number < _TRIES_TO_KEEP and not isinstance(refusal, DataError):
                time.sleep(0.1 * number)
                continue
            if database_errors.is_kept_waiting(refusal):
                raise
            raise UnkeepableError(
                f"The inbox cannot keep {event.meta.type} {event.meta.id}, which failed in {consumer} "
                f"({_brief(error, event)}), and keeps other messages: {_brief(refusal, event)}. Look at this message in "
                "the dead letters; it can be requeued once the reason is gone."
            ) from refusal


def _keep(
    consumer: str,
    event: CloudEvent,
    error: BaseException,
    *,
    attempt: int | None,
    headers: Headers,
    duration: float | None,
) -> None:
    scrubbed = masking.scrub(event)
    said = scrubbed(str(error))
    traced = scrubbed("".join(traceback.format_exception(error)))
    shown = masking.error(error, scrubbed)
    now = times.now()
    with transactions.read_committed(using=_connection().alias):
        row, is_new = handling.insert_or_lock(
            consumer, event, status=InboxEvent.Status.WAITING, headers=headers
        )
        if row.status == InboxEvent.Status.HANDLED:
            logger.error(
                "handled %s by %s, but a callback after its commit failed",
                *(event, consumer),
                exc_info=shown,
                extra=logs.fields(event.meta, consumer=consumer, traceback=traced),
            )
            return
        if not is_new and not row.awaits(attempt):
            logger.warning(
                "skipped the failure of %s in %s, which is a duplicate: %s: %s",
                *(event, consumer, type(error).__name__, texts.line(said)),
                extra=logs.fields(event.meta, consumer=consumer, traceback=traced),
            )
            return
        if is_new and attempt is not None:  # it left the inbox when it was brought back, to be received anew
            row.retry = attempt
        gave_way = _times_given_way(row, error)
        permanent = isinstance(error, PermanentError | ValidationError) or database_errors.is_permanent(error)
        spared = None if gave_way or permanent else circuits.spare(row, error, why=_brief(error, event))
        if not gave_way and spared is None:
            row.retry += 1
        parked = permanent or (spared is None and row.retry >= retrying.max_attempts(consumer))
        row.status = InboxEvent.Status.PARKED if parked else InboxEvent.Status.WAITING
        row.expires_at = (
            now
            if parked
            else now + _delay(error, consumer=consumer, attempts=gave_way or row.retry, spared=spared)
        )
        row.headers = {
            **(row.headers or {}),
            **({Header.GAVE_WAY: gave_way} if gave_way else {}),
            **({Header.SERIES: spared.series} if spared else {}),
            Header.ERROR: storable(f"{type(error).__name__}: {said}"),
            Header.TRACEBACK: storable(traced),
            Header.FINGERPRINT: fingerprints.of_error(error, consumer=consumer),
        }
        row.save(update_fields=["retry", "status", "expires_at", "headers"])
        note(row, attempt=row.retry + bool(gave_way or spared), duration=duration, worker=celery_app.worker())
    fields = logs.fields(event.meta, consumer=consumer, attempt=row.retry, traceback=traced)
    if parked:
        logger.error(
            "parked %s in %s after attempt %d: %s: %s",
            *(event, consumer, row.retry, type(error).__name__, texts.line(said)),
            exc_info=shown,
            extra=fields,
        )
    elif spared is not None and spared.hold is not None:
        _tell_put_aside(event, consumer, _paused(spared.hold), **fields)
    else:
        logger.warning(
            "retry %s by %s after attempt %d, due %s: %s: %s",
            *(event, consumer, row.retry, row.due_at.isoformat(), type(error).__name__, texts.line(said)),
            exc_info=shown,
            extra=fields,
        )
    (signals.parked if parked else signals.failed).send_robust(InboxEvent, message=row, exception=error)
    if flows.has_guests():
        ended = flows.Attempt(
            event=event,
            consumer=consumer,
            number=row.retry + bool(gave_way or spared),
            duration=duration,
            mode=row.mode,
        )
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        due_at = None if parked else row.due_at
        failure = flows.Failure(
            row.error or "", row.traceback or "", parked, due_at, kind, fingerprint=row.fingerprint or ""
        )
        flows.failed(ended, failure)


def note(row: InboxEvent, *, attempt: int | None = None, duration: float | None = None, worker: str) -> None:
    """Add the failure that a row now holds to the history of its message, in the transaction that is open.

    Args:
        row: The row, waiting or parked.
        attempt: Number of the attempt; None if none was made.
        duration: Duration of the attempt in seconds; None if nobody knows.
        worker: Name of the worker, or of the relay.
    """
    parked = row.status == InboxEvent.Status.PARKED
    HistoryEntry.objects.create(
        msg_id=row.msg_id,
        kind=HistoryEntry.Kind.PARKED if parked else HistoryEntry.Kind.FAILED,
        at=times.now(),
        fingerprint=row.fingerprint or "",
        attempt=attempt,
        duration=duration,
        error=row.error or "",
        traceback=row.traceback or "",
        worker=worker,
    )


def _times_given_way(row: InboxEvent, error: BaseException) -> int:
    """Return how often the message gave way, this time included; 0 if this is a failed attempt.

    Whoever gives way as often as others may fail is not a victim of its neighbours: from then on it costs attempts.
    """
    if not database_errors.gives_way(error):
        return 0
    times = int((row.headers or {}).get(Header.GAVE_WAY, 0)) + 1
    return times if times < retrying.max_attempts(row.label) else 0


def _takes_writes(connection: BaseDatabaseWrapper) -> bool:
    """Return True if the inbox keeps an ordinary message, and the history its failure; both are taken back."""
    body = {"data": random.randbytes(_ORDINARY_BYTES).hex()}  # noqa: S311  (no secret)
    try:
        with transaction.atomic(using=connection.alias):
            other = InboxEvent(msg_id=f"microworkflows:{uuid7()}", body=body, headers={})
            other.save(using=connection.alias, force_insert=True)
            note(other, worker="")
            transaction.set_rollback(True, using=connection.alias)
    except Error:
        return False
    return True


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(InboxEvent)]


def _brief(error: BaseException, event: CloudEvent) -> str:
    """Return an error on one line, without the event's sensitive values and the database's details."""
    said = masking.scrub(event)(str(error)).partition("\n")[0]
    return f"{type(error).__name__}: {texts.line(said)}"


def _delay(
    error: BaseException, *, consumer: str, attempts: int, spared: circuits.Spared | None
) -> timedelta:
    """Return the wait until the next attempt; it is short where another worker may know what this one does not.

    What is held comes when the hold is over, or when its error asks for.
    """
    if spared is not None:
        if spared.series is not None:
            attempts = spared.series.number
        elif not isinstance(error, RetryAfter):
            return timedelta()
    delay = retrying.delay(attempts, consumer=consumer, error=error)
    return min(delay, _LONGEST_UNKNOWN) if isinstance(error, UnknownMicroworkflowError) else delay


def storable(text: str) -> str:
    """Return a text fit for storing: without NUL, which PostgreSQL's jsonb rejects; of a long one, its beginning and its end."""
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    half = _LONGEST_ERROR // 2
    return clean if len(clean) <= _LONGEST_ERROR else f"{clean[:half]}\n…\n{clean[-half:]}"
