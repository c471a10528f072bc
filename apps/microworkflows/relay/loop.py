"""The relay's loop, one for each context: lead, take due messages, publish them, mark them, wait to be woken."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
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
from microworkflows.relay.pipeline import BatchSize, Pipeline
from microworkflows.relay.publisher import Batch, Message

logger = logging.getLogger(__name__)

_STANDBY_SECONDS = 1.0
_LONGEST_BACKOFF_SECONDS = 10.0
_LOOK_SECONDS = 0.5
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
        self._pipeline = Pipeline(context, broker=broker, size=self._size)
        self._failures = 0
        self._looked_everywhere_at = 0.0
        self._looked_for_retries_at = 0.0

    def run(self) -> None:
        """Relay until stopped. While broker or database are away, keep everything, wait and try again.

        Any other error has the same effect: it must end neither this relay nor those of other contexts beside it.
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
                    extra={"context": self.context},
                )
                self._stop.wait(delay)
        logger.info("relay %s: stopped", self.context, extra={"context": self.context})

    def _lead(self) -> None:
        """Become the active relay of the context, and serve until something fails or the relay is told to stop."""
        connection = connections[router.db_for_write(OutboxEvent)]
        lock = leadership(connection, self.context)
        try:
            while not lock.acquire():
                if self._stop.wait(_STANDBY_SECONDS):
                    return
            logger.info("relay %s: leads", self.context, extra={"context": self.context})
            store.open_session(connection)
            wakeup.listen(connection, self.context)
            while not self._stop.is_set() and lock.acquire():
                # Both in each round: a context that records without pause must not starve its retries.
                has_more, has_redelivered = self._relay_events(), self._redeliver()
                self._failures = 0
                if not has_more and not has_redelivered:
                    self._wait(connection)
            ends_at = time.monotonic() + self._drain_seconds
            while time.monotonic() < ends_at and lock.acquire() and self._relay_events():
                pass
            self._pipeline.settle()
        finally:
            self._pipeline.close()
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
        messages = store.due_events(
            self.context,
            limit=limit,
            now=timezone.now(),
            besides=under_way,
            starting_at=self._front(under_way),
        )
        if messages:
            self._pipeline.send(messages, mark=self._mark_events)
        # A batch that is not full is the last for now, or part of a search for a refused message: settle it now.
        is_full = len(messages) >= self._size.largest
        self._pipeline.settle(keep=1 if is_full else 0)
        may_have_more = len(messages) >= limit or self._size.is_searching
        return bool(under_way) or (bool(messages) and may_have_more)

    def _front(self, under_way: Sequence[Message]) -> UUID | None:
        """Return the event at which the next look into a backlog begins; None to look everywhere.

        The index keeps the entries of marked events until a vacuum, and each look would pass over all of them. But an
        event that was committed late, or refused, stands there too: so look everywhere from time to time.
        """
        if not under_way or time.monotonic() > self._looked_everywhere_at + conf.current().relay_poll:
            self._looked_everywhere_at = time.monotonic()
            return None
        return under_way[0].id

    def _redeliver(self) -> bool:
        """Bring inbox messages that are due for another attempt back to their queue; return True if there were any."""
        if time.monotonic() < self._looked_for_retries_at + conf.current().relay_poll:
            return False
        self._looked_for_retries_at, now = time.monotonic(), timezone.now()
        messages = store.due_retries(self.context, limit=self._size.current, now=now)
        if messages:
            self._pipeline.send(messages, mark=partial(self._mark_retries, found_at=now))
            self._pipeline.settle()
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
            extra={"context": self.context},
        )
        self._name_messages(batch, "relayed")

    def _mark_retries(self, batch: Batch, *, found_at: datetime) -> None:
        store.mark_retries(batch.outcome, now=found_at)
        logger.info(
            "redelivered %d messages to %s",
            *(len(batch.outcome.confirmed), self.context),
            extra={"context": self.context},
        )
        self._name_messages(batch, "redelivered")

    def _name_messages(self, batch: Batch, verb: str) -> None:
        """Log the ids of a batch at DEBUG only: there may be hundreds."""
        if logger.isEnabledFor(logging.DEBUG):
            ids = [str(message_id) for message_id in batch.outcome.confirmed]
            logger.debug("%s %s", verb, " ".join(ids), extra={"context": self.context, "ids": ids})

    def _wait(self, connection: BaseDatabaseWrapper) -> None:
        """Wait until woken or until the next poll; meanwhile, often check for a stop and serve the connection."""
        is_woken = connection.vendor == "postgresql"
        poll = conf.current().relay_poll if is_woken else conf.current().relay_poll_embedded
        ends_at = time.monotonic() + poll
        while not self._stop.is_set() and (left := ends_at - time.monotonic()) > 0:
            self._pipeline.keep_alive()
            if not is_woken:
                self._stop.wait(min(left, _LOOK_SECONDS))
            elif wakeup.wait(connection, timeout=min(left, _LOOK_SECONDS)):
                return
