"""The reporter: sends what a process tells, in numbered batches, from a thread that nothing waits for.

While the broker is away, the notices wait here, and beyond a bound the oldest go: the numbers show the collector how many.
"""

import atexit
import json
import logging
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Literal
from uuid import uuid4

from kombu import Connection, Producer

from microworkflows.cloudevents import Metadata
from microworkflows.journal import broker, conf
from microworkflows.journal.notices import VERSION, Kind, Sender, declarations, run_facts

logger = logging.getLogger(__name__)

ProcessKind = Literal["worker", "pool", "relay", "web"]
Make = Callable[..., Mapping[str, Any]]

EVERY_SECONDS = 1.0
"""Time between two messages of a process; also the duration from which on a run is told of while it lasts."""

ALIVE_SECONDS = 10.0
"""Longest time for which a process that lives says nothing."""

MOST_BUFFERED = 40_000
"""Number of notices that wait for a broker that is away."""

MOST_AT_ONCE = 20_000
"""Number of notices in a message."""

_MOST_TOLD = 50_000
"""Number of notices between two rounds of the thread: more can only come while it hangs."""
_MOST_BEFORE = 1_000
"""The same in a process that has not begun to report: it may yet, or it is a test."""
_STOP_SECONDS = 3.0
_LONGEST_WAIT_SECONDS = 30.0


class Run:
    """A run of a microworkflow, as a context in which it runs."""

    __slots__ = ("_runs", "began", "consumer", "is_told", "meta")

    def __init__(self, runs: "set[Run]", meta: Metadata, consumer: str) -> None:
        self._runs = runs
        self.meta, self.consumer = meta, consumer
        self.is_told = False
        self.began = 0.0

    def __enter__(self) -> None:
        self.began = time.time()
        self._runs.add(self)

    def __exit__(self, *_: object) -> None:
        self._runs.discard(self)


class Reporter:
    """Reports for one process, once that is known to be a worker, a relay or another part of the service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: list[tuple[Kind, float, Make, tuple[Any, ...]]] = []
        self._lost = 0
        self._runs: set[Run] = set()
        self._sender: Sender | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        # Everything below is the thread's.
        self._buffer: deque[tuple[int, str]] = deque()
        self._next = 0
        self._connection: Connection | None = None
        self._sent_at = 0.0
        self._wait_until = 0.0
        self._fails = 0

    @property
    def has_begun(self) -> bool:
        """True once the process has said what it is."""
        return self._sender is not None

    def begin(self, kind: ProcessKind, *, name: str, contexts: list[str] | None = None) -> None:
        """Say what this process is; what was told before is sent now, and the rest as it comes."""
        with self._lock:
            if self._sender is not None:
                self._sender["kind"], self._sender["name"] = kind, name
                self._sender["contexts"] = contexts or self._sender["contexts"]
                return
            self._sender = Sender(
                id=str(uuid4()),
                service=conf.service(),
                kind=kind,
                name=name,
                host=platform.node(),
                pid=os.getpid(),
                contexts=contexts or [],
                began_at=time.time(),
            )
            self._told.insert(0, (Kind.DECLARED, time.time(), declarations, ()))

    def tell(self, kind: Kind, make: Make, *args: Any) -> None:
        """Tell of something that happened now. The facts are made later, in the thread: ``make`` must be able to wait."""
        told = (kind, time.time(), make, args)
        with self._lock:
            if len(self._told) < (_MOST_BEFORE if self._sender is None else _MOST_TOLD):
                self._told.append(told)
            else:
                self._lost += 1
            if self._sender is not None and self._thread is None and not self._stop.is_set():
                self._thread = self._start()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, name="journal", daemon=True)
        thread.start()
        return thread

    def run(self, meta: Metadata, consumer: str) -> Run:
        """Return a context that tells of a run which takes long, while it lasts."""
        return Run(self._runs, meta, consumer)

    def end(self) -> None:
        """Say that the process ends, and send what is left, within a few seconds."""
        if self._sender is None or self._stop.is_set():
            return
        self.tell(Kind.STOPPED, dict)
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        else:
            self.go_round(ends=True)

    def _work(self) -> None:
        ends = False
        while not ends:
            ends = self._stop.wait(EVERY_SECONDS)
            try:
                self.go_round(ends=ends)
            except Exception:
                logger.exception("the journal's reporter failed; notices are missing, orders go on")
        self._close()

    def go_round(self, *, ends: bool = False) -> None:
        """Take in what was told, and send one message if there is anything to send."""
        self._tell_of_runs()
        self._take_in()
        now = time.monotonic()
        if not self._buffer and now >= self._sent_at + ALIVE_SECONDS:
            self._add(Kind.ALIVE, time.time(), {})
        while self._buffer and (now >= self._wait_until or ends):
            is_sent = self._send()
            if not (is_sent and ends):
                break

    def _tell_of_runs(self) -> None:
        long_ago = time.time() - EVERY_SECONDS
        for run in list(self._runs):
            if not run.is_told and run.began < long_ago:
                run.is_told = True
                self.tell(Kind.RECEIVED, run_facts, run.meta, run.consumer, run.began)

    def _take_in(self) -> None:
        with self._lock:
            told, self._told = self._told, []
            lost, self._lost = self._lost, 0
        for kind, at, make, args in told:
            try:
                self._add(kind, at, make(*args))
            except Exception:
                self._next += 1
                logger.exception("the journal cannot tell that something was %s", kind)
        self._next += lost
        while len(self._buffer) > MOST_BUFFERED:
            self._buffer.popleft()

    def _add(self, kind: Kind, at: float, facts: Mapping[str, Any]) -> None:
        self._buffer.append((self._next, json.dumps([kind, round(at, 6), facts], separators=(",", ":"))))
        self._next += 1

    def _send(self) -> bool:
        """Send the oldest notices; return False if the broker did not take them."""
        first = self._buffer[0][0]
        notices: list[str] = []
        for number, text in islice(self._buffer, MOST_AT_ONCE):
            if number != first + len(notices):
                break
            notices.append(text)
        head = {"version": VERSION, "process": self._sender, "sent_at": time.time(), "first": first}
        body = f'{json.dumps(head)[:-1]},"notices":[{",".join(notices)}]}}'
        try:
            self._publish(body)
        except Exception as error:  # of whatever transport
            self._put_off(error)
            return False
        for _ in notices:
            self._buffer.popleft()
        self._sent_at, self._fails = time.monotonic(), 0
        return True

    def _publish(self, body: str) -> None:
        if self._connection is None:
            self._connection = broker.connect(confirm_publish=True)
            broker.declare(self._connection)
        broker.make_room(self._connection)
        queue = broker.queue()
        with self._connection.channel() as channel:
            Producer(channel, auto_declare=False).publish(
                body,
                exchange=queue.exchange,
                routing_key=queue.routing_key,
                content_type="application/json",
                content_encoding="utf-8",
                declare=[],
            )

    def _put_off(self, error: Exception) -> None:
        if not self._fails:
            logger.warning(
                "the broker does not take the journal's notices, which wait; orders go on: %s: %s",
                *(type(error).__name__, error),
            )
        self._fails += 1
        self._wait_until = time.monotonic() + min(2.0**self._fails, _LONGEST_WAIT_SECONDS)
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.collect(socket_timeout=1)


current = Reporter()
"""This process's reporter."""

_inherited: list[Reporter] = []
"""Reporters of the processes that this one was forked from. They are kept, as whoever lets go of a connection closes it."""


def _begin_anew() -> None:
    global current
    _inherited.append(current)
    current = Reporter()


os.register_at_fork(after_in_child=_begin_anew)


@atexit.register
def _end() -> None:
    current.end()
