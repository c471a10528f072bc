"""Events before the switch, recorded beside the direct calls that still do everything.

Nothing depends on them yet, so none may refuse an order: one that does not fit its declaration is missed, by name, and the
business goes on.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, router, transaction
from pydantic import ValidationError

from microworkflows import causes, logs, recording, subjects, times
from microworkflows.cloudevents import Metadata
from microworkflows.cutover import comparing
from microworkflows.cutover.stamps import DONE
from microworkflows.errors import InvalidSubjectError, MicroworkflowsError, TransactionRequiredError
from microworkflows.events import DomainEvent
from microworkflows.models import OutboxEvent
from microworkflows.subjects import About

logger = logs.logger(__name__)


class RecordedInStepError(MicroworkflowsError):
    """An event was recorded as done while a step was running."""


def record_done(
    event: DomainEvent | Callable[[], DomainEvent],
    *,
    about: About | None = None,
    correlation_id: object = None,
) -> Metadata | None:
    """Record an event whose consequences the surrounding code brings about itself, by direct calls.

    The event is relayed like any other, but bears the mark that nothing is left to do: no microworkflow will ever act
    on it, even if it is delivered late, to newer code. Arguments and result are those of
    :func:`microworkflows.outbox.record`.

    Pass a function that makes the event, such as ``lambda: order_accepted(order)``: whatever is wrong with the event is then
    found here. It is logged, kept as a :class:`~microworkflows.cutover.models.MissedEvent`, which the page *Cut-over* counts, and
    None is returned; what the function or the recording did in the database is rolled back, and nothing else.

    Raises:
        RecordedInStepError: a step now calls the surrounding code, so the event's consequences would happen twice.
        TransactionRequiredError: no transaction is open.
    """
    if (cause := causes.cause()) is not None:
        raise RecordedInStepError(
            f"{_name(event)} is recorded as done by code that {cause.workflow} calls. Delete this call, and let the "
            "legacy step return the event instead."
        )
    savepoint = partial(transaction.atomic, using=router.db_for_write(OutboxEvent))
    try:
        with savepoint() if recording.is_possible() else nullcontext():
            made = event if isinstance(event, DomainEvent) else event()
            recorded = recording.record(
                [made], about=about, correlation_id=correlation_id, marking=lambda _: DONE
            )
            return recorded[0].meta
    except (TransactionRequiredError, SoftTimeLimitExceeded):
        raise
    except Exception as error:
        _miss(event, error, flow=_flow(about, correlation_id))
        return None


def _miss(event: DomainEvent | Callable[[], DomainEvent], error: Exception, *, flow: str) -> None:
    # Imported here: the app with this table is installed only while a monolith is being cut over.
    from microworkflows.cutover.models import MissedEvent

    name = error.title if isinstance(error, ValidationError) else _name(event)
    said = comparing.error_text(error)
    logger.error(
        "missed %s: it could not be recorded beside the direct calls, which go on: %s",
        *(name, said),
        extra={"correlation_id": flow},
    )
    try:
        with transaction.atomic(using=router.db_for_write(MissedEvent)):
            MissedEvent.objects.create(
                event=name[:200], error=said, correlation_id=flow, missed_at=times.now()
            )
    except DatabaseError as unkept:
        logger.error("missed %s, and could not keep that either: %s", name, comparing.error_text(unkept))


def _name(event: DomainEvent | Callable[[], DomainEvent]) -> str:
    """Return the type of an event, or the name of the function that makes it."""
    if isinstance(event, DomainEvent):
        return event.event_type
    plain = event.func if isinstance(event, partial) else event
    return f"{getattr(plain, '__module__', '')}.{getattr(plain, '__qualname__', repr(plain))}".replace(
        ".<locals>", ""
    )


def _flow(about: About | None, correlation_id: object) -> str:
    """Return the flow to which an event would have belonged, as far as that is known."""
    if correlation_id is not None or about is None:
        return "" if correlation_id is None else str(correlation_id)
    try:
        return str(subjects.of(about))
    except InvalidSubjectError:
        return ""
