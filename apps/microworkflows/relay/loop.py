"""The relay's loop, one for each context: lead, take what is due, publish it, mark it, wait to be woken."""

import logging
import random
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from kombu import Connection

from microworkflows import conf, wakeup
from microworkflows.errors import BrokerUnavailableError
from microworkflows.models import OutboxEvent
from microworkflows.relay import store
from microworkflows.relay.leadership import leadership
from microworkflows.relay.publisher import Message, Outcome, Publisher, connect

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
        self._connected_at = 0.0
        self._failures = 0
        self._batch = conf.current().relay_batch
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
            wakeup.listen(connection, self.context)
            while not self._stop.is_set() and lock.acquire():
                # Both in each round: a context that records without pause must not starve its retries.
                relayed, redelivered = self._relay_events(), self._redeliver()
                self._failures = 0
                if not relayed and not redelivered:
                    self._wait(connection)
            ends_at = time.monotonic() + self._drain_seconds
            while time.monotonic() < ends_at and lock.acquire() and self._relay_events():
                pass
        finally:
            self._disconnect()
            try:
                lock.release()
            finally:
                connection.close()

    def _relay_events(self) -> int:
        """Publish and mark one batch; return how many events it held."""
        messages = store.due_events(self.context, limit=self._batch, now=timezone.now())
        if messages:
            outcome = self._publish(messages)
            store.mark_events(outcome, now=timezone.now())
            logger.info(
                "relayed %d of %d events of %s; %d unheard, %d refused",
                *(
                    len(outcome.confirmed),
                    len(messages),
                    self.context,
                    len(outcome.unheard),
                    len(outcome.refused),
                ),
            )
            self._raise(outcome)
        return len(messages)

    def _redeliver(self) -> int:
        """Bring inbox messages that are due for another attempt back to the context's queue."""
        if time.monotonic() < self._retries_checked + conf.current().relay_poll:
            return 0
        self._retries_checked, now = time.monotonic(), timezone.now()
        messages = store.due_retries(self.context, limit=self._batch, now=now)
        if messages:
            outcome = self._publish(messages)
            store.mark_retries(outcome, now=now)
            logger.info("redelivered %d messages to %s", len(outcome.confirmed), self.context)
            self._raise(outcome)
        return len(messages)

    def _publish(self, messages: list[Message]) -> Outcome:
        if self._publisher is None:
            self._publisher, self._connected_at = connect(self._broker()), time.monotonic()
        outcome = self._publisher.publish(messages)
        if outcome.error is None:
            self._batch = min(self._batch * 2, conf.current().relay_batch)
            if outcome.refused and time.monotonic() > self._connected_at + _RENEW_SECONDS:
                self._disconnect()
            return outcome
        self._disconnect()
        told = len(outcome.confirmed) + len(outcome.unheard) + len(outcome.refused)
        if not self._is_refusal(outcome.error):
            return outcome
        if len(messages) == 1:
            outcome.refused[messages[0].id] = f"{type(outcome.error).__name__}: {outcome.error}"
            outcome.error = None
        elif told < len(messages):
            logger.warning(
                "relay %s: one of %d messages was refused; finding it", self.context, len(messages)
            )
            self._batch, outcome.error = 1, None
        return outcome

    def _is_refusal(self, error: BaseException) -> bool:
        """Tell whether the broker refused a message (a channel error) rather than went away."""
        broker = self._broker()
        return isinstance(error, broker.channel_errors) and not isinstance(error, broker.connection_errors)

    def _raise(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            raise BrokerUnavailableError(
                f"{type(outcome.error).__name__}: {outcome.error}"
            ) from outcome.error

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
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
