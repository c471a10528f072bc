"""Moments of a flow on one clock: the rows' times, put right by causation, and the events in causal order.

The offset of a host's clock that the collector knows is in the rows already. The others are found from the flow itself.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from microworkflows.cloudevents import context_of
from microworkflows.journal import clocks
from microworkflows.journal.models import Attempt, Delivery, Event, Process


class Moments:
    """Corrected times of one flow's rows."""

    def __init__(
        self,
        events: Sequence[Event],
        deliveries: Mapping[UUID, Sequence[Delivery]],
        failures: Mapping[int, Sequence[Attempt]],
    ) -> None:
        """Work the times out.

        Args:
            events: The events, by time of recording.
            deliveries: The deliveries of each, with their processes.
            failures: The attempts of each delivery that failed, with their processes, in their order.
        """
        self._events = events
        self._by_id = {str(event.pk): event for event in events}
        self._failures = failures
        self._deliveries = deliveries
        self._causing = {
            (str(each.event_id), each.consumer): each for rows in deliveries.values() for each in rows
        }
        found = clocks.shifts(self._order())
        self._shifts = found
        self.shifts = {clock: shift for clock, shift in found.items() if clock}
        """By clock, what was added to its times."""
        self._recorded: dict[UUID, datetime] = {}
        self._ordered = list(self._causally())
        for event in self._ordered:
            self._recorded[event.pk] = max(
                self._shifted(event.recorded_at, self._recorder(event)), self._cause_at(event)
            )

    def in_causal_order(self) -> Sequence[Event]:
        """Return the events by time, none before its cause."""
        return self._ordered

    def recorded_at(self, event: Event) -> datetime:
        """Return the time of an event's recording, not before that of its cause."""
        return self._recorded[event.pk]

    def relayed_at(self, event: Event) -> datetime | None:
        """Return the time of an event's relaying; None if it is unknown."""
        if event.relayed_at is None:
            return None
        relay = _clock(event.relay, context_of(event.type))
        return max(self._shifted(event.relayed_at, relay), self._recorded[event.pk])

    def received_at(self, event: Event, delivery: Delivery) -> datetime:
        """Return the time at which the first attempt of a delivery began."""
        return max(self._shifted(delivery.received_at, self._receiver(delivery)), self._recorded[event.pk])

    def corrected(self, time: datetime, row: Delivery | Attempt) -> datetime:
        """Return a time of a row with the shift of its process's clock."""
        delivery = row if isinstance(row, Delivery) else None
        return self._shifted(time, _clock(row.process, context_of(delivery.consumer) if delivery else ""))

    def _shifted(self, time: datetime, clock: str) -> datetime:
        return time + self._shifts.get(clock, timedelta())

    def _recorder(self, event: Event) -> str:
        """Return the clock on which an event was recorded: that of the microworkflow's process, or of whoever began the flow."""
        cause = self._causing.get((event.causation_id, event.emitted_by))
        if cause is not None:
            return _clock(cause.process, context_of(cause.consumer))
        return f"a recorder in {event.emitted_by or context_of(event.type)}"

    def _receiver(self, delivery: Delivery) -> str:
        failures = self._failures.get(delivery.pk, ())
        return _clock(failures[0].process if failures else delivery.process, context_of(delivery.consumer))

    def _order(self) -> Iterator[tuple[clocks.Reading, clocks.Reading]]:
        """Yield pairs of readings, the earlier by causation first."""
        for event in self._events:
            recorded = (self._recorder(event), event.recorded_at)
            if event.relayed_at is not None:
                yield recorded, (_clock(event.relay, context_of(event.type)), event.relayed_at)
            if (cause := self._cause(event)) is not None:
                yield cause, recorded
            for delivery in self._deliveries.get(event.pk, ()):
                last = (self._receiver(delivery), delivery.received_at)
                yield recorded, last
                for failure in self._failures.get(delivery.pk, ()):
                    if failure.duration is not None:
                        clock = _clock(failure.process, context_of(delivery.consumer))
                        yield last, (clock, failure.ended_at - failure.duration)
                        last = (clock, failure.ended_at)
                if delivery.handled_at is not None:
                    yield last, (_clock(delivery.process, context_of(delivery.consumer)), delivery.handled_at)

    def _cause(self, event: Event) -> clocks.Reading | None:
        """Return the reading that an event cannot precede: its microworkflow has begun, or at least its cause was recorded."""
        delivery = self._causing.get((event.causation_id, event.emitted_by))
        if delivery is not None:
            return self._receiver(delivery), delivery.received_at
        cause = self._by_id.get(event.causation_id)
        return None if cause is None else (self._recorder(cause), cause.recorded_at)

    def _cause_at(self, event: Event) -> datetime:
        """Return the corrected time of that reading."""
        least = datetime.min.replace(tzinfo=event.recorded_at.tzinfo)
        cause = self._by_id.get(event.causation_id)
        if cause is None or cause.pk not in self._recorded:
            return least
        delivery = self._causing.get((event.causation_id, event.emitted_by))
        return self._recorded[cause.pk] if delivery is None else self.received_at(cause, delivery)

    def _causally(self) -> Iterator[Event]:
        effects: dict[str, list[Event]] = defaultdict(list)
        ready: list[tuple[datetime, int, Event]] = []
        for number, event in enumerate(self._events):
            if event.causation_id in self._by_id and event.causation_id != str(event.pk):
                effects[event.causation_id].append(event)
            else:
                ready.append((self._shifted(event.recorded_at, self._recorder(event)), number, event))
        heapq.heapify(ready)
        number, done = len(self._events), set()
        while ready:
            _, _, event = heapq.heappop(ready)
            done.add(event.pk)
            yield event
            for effect in effects[str(event.pk)]:
                number += 1
                time = self._shifted(effect.recorded_at, self._recorder(effect))
                heapq.heappush(ready, (time, number, effect))
        # Events that name each other as their cause begin nowhere, and are shown all the same.
        yield from (event for event in self._events if event.pk not in done)


def _clock(process: Process | None, context: str) -> str:
    if process is None:
        return f"an unknown process of {context}"
    return clocks.REFERENCE if process.clock_offset is not None else process.host
