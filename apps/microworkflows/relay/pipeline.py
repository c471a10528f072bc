"""The relay's pipeline: batches under way over one connection, each marked once the broker has reported on it."""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

import amqp
from kombu import Connection

from microworkflows import conf
from microworkflows.errors import BrokerUnavailableError
from microworkflows.relay.late_bindings import LateBindings
from microworkflows.relay.publisher import Batch, Message, Publisher, connect

logger = logging.getLogger(__name__)

_RENEW_SECONDS = 5.0
"""Age at which a connection is replaced if the broker nacks on it: RabbitMQ may go on nacking there for ever, even
after the limit of the queue was lifted."""

_TOO_LARGE = re.compile(r"message size \d+ is larger")
"""RabbitMQ's words about a message beyond its ``max_message_size``; the code 406 has other meanings too."""

Mark = Callable[[Batch], None]
"""Stores the outcome of a batch."""


class BatchSize:
    """Number of messages to claim at once: that of the settings, unless they are large or a refused one is searched for."""

    def __init__(self) -> None:
        self.current = self.largest
        self.is_searching = False
        """True while a message is searched for that makes the broker close the channel."""

    @property
    def largest(self) -> int:
        """Number of messages from the settings."""
        return conf.current().relay_batch

    def start_search(self) -> None:
        """Claim one message at a time, so that the refused one shows itself."""
        self.current, self.is_searching = 1, True

    def fit(self, count: int) -> None:
        """Claim about as many next time as fit into the bytes of a batch: the others would be measured in vain."""
        self.current = max(count, 1)

    def grow(self) -> None:
        """Claim twice as many next time, after a batch that went well."""
        self.current = min(self.current * 2, self.largest)
        self.is_searching = self.is_searching and self.current < self.largest


class Pipeline:
    """Sends batches and stores their outcomes; connects when there is something to send.

    Args:
        name: Name of the relay, for log lines.
        broker: Makes a new, unconnected Kombu connection.
        size: Learns from the batches how many messages may travel together.
        waits: Called every second while the broker is waited for; returns False to wait no longer than necessary.
    """

    def __init__(
        self,
        name: str,
        *,
        broker: Callable[[], Connection],
        size: BatchSize,
        waits: Callable[[], bool],
    ) -> None:
        self._name = name
        self._broker = broker
        self._size = size
        self._waits = waits
        self._publisher: Publisher | None = None
        self._connected_at = 0.0
        self._was_open = False
        self._has_confirmed = False
        self._under_way: deque[tuple[Batch, Mark]] = deque()
        self._late = LateBindings()

    @property
    def under_way(self) -> list[Message]:
        """Messages that were sent and are not marked yet, first sent first."""
        return [message for batch, _ in self._under_way for message in batch.messages]

    @property
    def works(self) -> bool:
        """True while the connection to the broker has confirmed a whole batch, or has none to confirm."""
        return self._publisher is not None and (self._has_confirmed or not self._under_way)

    def send(self, messages: Sequence[Message], *, mark: Mark) -> None:
        """Publish a batch, to queues that are bound by then; its outcome is marked once it is settled.

        Raises:
            BrokerUnavailableError: the broker is away, or a queue cannot be bound.
        """
        if self._late.add(messages):
            self.settle()
            refusal = self._open().mend(self._late.served()).refusal
            if refusal:
                raise BrokerUnavailableError(refusal)
        self._under_way.append((self._open().send(messages), mark))

    def settle(self, *, keep: int = 0) -> None:
        """Wait for the confirms of batches and mark them, the first sent first, until no more than ``keep`` are under way.

        Raises:
            BrokerUnavailableError: the broker went away. The messages that it had confirmed of any batch are marked.
        """
        settled, error = self._await_confirms(keep=keep)
        batches = [batch for batch, _ in settled]
        if error is not None:
            self.close()
        elif settled:
            self._has_confirmed = True
            self._size.grow()
        was_refused = error is not None and self._is_refusal(error)
        if error is not None and was_refused:
            self._set_refused_aside(batches, error)
        for batch, mark in settled:
            mark(batch)
        if error is not None and not was_refused:
            raise BrokerUnavailableError(f"{type(error).__name__}: {error}") from error
        if any(batch.outcome.refused for batch in batches):
            self._renew_old_connection()

    def depth(self, queue: str) -> int:
        """Return the number of messages that wait in a queue; 0 if the broker does not say.

        Raises:
            BrokerUnavailableError: the broker is away.
        """
        return self._open().depth(queue)

    def mend(self) -> Collection[str] | None:
        """Declare again what the broker has lost, and tell what that was.

        Returns:
            The labels of the queues that are bound to all their types; None if something is missing and may not be declared.

        Raises:
            BrokerUnavailableError: the broker is away.
        """
        self.settle()
        if self._publisher is None:
            self._open()
            return self._late.served()
        found = self._publisher.mend(self._late.served())
        if found.refusal:
            logger.error(
                "relay %s: the broker lacks what is to be declared there: %s",
                *(self._name, found.refusal),
                extra={"context": self._name},
            )
            return None
        if found.missing:
            self._tell_loss(found.missing)
        return self._late.served()

    def _open(self) -> Publisher:
        if self._publisher is None:
            self._publisher, missing = connect(
                self._broker(), name=self._name, waits=self._waits, served=self._late.served()
            )
            self._connected_at, self._has_confirmed = time.monotonic(), False
            if missing and self._was_open:  # at first, a broker is empty
                self._tell_loss(missing)
            self._was_open = True
        return self._publisher

    def _tell_loss(self, missing: Sequence[str]) -> None:
        logger.error(
            "relay %s: the broker had lost %s, declared again now; manage.py unreceived tells which events are missing",
            *(self._name, ", ".join(missing)),
            extra={"context": self._name},
        )

    def keep_alive(self) -> None:
        """Serve the connection while there is nothing to send; close it if it is lost."""
        if self._publisher is not None and not self._publisher.keep_alive():
            logger.info(
                "relay %s: the connection to the broker was lost; the next event opens a new one", self._name
            )
            self.close()

    def close(self) -> None:
        """Close the connection. Batches still under way, because the database went away, are published again."""
        self._under_way.clear()
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None

    def _await_confirms(self, *, keep: int) -> tuple[list[tuple[Batch, Mark]], BaseException | None]:
        """Return the settled batches and the error that ended the connection; after one, all batches are returned."""
        settled: list[tuple[Batch, Mark]] = []
        error: BaseException | None = None
        while self._publisher is not None and len(self._under_way) > (keep if error is None else 0):
            batch, mark = self._under_way.popleft()
            error = self._publisher.settle(batch).error
            settled.append((batch, mark))
        return settled, error

    def _is_refusal(self, error: BaseException) -> bool:
        """Return True if the broker refused a message (a channel error) rather than went away."""
        broker = self._broker()
        return isinstance(error, broker.channel_errors) and not isinstance(error, broker.connection_errors)

    def _set_refused_aside(self, batches: Sequence[Batch], error: BaseException) -> None:
        """Set the message aside that made the broker close the channel, if only one is possible; else search for it."""
        untold = [(batch, message) for batch in batches for message in batch.untold]
        if len(untold) == 1:
            ((batch, message),) = untold
            outcome = batch.outcome
            refusals = outcome.rejected if _is_for_good(error) else outcome.refused
            refusals[message.id] = f"{type(error).__name__}: {error}"
        elif untold:
            logger.warning("relay %s: one of %d messages was refused; finding it", self._name, len(untold))
            self._size.start_search()

    def _renew_old_connection(self) -> None:
        if time.monotonic() > self._connected_at + _RENEW_SECONDS:
            self.settle()
            self.close()


def _is_for_good(error: BaseException) -> bool:
    """Return True if the broker refused a message because it is larger than the broker allows.

    Other refusals, such as for want of rights or of an exchange, can be mended while the message waits.
    """
    return isinstance(error, amqp.PreconditionFailed) and _TOO_LARGE.search(str(error)) is not None
