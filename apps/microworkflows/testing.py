"""For tests of microworkflows: pytest fixtures that run a whole flow in-process, without broker and workers.

Import the fixture in a ``conftest.py``::

    from microworkflows.testing import flow  # noqa: F401

and use it in tests that have a database::

    def test_accepted_order_is_paid(flow):
        flow.record(OrderAccepted(order_id=order_id, total=Decimal("12.00"), ...))

        flow.run()

        assert flow.emitted(PaymentReceived) == [PaymentReceived(order_id=order_id, ...)]
"""

import random
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from django.db import transaction
from django.utils import timezone

from microworkflows import inbox, outbox, registry, topology, tracing
from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.events import DomainEvent, Event
from microworkflows.ids import uuid7
from microworkflows.models import InboxEvent, OutboxEvent

__all__ = ["Flow", "delivered", "flow"]

AnyEvent = TypeVar("AnyEvent", bound=Event)

_MOST_EVENTS = 10_000


@pytest.fixture
def flow(db: None) -> "Flow":
    """A :class:`Flow` on the test's database."""
    return Flow()


def delivered(event: AnyEvent, *, correlation_id: str | None = None) -> AnyEvent:
    """Return the event as if it had been delivered: with an envelope, for calling a microworkflow directly."""
    event_id = uuid7()
    meta = Metadata(
        id=event_id,
        source=f"/{event.event_type.partition('.')[0]}",
        type=event.event_type,
        time=timezone.now(),
        correlation_id=correlation_id or str(event_id),
        causation_id=None,
        traceparent=tracing.new_traceparent(),
    )
    return type(event).from_cloud_event(CloudEvent(meta=meta, data=event.model_dump(mode="json")))


class Flow:
    """Runs flows in-process, through the real outbox and inbox, as worker and relay would.

    What real delivery may do to an event, it does when told to: late (:meth:`hold`), out of order and more than
    once (:meth:`run`).
    """

    def __init__(self) -> None:
        self._held: set[str] = set()

    def record(self, event: DomainEvent, *, correlation_id: str | None = None) -> Metadata:
        """Record an event in a transaction of its own; nothing runs yet."""
        with transaction.atomic():
            return outbox.record(event, correlation_id=correlation_id)

    def hold(self, *events: type[Event]) -> None:
        """Keep events of these classes (or of their types) back until :meth:`release`: they come late."""
        self._held |= {event.event_type for event in events}

    def release(self) -> None:
        """Let the events through that were held back; the next :meth:`run` delivers them."""
        self._held.clear()

    def run(
        self,
        *,
        contexts: Sequence[str] | None = None,
        times: int = 1,
        shuffle: random.Random | None = None,
        keep_failures: bool = False,
    ) -> None:
        """Deliver everything recorded, and what that brings about, until all is quiet.

        Args:
            contexts: Only these receive (``monolith`` for the monolith's own worker); by default all do.
            times: How often each event is delivered to each context.
            shuffle: Delivers what is pending in an order drawn from here, instead of in the order of recording.
            keep_failures: Leave what fails waiting in the inbox, as in production, instead of failing the test.

        Raises:
            AssertionError: a microworkflow failed, or the events never come to an end.
        """
        delivered = 0
        while rows := list(OutboxEvent.objects.pending().exclude(destination__in=self._held)):
            if shuffle is not None:
                shuffle.shuffle(rows)
            for row in rows:
                heard = self._deliver(row, contexts=contexts, times=times)
                row.status = OutboxEvent.Status.RELAYED if heard else OutboxEvent.Status.UNHEARD
                row.save(update_fields=["status"])
            delivered += len(rows)
            if delivered > _MOST_EVENTS:
                raise AssertionError(
                    f"The flow does not end: {delivered} events, the last is {rows[-1].type}."
                )
            if not keep_failures:
                self._raise_failures()

    def retry(self) -> None:
        """Try everything that waits in the inbox once more, now; failures stay there as in production."""
        for row in InboxEvent.objects.waiting():
            feed = topology.feed(row.context, CloudEvent.from_dict(row.body).meta.stamp)
            inbox.receive(row.body, context=feed, attempt=row.attempts)

    def deliver(
        self, event: Metadata | OutboxEvent, *, times: int = 1, contexts: Sequence[str] | None = None
    ) -> None:
        """Deliver a recorded event (once more), whatever was done with it before; failures stay in the inbox."""
        row = event if isinstance(event, OutboxEvent) else OutboxEvent.objects.get(pk=event.id)
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
        """What failed and is to be tried again."""
        return list(InboxEvent.objects.waiting())

    @property
    def parked(self) -> list[InboxEvent]:
        """The dead letters."""
        return list(InboxEvent.objects.parked())

    def _deliver(self, row: OutboxEvent, *, contexts: Sequence[str] | None, times: int) -> bool:
        feeds = [feed for feed in topology.feeds() if contexts is None or feed in contexts]
        heard = [feed for feed in feeds if registry.listeners(row.type, contexts=topology.contexts_of(feed))]
        for _ in range(times):
            for feed in heard:
                inbox.receive(row.body, context=feed)
        return bool(heard)

    def _raise_failures(self) -> None:
        failed: list[Any] = [*self.waiting, *self.parked]
        if failed:
            raise AssertionError(
                "\n".join(f"{row.label} failed on {row.type}: {row.error}\n{row.traceback}" for row in failed)
            )
