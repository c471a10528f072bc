"""Loads of queues: the messages that wait there and the consumers, as the broker tells whoever must not wait long for it."""

from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection


class Load(NamedTuple):
    """A queue, as the broker tells of it; None: it does not."""

    depth: int | None = None
    """Number of messages that wait."""
    consumers: int | None = None


class Loads:
    """Asks the broker over a connection of its own, which is opened at the first question.

    Args:
        app: The Celery app whose broker it is.
        seconds: Longest wait for one answer.
    """

    def __init__(self, app: Celery, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds
        self._connection: Connection | None = None
        self._channel: Any = None

    def of(self, name: str) -> Load:
        """Return the load of the queue of this name at the broker; an unknown one if nobody has declared it.

        Raises:
            Exception: of whatever transport: the broker is away, or refuses. Close this then.
        """
        channel = self._channel or self._connect()
        assert self._connection is not None
        try:
            found = channel.queue_declare(name, passive=True)
        except self._connection.channel_errors as error:
            if "NOT_FOUND" not in str(error):
                raise
            self._channel = self._connection.channel()  # the broker closes the other one with its refusal
            return Load()
        return Load(found.message_count, found.consumer_count)

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.release()

    def _connect(self) -> Any:
        self._connection = self._app.connection_for_read(
            heartbeat=0,
            connect_timeout=self._seconds,
            transport_options={"read_timeout": self._seconds, "write_timeout": self._seconds},
        )
        self._connection.connect()
        self._channel = self._connection.channel()
        return self._channel
