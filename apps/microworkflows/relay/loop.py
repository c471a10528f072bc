"""The relay's loop, one for each context: lead, take what is due, publish it, mark it, wait to be woken."""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from kombu import Connection

from microworkflows import conf, wakeup
from microworkflows.errors import BrokerUnavailableError
from microworkflows.models import OutboxEvent
from microworkflows.relay import store
from microworkflows.relay.leadership import leadership
from microworkflows.relay.publisher import Batch, Message, Publisher, connect

logger = logging.getLogger(__name__)

_STANDBY_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_DRAIN_SECONDS = 10.0
"""So long at most a relay that is told to stop still relays what its worker's last handlers recorded."""
_RENEW_SECONDS = 5.0
"""A connection on which the broker nacks is given up at this age: RabbitMQ may go on nacking there for ever, though
the limit of the queue was lifted meanwhile."""


class Relay:
    """Relays one context until told to stop; runs in a thread of its own.

    Args:
        context: Label of the context whose events leave, and whose retries come back.
        broker: Makes a new, unconnected Kombu connection.
        stop: Ends the loop once the batch under way is confirmed and marked.
        drain: Relay what was recorded until then, too: nobody else may be there to do it.
    """

    def __init__(
        self, context: str, *, broker: Callable[[], Connection], stop: threading.Event, drain: bool = False
    ) -> None:
        self.context = context
        self._broker = broker
        self._stop = stop
        self._drain_seconds = _DRAIN_SECONDS if drain else 0.0
        self._publisher: Publisher | None = None
        self._under_way: deque[tuple[Batch, Callable[[Batch], None]]] = deque()
        self._connected_at = 0.0
        self._failures = 0
        self._batch = conf.current().relay_batch
        self._looked_everywhere = 0.0
        self._retries_checked = 0.0

    def run(self) -> None:
        """Relay until stopped. While broker or database are away: keep everything, wait, try again.

        The same after any other error: it must neither end this relay nor those of other contexts beside it.
        """
        while not self._stop.is_set():
            try:
                self._lead()
            except Exception as error:
                self._failures += 1
                longest = min(0.1 * 2 ** min(self._failures, 10), _LONGEST_BACKOFF_SECONDS)
                delay = longest * random.uniform(0.5, 1)  # noqa: S311  (no secret)
                expected = isinstance(error, BrokerUnavailableError | DatabaseError)
                logger.log(
                    logging.WARNING if expected else logging.ERROR,
                    "relay %s: waits %.1f s, nothing is lost: %s: %s",
                    *(self.context, delay, type(error).__name__, error),
                    exc_info=not expected,
                )
                self._stop.wait(delay)
        logger.info("relay %s: stopped", self.context)

    def _lead(self) -> None:
        """Become the active relay of the context and serve until something fails or we are told to stop."""
        connection = connections[router.db_for_write(OutboxEvent)]
        lock = leadership(connection, self.context)
        try:
            while not lock.acquire():
                if self._stop.wait(_STANDBY_SECONDS):
                    return
            logger.info("relay %s: leads", self.context)
            store.open_session(connection)
            wakeup.listen(connection, self.context)
            while not self._stop.is_set() and lock.acquire():
                # Both in each round: a context that records without pause must not starve its retries.
                more, redelivered = self._relay_events(), self._redeliver()
                self._failures = 0
                if not more and not redelivered:
                    self._wait(connection)
            ends_at = time.monotonic() + self._drain_seconds
            while time.monotonic() < ends_at and lock.acquire() and self._relay_events():
                pass
            self._settle()
        finally:
            self._disconnect()
            try:
                lock.release()
            finally:
                connection.close()

    def _relay_events(self) -> bool:
        """Publish and mark the next batch; tell if there may be more to relay already.

        One batch of several is marked while the broker takes the next one in.
        """
        limit, largest = self._batch, conf.current().relay_batch
        under_way = [message for batch, _ in self._under_way for message in batch.messages]
        messages = store.due_events(
            self.context,
            limit=limit,
            now=timezone.now(),
            besides=under_way,
            starting_at=self._front(under_way),
        )
        if messages:
            self._send(messages, mark=self._mark_events)
        # A batch that is not full is the last for now, or a refused message is looked for: nothing to do meanwhile.
        self._settle(keep=1 if len(messages) >= largest else 0)
        return bool(under_way or (messages and (len(messages) >= limit or self._batch < largest)))

    def _front(self, under_way: list[Message]) -> UUID | None:
        """Return the event before which, in a backlog, nothing need be looked for; None to look everywhere.

        The index keeps entries of what was marked until a vacuum comes, and each look would pass over all of them. But
        what began earlier and was committed later, or was refused, stands there too: so everywhere from time to time.
        """
        if not under_way or time.monotonic() > self._looked_everywhere + conf.current().relay_poll:
            self._looked_everywhere = time.monotonic()
            return None
        return under_way[0].id

    def _redeliver(self) -> bool:
        """Bring inbox messages that are due for another attempt back to the context's queue; tell if there were any."""
        if time.monotonic() < self._retries_checked + conf.current().relay_poll:
            return False
        self._retries_checked, now = time.monotonic(), timezone.now()
        messages = store.due_retries(self.context, limit=self._batch, now=now)
        if messages:
            self._send(messages, mark=partial(self._mark_retries, found_at=now))
            self._settle()
        return bool(messages)

    def _mark_events(self, batch: Batch) -> None:
        outcome = batch.outcome
        store.mark_events(outcome, now=timezone.now())
        logger.info(
            "relayed %d of %d events of %s; %d unheard, %d refused",
            *(
                len(outcome.confirmed),
                len(batch.messages),
                self.context,
                len(outcome.unheard),
                len(outcome.refused),
            ),
        )

    def _mark_retries(self, batch: Batch, *, found_at: datetime) -> None:
        store.mark_retries(batch.outcome, now=found_at)
        logger.info("redelivered %d messages to %s", len(batch.outcome.confirmed), self.context)

    def _send(self, messages: list[Message], *, mark: Callable[[Batch], None]) -> None:
        """Publish a batch; what became of it is marked once it is settled."""
        if self._publisher is None:
            self._publisher, self._connected_at = connect(self._broker()), time.monotonic()
        self._under_way.append((self._publisher.send(messages), mark))

    def _settle(self, *, keep: int = 0) -> None:
        """Wait for the confirms of what is under way and mark it, until so many batches are left.

        Raises:
            BrokerUnavailableError: the broker went away. What it had confirmed of any batch is marked.
        """
        settled: list[tuple[Batch, Callable[[Batch], None]]] = []
        error: BaseException | None = None
        while self._publisher is not None and len(self._under_way) > (keep if error is None else 0):
            batch, mark = self._under_way.popleft()
            error = self._publisher.settle(batch).error
            settled.append((batch, mark))
        if error is not None:
            self._disconnect()
            if self._is_refusal(error):
                self._set_refused_aside([batch for batch, _ in settled], error)
                error = None
        elif settled:
            self._batch = min(self._batch * 2, conf.current().relay_batch)
        for batch, mark in settled:
            mark(batch)
        if error is not None:
            raise BrokerUnavailableError(f"{type(error).__name__}: {error}") from error
        if any(batch.outcome.refused for batch, _ in settled) and self._is_old():
            self._settle()
            self._disconnect()

    def _set_refused_aside(self, batches: list[Batch], error: BaseException) -> None:
        """One of the messages that the broker did not tell of made it close the channel: set it aside, or look for it."""
        untold = [(batch, message) for batch in batches for message in batch.untold]
        if len(untold) == 1:
            ((batch, message),) = untold
            batch.outcome.refused[message.id] = f"{type(error).__name__}: {error}"
        elif untold:
            logger.warning("relay %s: one of %d messages was refused; finding it", self.context, len(untold))
            self._batch = 1

    def _is_old(self) -> bool:
        return time.monotonic() > self._connected_at + _RENEW_SECONDS

    def _is_refusal(self, error: BaseException) -> bool:
        """Tell whether the broker refused a message (a channel error) rather than went away."""
        broker = self._broker()
        return isinstance(error, broker.channel_errors) and not isinstance(error, broker.connection_errors)

    def _wait(self, connection: BaseDatabaseWrapper) -> None:
        """Wait until woken or until the next poll, and look often whether to stop and whether the broker is there."""
        postgresql = connection.vendor == "postgresql"
        poll = conf.current().relay_poll if postgresql else conf.current().relay_poll_embedded
        ends_at = time.monotonic() + poll
        while not self._stop.is_set() and (left := ends_at - time.monotonic()) > 0:
            if self._publisher is not None and not self._publisher.keep_alive():
                logger.info(
                    "relay %s: the connection to the broker was lost; the next event opens one", self.context
                )
                self._disconnect()
            if not postgresql:
                self._stop.wait(min(left, _LOOK_SECONDS))
            elif wakeup.wait(connection, timeout=min(left, _LOOK_SECONDS)):
                return

    def _disconnect(self) -> None:
        """Close the connection. What is under way still, because the database went away, is published again."""
        self._under_way.clear()
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
