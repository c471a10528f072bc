"""Looking into queues: how full, how fast they fill, what is in them, and when each message arrives."""

import math
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

import amqp
from kombu import Connection

from project.processes.waiting import Patience

_MARKER = re.compile(rb"m\d{9}m")
_LOOK_SECONDS = 0.005


class Filled(NamedTuple):
    """When the first and the last of the expected messages were seen in a queue, and how many were there at first."""

    first_ns: int
    last_ns: int
    first_count: int
    last_count: int

    @property
    def rate(self) -> float:
        """Messages a second between the two."""
        return (self.last_count - self.first_count) / ((self.last_ns - self.first_ns) / 1e9)


class QueueWatch:
    """Counts ready messages again and again over one connection."""

    def __init__(self, url: str, *names: str) -> None:
        self._connection = Connection(url)
        self._channel: Any = self._connection.channel()
        self._names = names

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ready(self) -> int:
        """Return how many messages are ready in the queues together."""
        return sum(self._channel.queue_declare(name, passive=True).message_count for name in self._names)


def declare(url: str, *names: str) -> None:
    """Declare durable quorum queues; the default exchange reaches them by name."""
    with Connection(url) as connection:
        channel: Any = connection.channel()
        for name in names:
            channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})


def unbind(url: str, name: str, *, exchange: str, routing_key: str) -> None:
    """Take a queue's binding away."""
    with Connection(url) as connection:
        channel: Any = connection.channel()
        channel.queue_unbind(name, exchange=exchange, routing_key=routing_key)


def time_to_fill(url: str, *names: str, expected: int, timeout: float = 180) -> Filled:
    """Watch queues until so many messages are ready in them.

    Raises:
        TimeoutError: they did not come.
    """
    with QueueWatch(url, *names) as watch:
        patience = Patience(timeout)
        before, first = watch.ready(), None
        while True:
            ready, now = watch.ready(), time.monotonic_ns()
            if first is None and ready > before:
                first = now, ready
            if first is not None and ready >= expected:
                return Filled(first[0], now, first[1], ready)
            if patience.is_over(str(ready)):
                raise TimeoutError(f"{ready} of {expected} messages came, and then none in {timeout:.0f} s")
            time.sleep(_LOOK_SECONDS)


def drain(url: str, *names: str, quiet: float = 0.5) -> list[bytes]:
    """Take everything out of queues; return the bodies in the order in which each queue gave them."""
    bodies: list[bytes] = []

    def keep(message: amqp.Message) -> None:
        bodies.append(message.body if isinstance(message.body, bytes) else message.body.encode())

    for name in names:
        with Connection(url) as connection:
            channel: Any = connection.channel()
            channel.basic_consume(name, callback=keep, no_ack=True)
            with suppress(TimeoutError):
                while True:
                    connection.drain_events(timeout=quiet)
    return bodies


def markers(bodies: list[bytes]) -> list[str]:
    """Return the marker in each body, in the same order."""
    return [found[0].decode() for body in bodies if (found := _MARKER.search(body))]


class Arrivals:
    """Consumes a queue in a thread and notes when each marker arrived, in nanoseconds of the monotonic clock."""

    def __init__(self, url: str, name: str) -> None:
        self.seen: dict[str, int] = {}
        self._connection = Connection(url)
        channel: Any = self._connection.channel()
        channel.basic_consume(name, callback=self._note, no_ack=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._consume, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _note(self, message: amqp.Message) -> None:
        arrived = time.monotonic_ns()
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        if found := _MARKER.search(body):
            self.seen.setdefault(found[0].decode(), arrived)

    def _consume(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0.2)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value at or below which so many percent of the ordered values lie (nearest rank)."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]
