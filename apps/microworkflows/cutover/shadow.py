"""Shadow: the new microworkflow runs beside the legacy step, is rolled back, and every difference is kept.

It runs first, in a savepoint, on the rows that the legacy step is about to find. Only the comparison remains of it: the
savepoint is rolled back, its events are collected instead of recorded, and effects outside the database are refused.
Its failures do not touch the legacy step.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, connections, router, transaction

from microworkflows import causes, failures, handling, logs, times
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover import comparing
from microworkflows.cutover.comparing import Difference, Observation, Seen
from microworkflows.cutover.legacy_steps import LegacyStep
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent
from microworkflows.timers import event_of
from microworkflows.workflows import Emitted

logger = logs.logger(__name__)

_OUTSIDE = frozenset(
    {"socket.connect", "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork"}
)
"""Python's audit events of effects outside the process."""

_HARMLESS = ("SELECT", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET", "SHOW")
"""First words of the statements that a shadow run may send to another database."""


class ShadowRefusedError(PermanentError):
    """A shadow run was about to do something that cannot be rolled back."""


class _Rehearsal(list[Any]):
    """The events of a shadow run, and the effects that it was refused."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []


def refuse_in_shadow(what: str) -> None:
    """Refuse a side effect outside the database if a shadow run is about to cause it; each port calls this.

    Args:
        what: The effect, for those who read the comparison, such as ``payment gateway: charge 12.00 EUR``.

    Raises:
        ShadowRefusedError: a shadow run asked for it.
    """
    rehearsal = _rehearsal()
    if rehearsal is not None:
        rehearsal.refused.append(what)
        raise ShadowRefusedError(
            f"A shadow run is rolled back, so it may not cause an effect that cannot be: refused {what}. To compare "
            "beyond this point, let the port answer without effect while microworkflows.cutover.in_shadow() is true."
        )


def in_shadow() -> bool:
    """Return True while a shadow run is under way, so that a port can answer without an effect."""
    return _rehearsal() is not None


def compared(
    legacy: LegacyStep, event: CloudEvent, *, disagreed: Callable[[], object] = lambda: None
) -> Callable[[Any], Emitted]:
    """Return the legacy function with a shadow run of the microworkflow before it and a comparison after it.

    ``disagreed`` is called if the two did not agree, or could not be compared.
    """

    def run(reading: Any) -> Emitted:
        before = _observed(legacy, event)
        shadow = _rehearse(legacy, event, before)
        with comparing.written_tables() as tables:
            started = time.perf_counter_ns()
            result = legacy.function(reading)
            microseconds = _since(started)
        emitted = [event_of(each) for each in legacy.workflow.emitted(result)]
        outcome = "failed"
        try:
            seen = _look(legacy, event, before, emitted, tables)
            outcome, differences = _judged(legacy, seen, shadow)
            _keep(legacy, event, outcome, differences, legacy=microseconds, shadow=shadow.microseconds)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            logger.exception(
                "%s on %s could not be compared",
                *(legacy.workflow.label, event),
                extra=logs.fields(event.meta, consumer=legacy.workflow.label),
            )
            with contextlib.suppress(DatabaseError):
                failed = [{"what": "comparing", "legacy": None, "shadow": comparing.error_text(error)}]
                _keep(legacy, event, "failed", failed, legacy=microseconds, shadow=shadow.microseconds)
        if outcome != "agreed":
            disagreed()
        return result

    return run


@dataclass(frozen=True)
class _Shadow:
    """The result of a shadow run."""

    seen: Seen | Exception
    refused: list[str]
    microseconds: int


def _rehearse(legacy: LegacyStep, event: CloudEvent, before: Observation | Exception) -> _Shadow:
    """Run the microworkflow on its own reading of the event, and roll it back."""
    _guard_against_side_effects()
    alias = router.db_for_write(InboxEvent)
    rehearsal = _Rehearsal()
    started = time.perf_counter_ns()
    seen: Seen | Exception
    try:
        with transaction.atomic(using=alias), comparing.written_tables() as tables, _other_databases(alias):
            with causes.caused_by(handling.cause(legacy.workflow, event, rehearsal=rehearsal)):
                reading = legacy.workflow.on.from_cloud_event(event)
                rehearsal.extend(map(event_of, legacy.workflow.handle(reading)))
            connection = transaction.get_connection(alias)
            if connection.vendor == "postgresql":
                connection.check_constraints()  # else they are deferred to a commit that never comes
            seen = _look(legacy, event, before, rehearsal, tables)
            transaction.set_rollback(True, using=alias)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        seen = error
    return _Shadow(seen, rehearsal.refused, _since(started))


@contextlib.contextmanager
def _other_databases(alias: str) -> Iterator[None]:
    """Refuse writes to databases other than that of the savepoint."""

    def read_only(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if not str(sql).lstrip().upper().startswith(_HARMLESS):
            refuse_in_shadow(f"database {context['connection'].alias}: {str(sql)[:200]}")
        return execute(sql, params, many, context)

    with contextlib.ExitStack() as wrapped:
        for connection in connections.all():
            if connection.alias != alias:
                wrapped.enter_context(connection.execute_wrapper(read_only))
        yield


def _keep(
    step: LegacyStep,
    event: CloudEvent,
    outcome: str,
    differences: list[Difference],
    *,
    legacy: int,
    shadow: int,
) -> None:
    # Imported here: the app with this table is installed only while a monolith is being cut over.
    from microworkflows.cutover.models import ShadowComparison

    with transaction.atomic(using=router.db_for_write(ShadowComparison)):
        ShadowComparison.objects.create(
            workflow=step.workflow.label,
            event_id=event.meta.id,
            event_type=event.meta.type,
            correlation_id=event.meta.correlation_id,
            outcome=outcome,
            differences=differences,
            legacy_microseconds=legacy,
            shadow_microseconds=shadow,
            compared_at=times.now(),
        )
    logger.info(
        "compared %s on %s: %s",
        *(step.workflow.label, event, outcome),
        extra=logs.fields(event.meta, consumer=step.workflow.label, outcome=outcome),
    )


def _observed(legacy: LegacyStep, event: CloudEvent) -> Observation | Exception:
    """Return the observed rows, or the error of observing them, which must not fail the legacy step."""
    try:
        with transaction.atomic(using=router.db_for_write(InboxEvent)):
            return comparing.observe(legacy, legacy.workflow.on.from_cloud_event(event))
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        return error


def _look(
    legacy: LegacyStep,
    event: CloudEvent,
    before: Observation | Exception,
    emitted: list[Any],
    tables: set[str],
) -> Seen | Exception:
    after = _observed(legacy, event)
    if isinstance(before, Exception):
        return before
    return after if isinstance(after, Exception) else comparing.seen(before, after, emitted, tables)


def _judged(legacy: LegacyStep, seen: Seen | Exception, shadow: _Shadow) -> tuple[str, list[Difference]]:
    """Return the outcome, one of ``ShadowComparison.Outcome``, and the differences."""
    if shadow.refused:
        return "refused", [
            {"what": "side effect", "legacy": None, "shadow": failures.storable(text)}
            for text in shadow.refused
        ]
    if isinstance(seen, Exception) or isinstance(shadow.seen, Exception):
        return "failed", [{"what": "error", "legacy": _error(seen), "shadow": _error(shadow.seen)}]
    differences = comparing.differences(seen, shadow.seen, noise=legacy.noise, new_tables=legacy.new_tables)
    return ("differs" if differences else "agreed"), differences


def _error(seen: Seen | Exception) -> str | None:
    return comparing.error_text(seen) if isinstance(seen, Exception) else None


def _since(started: int) -> int:
    return (time.perf_counter_ns() - started) // 1000


def _rehearsal() -> _Rehearsal | None:
    cause = causes.cause()
    rehearsal = cause.rehearsal if cause else None
    assert rehearsal is None or isinstance(rehearsal, _Rehearsal)
    return rehearsal


@cache
def _guard_against_side_effects() -> None:
    """Refuse connections and processes in shadow runs, even if a port forgets to ask; set once for each process."""

    def guard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _OUTSIDE and in_shadow():
            refuse_in_shadow(f"{event}: {arguments[1:] if event == 'socket.connect' else arguments}"[:500])

    sys.addaudithook(guard)
