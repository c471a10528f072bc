"""Celery's internals: every private name of Celery, Kombu and py-amqp that the worker relies on. No other module uses them.

Tests verify the description of each name. If one that bundling needs is missing, bundling is off, with a warning.
"""

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import ref

from amqp import spec
from amqp.serialization import loads
from billiard import common
from celery.app import trace
from celery.exceptions import WorkerShutdown, WorkerTerminate
from celery.worker.request import Request

logger = logging.getLogger(__name__)

Process = Callable[[Any], object]
"""Takes a request, or an object that executes like one, once a process of the pool is free for it."""

CONTROLLER = ("_process_task_sem", "_process_task", "_quick_acquire", "_quick_release")
"""Methods of Celery's worker: send a request to the pool in its turn, or at once; ask for a turn; give one back."""
REQUEST = ("_already_revoked", "_apply_result", "request_dict", "on_accepted", "on_success", "on_failure")
"""Attributes of Celery's requests: revocation by an operator, the pool's result, the message as sent, callbacks."""
ENDING = "_should_have_exited"
"""A list of billiard's with one flag: its signal handler sets it before it raises SystemExit in a process of the pool."""
TRACE = ("fast_trace_task", "trace_task_ret")
"""The functions with which a process of the pool runs a task."""


def ends_process(error: BaseException) -> bool:
    """Return True if the exception ends this process by the wish of Celery or of a signal, not of a task."""
    return isinstance(error, WorkerShutdown | WorkerTerminate) or bool(getattr(common, ENDING)[0])


class Turns:
    """The turns of a worker's pool: each of its processes has one, and a call takes one.

    Args:
        controller: Celery's worker, with a pool of processes.
    """

    def __init__(self, controller: Any) -> None:
        self._controller = controller

    @staticmethod
    def of(controller: Any, process: Process) -> "Turns | None":
        """Return the turns of a worker; None if its pool has none (solo, threads) or this Celery lacks a name.

        Args:
            controller: Celery's worker.
            process: The function that the worker gives its consumer for requests.
        """
        missing = [f"worker.{name}" for name in CONTROLLER if not hasattr(controller, name)]
        if (
            getattr(controller, "_process_task_sem", None) != process
            and "worker._process_task_sem" not in missing
        ):
            return None
        missing += [f"Request.{name}" for name in REQUEST if not hasattr(Request, name)]
        missing += [f"celery.app.trace.{name}" for name in TRACE if not hasattr(trace, name)]
        if missing:
            logger.warning(
                "this version of Celery lacks %s: each message is handled by itself, more slowly",
                ", ".join(missing),
            )
            return None
        return Turns(controller)

    @property
    def count(self) -> int:
        """Number of processes."""
        return int(self._controller.pool.num_processes)

    def ask(self, take: Callable[[], None]) -> None:
        """Call ``take`` once a process is free: now or later."""
        self._controller._quick_acquire(take)  # noqa: SLF001

    def give_back(self) -> None:
        """Give back a turn that is not needed."""
        self._controller._quick_release()  # noqa: SLF001

    def use(self, request: Any) -> None:
        """Do a request, or an object that executes like one, in the turn that was taken."""
        self._controller._process_task(request)  # noqa: SLF001


def tracer(app: Any) -> Callable[..., Any]:
    """Return the function with which a process of the pool runs a task of this app."""
    return trace.fast_trace_task if app.use_fast_trace_task else trace.trace_task_ret


def remember_result(request: Any, result: Any) -> None:
    """Keep the pool's result with a request, so that it can be terminated; by a weak reference, as Celery does."""
    request._apply_result = ref(result)  # noqa: SLF001


def forget_call(pool: Any, correlation_id: str) -> None:
    """Forget the last call if it could not be sent: billiard would wait for its outcome when the worker stops."""
    calls = getattr(getattr(pool, "_pool", None), "_cache", {})
    last = next(reversed(calls.values()), None)
    if last is not None and last.correlation_id == correlation_id and not hasattr(last, "_payload"):
        last.discard()


def pids(pool: Any) -> list[int]:
    """Return the ids of the processes of a pool; none if its workers are no processes."""
    processes = getattr(getattr(pool, "_pool", None), "_pool", ())
    return [process.pid for process in list(processes) if getattr(process, "pid", None)]


def forget_closed_sentinels(pool: Any) -> None:
    """Let the pool make new files to poll for processes whose old one it has closed, rather than fail at them.

    It closes the file when it sees that the process has ended. If the connection is lost before it has dealt with the
    death, it polls that file again with the next connection, and the worker ends with "file descriptor is None".
    """
    for process in getattr(getattr(pool, "_pool", None), "_pool", ()):
        if getattr(process, "_sentinel_poll", ...) is None:
            del process._sentinel_poll  # noqa: SLF001


def hang_up(connection: Any) -> None:
    """Shut the socket of a Kombu connection down, so that who waits at it is told that it is closed; never connect."""
    opened = getattr(connection, "_connection", None)
    transport = getattr(opened, "transport", None) or getattr(opened, "_transport", None)
    with suppress(OSError):
        if (sock := getattr(transport, "sock", None)) is not None:
            sock.shutdown(socket.SHUT_RDWR)


def tell_when_blocked(
    connection: Any, on_blocked: Callable[[str], None], on_unblocked: Callable[[], None]
) -> None:
    """Call functions when the broker blocks a Kombu connection for lack of memory or disk, and when it goes on."""
    opened: Any = getattr(connection, "_connection", None)
    if hasattr(opened, "on_blocked"):  # AMQP
        opened.on_blocked, opened.on_unblocked = on_blocked, on_unblocked


def is_revoked(request: Any) -> bool:
    """Return True if an operator revoked a request, by the last answer of ``request.revoked()``."""
    return bool(request._already_revoked)  # noqa: SLF001


def set_payload(message: Any, payload: Any) -> None:
    """Give a Kombu message a payload, which is then not read from its body."""
    message._decoded_cache = payload  # noqa: SLF001


def on_unreadable_delivery(channel: Any, refuse: Callable[[Any, int, Exception], None]) -> None:
    """Call ``refuse`` with channel, delivery tag and error where py-amqp cannot read a routing key or exchange.

    It would raise in the event loop, again at each delivery.
    """
    dispatch = channel.dispatch_method

    def dispatch_or_refuse(method: tuple[int, int], payload: Any, content: Any) -> Any:
        try:
            return dispatch(method, payload, content)
        except UnicodeDecodeError:
            if method != spec.Basic.Deliver:
                raise
            try:
                loads("sLbss", payload, 4)
            except UnicodeDecodeError as error:
                (_, tag), _ = loads("sL", payload, 4)
                refuse(channel, tag, error)
                return None
            raise  # what was called with the message raised it

    channel.dispatch_method = dispatch_or_refuse


def queue_of_tag(consumer: Any, tag: object) -> str | None:
    """Return the queue that a Kombu consumer consumes under a tag; None if that was cancelled."""
    tags: dict[str, str] = consumer._active_tags  # noqa: SLF001
    return next((queue for queue, known in tags.items() if known == tag), None)
