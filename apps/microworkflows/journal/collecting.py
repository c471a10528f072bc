"""The collector: beside the relays of one service, one process at a time takes the notices of all services, and writes them down."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.db import InterfaceError, OperationalError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from kombu import Connection, Consumer

from microworkflows import flows, poolers
from microworkflows.journal import broker, conf, filling, numbering, reading, watcher, writing
from microworkflows.journal.models import Flow
from microworkflows.journal.reading import Sent, UnreadableMessageError
from microworkflows.journal.writing import Memory
from microworkflows.models import OutboxEvent
from microworkflows.relay import session
from microworkflows.relay.leadership import leadership

logger = logging.getLogger(__name__)

LOCK = "microworkflows_journal"
"""Name of the lead that collectors take; it is no context's."""

_MOST_MESSAGES = 100
_MOST_NOTICES = 5_000
_WAIT_SECONDS = 0.5
_REST_SECONDS = 0.02
_BUSY_NOTICES = 100
_BUSY_SECONDS = 1.0
"""Time from one round to the next where much happens: each process sends a message a second, and a flow that several tell of is
written once rather than once for each."""
_FRESH_SECONDS = 0.3
"""Time without a look at the queue for which a message may have waited, and still tells the clocks' difference."""
_EVERY_SECONDS = 5.0
_WATCHES_EVERY_SECONDS = 1.0
_STANDBY_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_QUIET_SECONDS = numbering.SILENT_AFTER.total_seconds()


class Collector(flows.Guest):
    """Collects beside a relay, where this service is the one that does."""

    def beside_relay(self, contexts: Sequence[str], stop: threading.Event) -> None:
        if not conf.collects():
            stop.wait()
            return
        collect(stop)


def collect(stop: threading.Event) -> None:
    """Collect until told to stop; while another process does, wait.

    Raises:
        Error: the database went away.
        SharedSessionError: the way to the journal's database leads through a pooler, where no lock holds.
    """
    connection = connections[router.db_for_write(Flow)]
    if connection.alias == router.db_for_write(OutboxEvent):
        poolers.go_direct(connection)
    session.prepare(connection, name=f"{LOCK}, collector")
    lock = leadership(connection, LOCK)
    try:
        poolers.raise_if_shared(connection)
        while not lock.acquire():
            lock.stand_by()
            if stop.wait(_STANDBY_SECONDS):
                return
        session.set_up(connection)
        logger.info("the journal is written from here")
        with _Post(stop) as post:
            rounds = _Rounds(connection, post)
            while not stop.is_set() and lock.acquire():
                rounds.go_round()
    finally:
        try:
            lock.release()
        finally:
            connection.close()


class _Post:
    """Takes messages from the queue, over a connection of its own, which it opens again whenever it was lost."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._connection: Connection | None = None
        self._arrived: list[Any] = []
        self._taken: list[Any] = []
        self._was_empty_at = self._busy_until = 0.0
        self._full_at = time.monotonic()
        self._fails = 0

    def __enter__(self) -> "_Post":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def quiet_for(self) -> float:
        """Seconds for which the queue has been looked at and nothing has waited there for longer than a moment."""
        return time.monotonic() - self._full_at

    def take(self) -> list[Sent]:
        """Return the next messages; none after a short while, or while the broker is away."""
        try:
            return self._take()
        except Exception as error:  # of whatever transport
            self._put_off(error)
            return []

    def settle(self) -> None:
        """Acknowledge what was taken: it is written. If the broker is away, it comes again, and changes nothing."""
        taken, self._taken = self._taken, []
        try:
            for message in taken:
                message.ack()
        except Exception as error:  # of whatever transport
            self._put_off(error)

    def _take(self) -> list[Sent]:
        connection = self._connection or self._connect()
        is_fresh = time.monotonic() < self._was_empty_at + _FRESH_SECONDS
        if not self._drain(connection, _WAIT_SECONDS):
            self._was_empty_at = time.monotonic()
            return []
        while len(self._arrived) < _MOST_MESSAGES:
            if not self._drain(connection, max(self._busy_until - time.monotonic(), _REST_SECONDS)):
                self._was_empty_at = time.monotonic()
                break
        else:
            self._full_at = time.monotonic()
        arrived, self._arrived = self._arrived, []
        self._taken += [message for _, message in arrived]
        taken = [
            read for at, message in arrived if (read := _read(message, at, is_fresh=is_fresh)) is not None
        ]
        if sum(len(read.notices) for read in taken) >= _BUSY_NOTICES:
            self._busy_until = time.monotonic() + _BUSY_SECONDS
        return taken

    def _drain(self, connection: Connection, seconds: float) -> bool:
        """Wait for a message; return False if none came."""
        before = len(self._arrived)
        ends_at = time.monotonic() + seconds
        while len(self._arrived) == before and (left := ends_at - time.monotonic()) > 0:
            try:
                connection.drain_events(timeout=max(left, 0.001))
            except TimeoutError:
                return len(self._arrived) > before
        return len(self._arrived) > before

    def _connect(self) -> Connection:
        self._connection = connection = broker.connect()
        broker.declare(connection)
        consumer = Consumer(
            connection.channel(),
            queues=[broker.queue()],
            on_message=lambda message: self._arrived.append((datetime.now(UTC), message)),
            auto_declare=False,
            prefetch_count=_MOST_MESSAGES,
        )
        consumer.consume()
        self._fails, self._full_at = 0, time.monotonic()
        return connection

    def _put_off(self, error: Exception) -> None:
        if not self._fails:
            logger.warning(
                "the journal cannot be collected, notices wait in their queue; orders go on: %s: %s",
                *(type(error).__name__, error),
            )
        self._fails += 1
        self._close()
        self._stop.wait(min(2.0 ** (self._fails - 1), _LONGEST_WAIT_SECONDS))

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._arrived, self._taken = [], []
        self._full_at = time.monotonic()
        if connection is not None:
            with suppress(Exception):
                connection.collect(socket_timeout=1)


class _Rounds:
    """Rounds of the collector: write what has come, and from time to time look for what has not."""

    def __init__(self, connection: BaseDatabaseWrapper, post: _Post) -> None:
        self._connection, self._post = connection, post
        self._memory = Memory()
        self._looks_at = time.monotonic() + _EVERY_SECONDS
        self._watches_at = 0.0
        self._works_out_at = 0.0

    def go_round(self) -> None:
        """Do one round."""
        messages = self._post.take()
        for batch in _batches(messages):
            self._write(batch)
        self._post.settle()
        if time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + _EVERY_SECONDS
            self._look()
        if time.monotonic() >= self._watches_at:
            self._watches_at = time.monotonic() + _WATCHES_EVERY_SECONDS
            self._watch()

    def _watch(self) -> None:
        """Look for events that do not come in time; whatever keeps the watcher from it keeps no notice from being written."""
        try:
            watcher.watch(datetime.now(UTC))
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("the watcher failed, and looks again; the journal is written on")

    def _write(self, messages: Sequence[Sent]) -> None:
        """Write messages; if one cannot be written, all but that one."""
        try:
            writing.write(messages, self._memory)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            self._remember()
            if len(messages) == 1:
                logger.exception(
                    "the journal cannot write a message of %s and goes on without it", messages[0].name
                )
                return
            for message in messages:
                self._write([message])

    def _remember(self) -> None:
        """Read anew what is kept between batches, of which a failed one may have left half."""
        before, self._memory = self._memory, Memory()
        self._memory.offsets, self._memory.large = before.offsets, before.large | self._memory.large

    def _look(self) -> None:
        """Find processes that died, fill gaps, and work out anew the flows that new declarations or gaps concern."""
        now = datetime.now(UTC)
        if self._post.quiet_for > _QUIET_SECONDS:
            numbering.find_the_dead(now)
        filled = filling.fill_gaps(self._memory, now=now)
        self._memory.look_again()
        self._work_out_large(now)
        writing.refresh(filled.concerned, now=now, memory=self._memory)
        if self._memory.has_new_declarations:
            self._memory.has_new_declarations = False
            still_open = Flow.objects.exclude(state=Flow.State.DONE).values_list("pk", flat=True)
            writing.refresh(list(still_open), now=now, memory=self._memory)

    def _work_out_large(self, now: datetime) -> None:
        """Work out where the large flows stand that something was told of; that takes long, and at most a tenth of the time."""
        began = time.monotonic()
        if self._memory.large and began >= self._works_out_at:
            large, self._memory.large = self._memory.large, set()
            writing.refresh(large, now=now, memory=self._memory)
            self._works_out_at = began + 10 * (time.monotonic() - began)


def _batches(messages: Sequence[Sent]) -> list[list[Sent]]:
    """Return messages in batches of a bounded number of notices."""
    batches: list[list[Sent]] = []
    room = 0
    for message in messages:
        if room < len(message.notices) or not batches:
            batches.append([])
            room = _MOST_NOTICES
        batches[-1].append(message)
        room -= len(message.notices)
    return batches


def _read(message: Any, arrived_at: datetime, *, is_fresh: bool) -> Sent | None:
    try:
        return reading.message(message.body, arrived_at=arrived_at, is_fresh=is_fresh)
    except UnreadableMessageError as error:
        logger.warning("the journal passes over a message that no reporter has sent: %s", error)
        return None
