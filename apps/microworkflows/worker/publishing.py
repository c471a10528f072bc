"""The connection by which a worker's parent publishes, apart from the one by which it consumes.

A broker that is short of memory or disk stops to read from connections that publish. Acks would wait there, too.
"""

from collections.abc import Callable
from typing import Any

from kombu import Connection

from microworkflows.worker import celery_internals

_BROKER_SECONDS = 5.0


class Publishing:
    """A connection of the worker's own, opened when it is needed and read by the event loop.

    Without an event loop (gevent, eventlet), nobody would read it: there it is the consumer's.

    Args:
        consumer: Celery's consumer.
        lost: Called with the error when the connection is lost.
    """

    def __init__(self, consumer: Any, *, lost: Callable[[BaseException], None]) -> None:
        self._consumer = consumer
        self._lost = lost
        self._file = -1
        self._heartbeats: Any = None
        self.connection: Connection | None = None
        self.is_blocked = False
        """True while the broker takes no messages."""

    def open(self) -> Connection:
        """Return the connection; connect first if need be.

        Raises:
            Exception: one of the transport's; the broker cannot be reached.
        """
        if not self._consumer.hub:
            return self._consumer.connection  # type: ignore[no-any-return]
        if self.connection is None:
            connection = self._consumer.opening = self._consumer.app.connection_for_write(
                heartbeat=self._consumer.app.conf.broker_heartbeat,
                connect_timeout=_BROKER_SECONDS,
                transport_options={
                    **self._consumer.app.conf.broker_transport_options,
                    "write_timeout": _BROKER_SECONDS,
                },
            )
            connection.connect()
            self.connection = connection
            celery_internals.tell_when_blocked(connection, self._on_blocked, self._on_unblocked)
            self._file = connection.connection.sock.fileno()
            self._consumer.hub.add_reader(self._file, self._read)
            if interval := connection.get_heartbeat_interval():
                self._heartbeats = self._consumer.timer.call_repeatedly(interval / 2, self._check)
        return self.connection

    def close(self) -> None:
        """Let go of the connection, without waiting for the broker's answer."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self._heartbeats is not None:
            self._heartbeats.cancel()
        # A lost connection has closed its file already, whose number may be another's by now.
        if self._consumer.hub.readers.get(self._file, (None,))[0] == self._read:
            self._consumer.hub.remove_reader(self._file)
        connection.collect()
        if self.is_blocked:
            self._on_unblocked()

    def lose(self, error: BaseException) -> None:
        """Let go of a connection that does not work any more, and tell so."""
        self.close()
        self._lost(error)

    def _on_blocked(self, reason: str) -> None:
        self.is_blocked = True
        self._consumer.on_blocked(reason)

    def _on_unblocked(self) -> None:
        self.is_blocked = False
        self._consumer.on_unblocked()

    def _read(self) -> None:
        try:
            while self.connection is not None:
                self.connection.drain_events(timeout=0)
        except TimeoutError:
            return  # all is read
        except Exception as error:  # of whatever transport; it must not end the consumer's connection
            self.lose(error)

    def _check(self) -> None:
        if self.connection is None:
            return
        try:
            self.connection.heartbeat_check(2)
        except Exception as error:  # as above
            self.lose(error)
