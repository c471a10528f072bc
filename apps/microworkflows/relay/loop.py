"""The relay's loop, one for each context: lead, take due messages, publish them, mark them, wait to be woken."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import takewhile
from math import inf
from uuid import UUID

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from kombu import Connection

from microworkflows import conf, flows, poolers, signals, times, topology, wakeup
from microworkflows.errors import ForeignQueueError, SharedSessionError
from microworkflows.models import OutboxEvent
from microworkflows.relay import session, store, versions
from microworkflows.relay.leadership import LEASE_SECONDS, Leadership, leadership
from microworkflows.relay.outages import Outage
from microworkflows.relay.pipeline import BatchSize, Pipeline
from microworkflows.relay.publisher import Batch, Message
from microworkflows.relay.record import Record

logger = logging.getLogger(__name__)

_SEEN_AT_ONCE = 10_000
"""Largest number of events whose ids a look everywhere remembers: it is done again once they are under way."""
_MOST_IN_QUEUE = 5_000
"""Number of messages in a queue to which no message is redelivered: it would come no sooner."""
_FULL_SECONDS = 5.0
"""Time until the next look for retries if the queue had no room for any."""
_HELD_SECONDS = 0.05
"""Time until the next look for timers if somebody holds those that are due."""
_STANDBY_SECONDS = 1.0
_LOOK_SECONDS = 0.5
_MEND_SECONDS = 60.0
"""Time between two looks for what the broker has lost: it may be a queue, a binding or an exchange."""
_HOPELESS_SECONDS = 16 * LEASE_SECONDS
"""Patience with one answer from which on a relay counts as stuck; it doubles each time that leaving a connection did not help."""
_DRAIN_SECONDS = 10.0
"""Longest time for a relay that is told to stop to relay the events that its worker's last handlers recorded."""


class Relay:
    """Relays one context until told to stop; runs in a thread of its own.

    Args:
        context: Label of the context whose events leave, and whose retries come back.
        broker: Makes a new, unconnected Kombu connection.
        stop: Ends the loop once the batch under way is confirmed and marked.
        drain: True to relay the events recorded until then, too: nobody else may be there to do it.
    """

    def __init__(
        self, context: str, *, broker: Callable[[], Connection], stop: threading.Event, drain: bool = False
    ) -> None:
        self.context = context
        self._stop = stop
        self._drain_seconds = _DRAIN_SECONDS if drain else 0.0
        self._size = BatchSize()
        self._pipeline = Pipeline(context, broker=broker, size=self._size, waits=self._waits)
        self._lock: Leadership | None = None
        self._connection: BaseDatabaseWrapper | None = None
        self._is_at_home = False
        """True once it is known that the direct way leads where events are recorded: the usual one may be closed later."""
        self._progress_at = time.monotonic()
        self._patience = LEASE_SECONDS
        self._outage = Outage(context)
        self._looked_everywhere_at = 0.0
        self._seen: frozenset[UUID] = frozenset()
        self._look_for_retries_at = 0.0
        self._look_for_timers_at = 0.0
        self._next_timer_at = inf
        self._in_hand: dict[tuple[UUID, int | None, datetime | None], float] = {}
        """Attempts that a worker had in hand before they could be leased, and the time at which the lease would end: if its
        process dies, the broker brings the message back, and a second copy would only come beside it."""
        self._record = Record(context)
        self._mended_at = -inf  # at first, at once: what is wrong there is said at the start
        self.refusal = ""
        """Reason for which this relay has ended by itself, with what to do; empty if there is none."""
        self._nobody_hears: set[str] = set()
        """Types of events that the broker had no queue for, the last time."""

    def run(self) -> None:
        """Relay until stopped. While broker or database are away, keep everything, wait and try again.

        Any other error has the same effect: it must end neither this relay nor those of other contexts beside it. But a queue
        that is another project's ends it, and so does the lack of a session of its own: to go on would do harm.
        """
        while not self._stop.is_set():
            self._progress_at = time.monotonic()
            try:
                self._lead()
            except (ForeignQueueError, SharedSessionError) as error:
                self.refusal = str(error)
                logger.error(
                    "relay %s: does not relay: %s", *(self.context, error), extra={"context": self.context}
                )
                return
            except Exception as error:
                self._stop.wait(self._outage.after(error))
        logger.info("relay %s: stopped", self.context, extra={"context": self.context})

    def watch(self) -> None:
        """Leave a database that has not answered for longer than the lease; another thread calls this time and again.

        If that does not help, the next answer is waited for twice as long: a statement may take its time.
        """
        waited = time.monotonic() - self._progress_at
        if waited > self._patience and self._connection is not None:
            self._progress_at, self._patience = time.monotonic(), 2 * self._patience
            logger.warning(
                "relay %s: the database has not answered for %d s; the relay leaves this connection",
                *(self.context, waited),
                extra={"context": self.context},
            )
            session.abandon(self._connection)

    @property
    def is_stuck(self) -> bool:
        """True if it has made no progress for a quarter of an hour, though :meth:`watch` has left its connections."""
        return self._patience > _HOPELESS_SECONDS

    def _lead(self) -> None:
        """Become the active relay of the context, and serve until something fails or the relay is told to stop."""
        connection = connections[router.db_for_write(OutboxEvent)]
        poolers.go_direct(connection)
        session.prepare(connection)
        self._connection = connection
        self._lock = lock = leadership(connection, self.context)
        try:
            poolers.raise_if_shared(connection)
            if not self._is_at_home:
                poolers.raise_if_elsewhere(connection.alias, table=OutboxEvent._meta.db_table)
                self._is_at_home = True
            while not lock.acquire():
                lock.stand_by()
                self._progress_at = time.monotonic()
                if self._stop.wait(_STANDBY_SECONDS):
                    return
            level = logging.DEBUG if self._outage.of_broker else logging.INFO  # it led already, most likely
            logger.log(level, "relay %s: leads", self.context, extra={"context": self.context})
            flows.led(self.context, True)
            session.set_up(connection)
            wakeup.listen(connection, self.context)
            while not self._stop.is_set() and lock.acquire():
                self._progress_at = time.monotonic()
                self._mend()
                # All in each round: a context that records without pause must not starve its retries and timers.
                has_more = any([self._relay_events(), self._redeliver(), self._fire_timers()])
                self._patience = LEASE_SECONDS
                if self._pipeline.works or not self._outage.of_broker:
                    self._outage.end()
                if not has_more:
                    self._wait(connection)
            ends_at = time.monotonic() + self._drain_seconds
            while time.monotonic() < ends_at and lock.acquire() and self._relay_events():
                pass
            self._pipeline.settle()
        finally:
            self._pipeline.close()
            flows.led(self.context, False)
            try:
                lock.release()
            finally:
                connection.close()

    def _relay_events(self) -> bool:
        """Publish and mark the next batch; return True if there may already be more to relay.

        In a backlog, a batch is marked while the broker takes in the next one.
        """
        limit = self._size.current
        under_way = self._pipeline.under_way
        messages, has_more = self._look(under_way, limit=limit)
        if messages:
            self._pipeline.send(messages, mark=self._mark_events)
        if has_more and len(messages) < limit:
            self._size.fit(len(messages))
        # The last batch for now, or part of a search for a refused message, is settled now.
        is_searching = self._size.is_searching
        self._pipeline.settle(keep=1 if has_more and not is_searching else 0)
        return bool(under_way) or (bool(messages) and (has_more or is_searching or self._size.is_searching))

    def _look(self, under_way: Sequence[Message], *, limit: int) -> store.Due:
        """Return the next events; in a backlog, look from those under way on.

        The index keeps the entries of marked events until a vacuum, and each look would pass over all of them. But an
        event that was committed late, or refused, stands there too: so look everywhere from time to time. In between,
        take only events that were there at the last such look: the transaction of any other may have recorded some
        that stand before those under way, and go first.
        """
        now = times.now()
        look = partial(store.due_events, self.context, limit=limit, now=now, besides=under_way)
        if not under_way:
            return look()
        if time.monotonic() <= self._looked_everywhere_at + conf.current().relay_poll:
            due = look(starting_at=under_way[0].id)
            if all(message.id in self._seen for message in due.messages):
                return due
        self._looked_everywhere_at = time.monotonic()
        ids = store.due_ids(self.context, limit=_SEEN_AT_ONCE, now=now, besides=under_way)
        self._seen = frozenset(ids)
        due = look(starting_at=ids[0]) if ids else store.Due([], has_more=False)
        seen = list(takewhile(lambda message: message.id in self._seen, due.messages))
        return due if len(seen) == len(due.messages) else store.Due(seen, has_more=False)

    def _fire_timers(self) -> bool:
        """Make pending what is due, for the next round, and note when the next timer is; return True if any was due."""
        if time.monotonic() < min(self._look_for_timers_at, self._next_timer_at):
            return False
        fired = store.Fired(due=0, cancelled=0)
        left = store.seconds_to_next_timer(self.context)
        if left is not None and left <= 0:
            fired = store.fire_timers(self.context)
            if any(fired):
                logger.info(
                    "relay %s: %d timers are due, %d were cancelled",
                    *(self.context, fired.due, fired.cancelled),
                    extra={"context": self.context},
                )
                left = store.seconds_to_next_timer(self.context)
            else:
                left = _HELD_SECONDS
        self._next_timer_at = inf if left is None else time.monotonic() + left
        self._look_for_timers_at = time.monotonic() + conf.current().relay_poll
        return any(fired)

    def _redeliver(self) -> bool:
        """Bring inbox messages that are due for another attempt back to their queue; return True if there were any."""
        if time.monotonic() < self._look_for_retries_at:
            return False
        now = times.now()
        due = [
            message
            for message in store.due_retries(self.context, limit=self._size.current, now=now)
            if self._in_hand.get(_try(message), 0.0) < time.monotonic()
        ]
        messages = self._with_room(due)
        if messages:
            self._pipeline.send(messages, mark=partial(self._mark_retries, found_at=now))
            self._pipeline.settle()
        if len(messages) < len(due):
            sent = {message.id for message in messages}
            store.put_off([message for message in due if message.id not in sent], now=now)
        is_full = bool(due) and not messages
        self._look_for_retries_at = time.monotonic() + (
            _FULL_SECONDS if is_full else conf.current().relay_poll
        )
        return bool(messages)

    def _with_room(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages for which there is room in their queues.

        A queue that is done more slowly than the lease would get each of them again and again, and there would be more
        copies than work.
        """
        taken = []
        for queue, wanted in Counter(message.routing_key for message in messages).items():
            depth = self._pipeline.depth(queue)
            room = max(_MOST_IN_QUEUE - depth, 0)
            taken += [message for message in messages if message.routing_key == queue][:room]
            if wanted > room:
                logger.info(
                    "relay %s: %d messages to be retried wait, because %d wait in the queue %s already",
                    *(self.context, wanted - room, depth, queue),
                    extra={"context": self.context},
                )
        return taken

    def _mend(self) -> None:
        """From time to time, declare again what the broker has lost, and note what is declared."""
        if time.monotonic() > self._mended_at + _MEND_SECONDS:
            self._mended_at = time.monotonic()
            served = self._pipeline.mend()
            if served is not None:
                self._record.note(topology.bindings(served=served))

    def _mark_events(self, batch: Batch) -> None:
        versions.settle(batch)
        outcome = batch.outcome
        store.mark_events(outcome, now=times.now())
        self._tell_rejections(batch)
        self._tell_unheard(batch)
        for signal, ids in ((signals.unheard, outcome.unheard), (signals.rejected, outcome.rejected)):
            if ids:
                signal.send_robust(OutboxEvent, context=self.context, event_ids=list(ids))
        logger.info(
            "relayed %d of %d events of %s; %d unheard, %d refused",
            *(
                len(outcome.confirmed),
                len(batch.messages),
                self.context,
                len(outcome.unheard),
                len(outcome.refused) + len(outcome.rejected),
            ),
            extra={"context": self.context},
        )
        self._name_messages(batch, "relayed")
        if flows.has_guests():
            self._tell_guests(batch)

    def _tell_guests(self, batch: Batch) -> None:
        bodies, outcome = {message.id: message.body for message in batch.messages}, batch.outcome
        flows.sent(
            flows.Sent(
                context=self.context,
                relayed=[(each, bodies[each]) for each in outcome.confirmed],
                unheard=[(each, bodies[each]) for each in outcome.unheard],
                rejected=[(each, bodies[each], reason) for each, reason in outcome.rejected.items()],
                unconfirmed=[(each, bodies[each]) for each in outcome.refused]
                + [(message.id, message.body) for message in batch.untold],
                duration=time.monotonic() - batch.began,
            )
        )

    def _mark_retries(self, batch: Batch, *, found_at: datetime) -> None:
        held = store.mark_retries(batch.outcome, now=found_at)
        until = time.monotonic() + conf.current().redelivery_lease
        self._in_hand = {key: end for key, end in self._in_hand.items() if end > time.monotonic()}
        self._in_hand |= {_try(message): until for message in batch.messages if message.id in held}
        self._tell_rejections(batch)
        logger.info(
            "redelivered %d messages to %s",
            *(len(batch.outcome.confirmed), self.context),
            extra={"context": self.context},
        )
        self._name_messages(batch, "redelivered")

    def _tell_rejections(self, batch: Batch) -> None:
        for message_id, reason in batch.outcome.rejected.items():
            logger.error(
                "relay %s: the broker refuses message %s for good: %s (mend the cause, then send it again from the admin)",
                *(self.context, message_id, reason),
                extra={"context": self.context},
            )

    def _tell_unheard(self, batch: Batch) -> None:
        """Log each type of event that nobody hears, once until somebody does."""
        unheard, heard = (
            {message.routing_key for message in batch.messages if message.id in ids}
            for ids in map(frozenset, (batch.outcome.unheard, batch.outcome.confirmed))
        )
        for event_type in sorted(unheard - self._nobody_hears):
            logger.error(
                "relay %s: nobody hears %s, so these events are kept as unheard (start the worker of a listener, then relay "
                "them by manage.py unheard --relay)",
                *(self.context, event_type),
                extra={"context": self.context, "event_type": event_type},
            )
        self._nobody_hears = (self._nobody_hears | unheard) - heard

    def _name_messages(self, batch: Batch, verb: str) -> None:
        """Log the ids of a batch at DEBUG only: there may be hundreds."""
        if logger.isEnabledFor(logging.DEBUG):
            ids = [str(message_id) for message_id in batch.outcome.confirmed]
            logger.debug("%s %s", verb, " ".join(ids), extra={"context": self.context, "ids": ids})

    def _waits(self) -> bool:
        """Show a sign of life while something is waited for; return False to wait no longer."""
        leads = self._lock is None or self._lock.acquire()
        self._progress_at = time.monotonic()
        return leads and not self._stop.is_set()

    def _wait(self, connection: BaseDatabaseWrapper) -> None:
        """Wait until woken or until the next poll; meanwhile, often check for a stop and serve the connection."""
        is_woken = connection.vendor == "postgresql"
        poll = conf.current().relay_poll if is_woken else conf.current().relay_poll_embedded
        ends_at = min(time.monotonic() + poll, self._next_timer_at)
        while self._waits() and (left := ends_at - time.monotonic()) > 0:
            self._pipeline.keep_alive()
            if not is_woken:
                self._stop.wait(min(left, _LOOK_SECONDS))
            elif told := wakeup.wait(connection, timeout=min(left, _LOOK_SECONDS)):
                if wakeup.TIMER in told:
                    self._look_for_timers_at = self._next_timer_at = 0.0  # it may be due sooner
                return


def _try(message: Message) -> tuple[UUID, int | None, datetime | None]:
    """Return what tells a try to handle a message from its other ones: neither a replay nor giving way counts the attempts up."""
    return message.id, message.attempt, message.due_at
