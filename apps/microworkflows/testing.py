"""Tools for tests of microworkflows: a whole flow runs in the test's process, without broker and workers.

In a ``TestCase`` or ``TransactionTestCase`` of Django's::

    def test_accepted_order_is_paid(self):
        flow = Flow()
        flow.record(OrderAccepted(order_id=order_id, total=Decimal("12.00"), ...))

        flow.run()

        self.assertEqual(flow.emitted(PaymentReceived), [PaymentReceived(order_id=order_id, ...)])

With pytest, take the fixture ``flow``, which the kit's plugin brings along.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import router, transaction
from django.test import TestCase

from microworkflows import (
    circuits,
    holds,
    inbox,
    outbox,
    registry,
    sensitive,
    subjects,
    topology,
    traceparent,
)
from microworkflows.cloudevents import CloudEvent, Metadata, context_of, versions_of
from microworkflows.events import DomainEvent, Event
from microworkflows.ids import uuid7
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.subjects import About
from microworkflows.timers import Later

__all__ = ["Flow", "delivered"]

AnyEvent = TypeVar("AnyEvent", bound=Event)

_MOST_EVENTS = 10_000


def delivered(event: AnyEvent, *, about: About | None = None, correlation_id: str | None = None) -> AnyEvent:
    """Return the event as delivered, with an envelope, for a direct call of a microworkflow."""
    event_id, subject = uuid7(), None if about is None else subjects.of(about)
    meta = Metadata(
        id=event_id,
        source=f"/{context_of(event.event_type)}",
        type=event.event_type,
        time=datetime.now(UTC),
        correlation_id=correlation_id or str(subject or event_id),
        causation_id=None,
        traceparent=traceparent.new(),
        subject=subject,
    )
    return type(event).from_cloud_event(CloudEvent(meta=meta, data=sensitive.payload(event)))


class Flow:
    """Runs flows in-process, through the real outbox and inbox, as worker and relay would.

    On request it delivers as a real broker may: late (:meth:`hold`), out of order and more than once (:meth:`run`). What a
    microworkflow left to ``transaction.on_commit`` is done after it, in a ``TestCase`` too, where nothing commits.
    """

    def __init__(self) -> None:
        holds.forget()
        circuits.forget()
        self._held: set[str] = set()

    def record(
        self, event: DomainEvent | Later, *, about: About | None = None, correlation_id: object = None
    ) -> Metadata:
        """Record an event in a transaction of its own. No microworkflow runs yet."""
        with transaction.atomic():
            return outbox.record(event, about=about, correlation_id=correlation_id)

    def hold(self, *events: type[Event]) -> None:
        """Hold back events of these classes' types until :meth:`release`, so that they come late."""
        self._held |= {event.event_type for event in events}

    def release(self) -> None:
        """Let the held events through; the next :meth:`run` delivers them."""
        self._held.clear()

    def run(
        self,
        *,
        contexts: Sequence[str] | None = None,
        times: int = 1,
        shuffle: random.Random | None = None,
        keep_failures: bool = False,
    ) -> None:
        """Deliver all recorded events, and those emitted in turn, until none is left.

        Args:
            contexts: Only these queues receive (``monolith`` for the monolith's own worker); by default all do.
            times: Number of deliveries of each event to each context.
            shuffle: Source of a random order of delivery, in place of the order of recording.
            keep_failures: True to leave failed messages in the inbox, as in production, instead of failing the test.

        Raises:
            AssertionError: a microworkflow failed, or the flow does not end.
        """
        delivered = 0
        while rows := list(OutboxEvent.objects.pending().exclude(destination__in=self._held)):
            if shuffle is not None:
                shuffle.shuffle(rows)
            for row in rows:
                self._deliver(row, contexts=contexts, times=times)
                heard = any(_queues_of(each, contexts) for each in versions_of(row.body))
                row.status = OutboxEvent.Status.RELAYED if heard else OutboxEvent.Status.UNHEARD
                row.save(update_fields=["status"])
            delivered += len(rows)
            if delivered > _MOST_EVENTS:
                raise AssertionError(
                    f"The flow does not end: {delivered} events, the last is {rows[-1].type}."
                )
            if not keep_failures:
                self._raise_failures()

    def wait(self, time: timedelta) -> None:
        """Let the timers that are due by then fire, or be cancelled, as if this time had passed; the next :meth:`run` delivers them."""
        for context in {row.context for row in OutboxEvent.objects.scheduled()}:
            while any(store.fire_timers(context, ahead=time)):
                pass

    def retry(self) -> None:
        """Try every waiting message in the inbox again now; failures stay there, as in production."""
        for row in InboxEvent.objects.waiting():
            queue = topology.queue_for(row.context, CloudEvent.from_dict(row.body).meta.mark)
            _receive(row.body, queue=queue, attempt=row.attempts, label=row.workflow)

    def deliver(
        self, event: Metadata | OutboxEvent, *, times: int = 1, contexts: Sequence[str] | None = None
    ) -> None:
        """Deliver a recorded event, even if it was delivered before; failures stay in the inbox."""
        row = event if isinstance(event, OutboxEvent) else OutboxEvent.objects.get(pk=event.own_id)
        self._deliver(row, contexts=contexts, times=times)

    def emitted(self, event: type[AnyEvent]) -> list[AnyEvent]:
        """Return the recorded events of a class, in order of recording."""
        rows = OutboxEvent.objects.filter(destination=event.event_type).order_by("pk")
        return [event.from_cloud_event(CloudEvent.from_dict(row.body)) for row in rows]

    def types(self) -> list[str]:
        """Return the types of everything recorded, in order."""
        return list(OutboxEvent.objects.order_by("pk").values_list("destination", flat=True))

    @property
    def waiting(self) -> list[InboxEvent]:
        """Messages that failed and wait for another attempt."""
        return list(InboxEvent.objects.waiting())

    @property
    def parked(self) -> list[InboxEvent]:
        """Messages that failed for good."""
        return list(InboxEvent.objects.parked())

    @property
    def unheard(self) -> list[OutboxEvent]:
        """Events that no microworkflow listened to."""
        return list(OutboxEvent.objects.unheard())

    def _deliver(self, row: OutboxEvent, *, contexts: Sequence[str] | None, times: int) -> None:
        queues = _queues_of(row.type, contexts)
        for _ in range(times):
            for queue in queues:
                _receive(row.body, queue=queue)

    def _raise_failures(self) -> None:
        failed: list[Any] = [*self.waiting, *self.parked]
        if failed:
            raise AssertionError(
                "\n".join(f"{row.label} failed on {row.type}: {row.error}\n{row.traceback}" for row in failed)
            )


def _queues_of(event_type: str, contexts: Sequence[str] | None) -> list[str]:
    """Return the queues, of all or of these, that events of a type come by."""
    return [
        queue
        for queue in topology.queues()
        if (contexts is None or queue in contexts)
        and registry.listeners(event_type, contexts=topology.contexts_served_by(queue))
    ]


def _receive(body: object, *, queue: str, **redelivery: Any) -> None:
    with TestCase.captureOnCommitCallbacks(using=router.db_for_write(InboxEvent), execute=True):
        inbox.receive(body, queue=queue, **redelivery)
