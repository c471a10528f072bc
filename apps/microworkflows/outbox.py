"""The outbox: an event is recorded in the transaction of the state change it announces; the relay does the rest."""

from collections.abc import Sequence
from datetime import datetime

from microworkflows import flows, recording
from microworkflows.cloudevents import Metadata
from microworkflows.events import DomainEvent, Event
from microworkflows.subjects import About
from microworkflows.timers import Later, event_of


def record(
    event: DomainEvent | Later,
    *,
    about: About | None = None,
    correlation_id: object = None,
    at: datetime | None = None,
    unless: Sequence[type[Event]] = (),
) -> Metadata:
    """Record an event, so that it is published if and only if the current transaction commits.

    Call it where a flow begins, such as when an order is accepted. A microworkflow returns its events instead.

    Args:
        event: The fact to announce. One that names a version before is recorded in that, too.
        about: The object that the flow that begins is about: a model instance, or a
            :class:`~microworkflows.subjects.Subject` for what is none. Each event of the flow carries its kind, key and name, by
            which people find it.
        correlation_id: Identifies the flow that begins; by default kind and key of what it is about, such as
            ``orders.order:42``, else the event's own id. Numbers, UUIDs and the like are taken as text. A bare key is the
            same for two kinds of objects, which then share a flow.
        at: Time at which it is sent, aware; by default, at once. :class:`~microworkflows.timers.Later` is the same.
        unless: Events that cancel it until then, see :class:`~microworkflows.timers.Later`.

    Returns:
        The envelope that the event travels in.

    Raises:
        TransactionRequiredError: no transaction is open. The one that a TestCase opens around a test does not count.
        UndeclaredEventError: it has no type, or a microworkflow is running that does not declare it, or that takes many
            events.
        UnrecordableEventError: it is too large or too deep, a field holds what no database can store, the correlation id
            is no key, a flow cannot be about this, or ``at`` or ``unless`` cannot be (see :class:`~microworkflows.timers.Later`).
        TypeError: ``unless`` is given without ``at``.
        Exception: a guest's immediate work (the cut-over's inline steps) failed; the transaction can then only be
            rolled back.
    """
    if unless and at is None:
        raise TypeError(
            "unless= cancels an event that is sent later. Give at= as well, or record a Later(..., unless=[...])."
        )
    if at is not None:
        event = Later(event_of(event), at, unless=unless)
    return record_all([event], about=about, correlation_id=correlation_id)[0]


def record_all(
    events: Sequence[DomainEvent | Later], *, about: About | None = None, correlation_id: object = None
) -> list[Metadata]:
    """Record several events in one statement, in this order; see :func:`record`."""
    recorded = recording.record(events, about=about, correlation_id=correlation_id)
    flows.recorded(recorded)
    return [event.meta for event in recorded if event.meta.is_newest]
