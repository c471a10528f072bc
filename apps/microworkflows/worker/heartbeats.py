"""The worker's heartbeats: while its consumer makes its rounds, a thread notes in the database that it lives.

A thread, because a database that is away must not hold up the consumer. In the worker and not in its relay, because a
worker may run without a relay, and a relay outlives its worker by seconds.

The pool forks beside the thread. Its connections stay open from heartbeat to heartbeat, since opening one takes locks that
a fork could copy; a forked process neither uses nor closes them, for the step holds on to them there, too.
"""

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from celery import Celery, bootsteps
from celery.worker import state
from django.db import Error, connections, router

from microworkflows import declared, flows, heartbeats, times, topology
from microworkflows.heartbeats import Process
from microworkflows.loads import Load, Loads
from microworkflows.models import Heartbeat
from microworkflows.relay import session
from microworkflows.relay.publisher import reason
from microworkflows.worker.strangers import Strangers

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_EVERY_SECONDS = heartbeats.EVERY.total_seconds()
_ROUND_SECONDS = 5.0
"""Age of the consumer's last round from which on it counts as stuck; a round takes two seconds at most."""

_STOP_SECONDS = 3.0
"""Longest time that a worker's stop waits for its last note."""

_BROKER_SECONDS = 5.0
_DECLARED_SECONDS = declared.EVERY.total_seconds()


class Heartbeats(bootsteps.StartStopStep):
    """Notes that a worker lives, at each event queue that it consumes, from its first round to its stop."""

    requires = (
        "celery.worker.components:Pool",
    )  # so it stops before the pool, which finishes what it has in hand

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._told_to_stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: Any) -> None:
        """Begin, unless the worker consumes no event queue."""
        queues = sorted(topology.among(worker.app.amqp.queues.consume_from))
        if queues:
            self._worker, self._heart = worker, _Heart(worker, queues)
            self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
            self._thread.start()

    def stop(self, worker: Any) -> None:
        """Note that the worker has stopped consuming. While the database is away, its heartbeats only grow old."""
        self._told_to_stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def terminate(self, worker: Any) -> None:
        """Do the same even if the worker has to hurry."""
        self.stop(worker)

    def _run(self) -> None:
        self._heart.prepare()
        due_at = 0.0
        while not self._told_to_stop.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if now >= due_at and now < self._worker.consumer.last_round_at + _ROUND_SECONDS:
                due_at = now + _EVERY_SECONDS
                self._heart.beat()
        self._heart.stop()


class _Heart:
    """Writes the heartbeats of one worker, over a database connection of the thread's own."""

    def __init__(self, worker: Any, queues: Sequence[str]) -> None:
        self._process = Process(
            worker=worker.hostname, host=platform.node(), pid=os.getpid(), started_at=times.now()
        )
        self._queues = queues
        self._loads = _Loads(worker.app)
        self._strangers = Strangers()
        self._has_beaten = self._fails = False
        self._declared_at = -inf

    def prepare(self) -> None:
        """Limit how long the thread's session waits for a server that is gone."""
        connection = connections[router.db_for_write(Heartbeat)]
        session.prepare(connection, name=f"heartbeats of {self._process.worker}")

    def beat(self) -> None:
        loads = self._loads.of(self._queues)
        handling = len(state.active_requests)
        self._has_beaten = True
        depths = {queue: load.depth for queue, load in loads.items()}
        self._write(lambda: self._note(loads, depths, handling))
        flows.beat(self._process.worker, depths=depths, handling=handling)

    def _note(self, loads: Mapping[str, Load], depths: Mapping[str, int | None], handling: int) -> None:
        heartbeats.note(self._process, depths=depths, handling=handling)
        if time.monotonic() > self._declared_at + _DECLARED_SECONDS:
            declared.note(topology.bindings(served=self._queues))
            self._declared_at = time.monotonic()
        self._strangers.look({queue: load.consumers for queue, load in loads.items()})

    def stop(self) -> None:
        if self._has_beaten:
            self._write(lambda: heartbeats.note_stop(self._process))
            flows.stopped(self._process.worker)
        self._close()
        self._loads.close()

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # whatever it is, the next beat may succeed
            if not self._fails or not isinstance(error, Error):
                logger.warning(
                    "could not note a heartbeat, so the worker is not seen; tries again every %d s: %s: %s",
                    *(_EVERY_SECONDS, type(error).__name__, error),
                    exc_info=not isinstance(error, Error),
                )
            self._fails = True
            self._close()
        else:
            self._fails = False

    def _close(self) -> None:
        connections[router.db_for_write(Heartbeat)].close()


class _Loads:
    """Asks the broker for the loads of queues; of a broker that does not answer, the consumer tells more."""

    def __init__(self, app: Celery) -> None:
        self._loads = Loads(app, seconds=_BROKER_SECONDS)

    def of(self, queues: Sequence[str]) -> dict[str, Load]:
        """Return the load of each queue."""
        try:
            return {queue: self._loads.of(topology.name(queue)) for queue in queues}
        except Exception as error:  # of whatever transport
            logger.warning("could not ask the broker for the depth of its queues: %s", reason(error))
            self.close()
            return dict.fromkeys(queues, Load())

    def close(self) -> None:
        self._loads.close()
