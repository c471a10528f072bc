"""Bundling in the worker: messages that wait while the pool is busy go to its next free process together, in one call.

A message that arrives while a process is free goes to it alone, at once: no message waits for others to arrive.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from math import ceil
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated
from celery.exceptions import TaskRevokedError
from celery.worker import state
from celery.worker.request import Request

from microworkflows import conf, flows
from microworkflows.worker import celery_internals
from microworkflows.worker.celery_internals import Process, Turns
from microworkflows.worker.names import BUNDLE_TASK, TASK

logger = logging.getLogger(__name__)


class Bundler:
    """Bundles requests between Celery's consumer and its pool; called with each request for a process.

    A turn of the pool takes its share of the waiting requests, so that no process is idle while another has many.

    Args:
        controller: Celery's worker.
        process: Function that takes a request once a process is free for it.
        refuse: Function that makes a request which cannot be sent to the pool a dead letter, with the error.
    """

    def __init__(
        self,
        controller: Any,
        process: Process,
        *,
        refuse: Callable[[Request, Exception], None] = lambda request, _: request.reject(requeue=False),
    ) -> None:
        self._controller = controller
        self._process = process
        self._refuse = refuse
        self._turns = Turns.of(controller, process)
        self._waiting: deque[Request] = deque()
        self._held: list[Request] = []
        """Requests whose message a process has in hand already: a second process would only wait for the first."""
        self._in_line: dict[Request, float] = {}
        """Times at which the requests came that no process has taken yet, the oldest first."""
        self._asked = 0
        """Number of turns that were asked for and have not come."""

    def __call__(self, request: Request) -> None:
        """Hand a request to the pool, together with others if it may be bundled."""
        self._in_line[request] = time.monotonic()
        if self._turns is None or not self._may_be_bundled(request):
            if self._turns is not None and self._is_in_hand(request):
                self._held.append(request)
            else:
                self._do_alone(request)
            return
        self._waiting.append(request)
        self._ask(self._turns)

    def clear(self) -> None:
        """Forget the waiting requests: their connection is lost, and so are the turns that were asked for."""
        self._waiting.clear()
        self._held.clear()
        self._in_line.clear()
        self._asked = 0

    def let_go(self) -> None:
        """Do the requests that were held back, if their message is in hand no longer."""
        held, self._held = self._held, []
        for request in held:
            if self._is_in_hand(request):
                self._held.append(request)
            else:
                self._do_alone(request)

    def withdraw(self, *, before: float) -> list[Request]:
        """Withdraw the events that came before a time and that no process has taken yet; return their requests."""
        withdrawn = [
            request for request, since in self._in_line.items() if since < before and request.type == TASK
        ]
        for request in withdrawn:
            del self._in_line[request]
            request.acknowledged = True  # so it is skipped when its turn comes
            state.task_ready(request)
        self._waiting = deque(request for request in self._waiting if not request.acknowledged)
        self._held = [request for request in self._held if not request.acknowledged]
        return withdrawn

    @staticmethod
    def _is_in_hand(request: Request) -> bool:
        """Return True if a process handles an earlier delivery of this message, which came by a lost connection."""
        return bool(request.delivery_info["redelivered"]) and any(
            active.id == request.id for active in state.active_requests
        )

    def _may_be_bundled(self, request: Request) -> bool:
        """Return True if a process may do the request together with others.

        A message that was delivered before runs alone: it may have killed its process, and would take its neighbours
        along. So does a retried one, and one that comes by a queue of the router's. With time limits, which hold for
        one message, all run alone.
        """
        queue = request.kwargs.get("queue")
        return (
            request.type == TASK
            and conf.current().bundle > 1
            and not request.delivery_info["redelivered"]
            and request.kwargs.get("attempt") is None
            and not request.kwargs.get("last_delivery")
            and queue is not None
            and queue not in flows.router.queues()
            and not (self._controller.time_limit or self._controller.soft_time_limit)
            and not (request.task.time_limit or request.task.soft_time_limit)
        )

    def _ask(self, turns: Turns) -> None:
        if self._asked < turns.count:
            self._asked += 1
            turns.ask(lambda: self._take_turn(turns))

    def _take_turn(self, turns: Turns) -> None:
        """Give a free process its share of the waiting requests, from the queue that waits longest."""
        self._asked -= 1
        if not self._waiting:
            turns.give_back()
            return
        share = min(conf.current().bundle, ceil(len(self._waiting) / turns.count))
        queue = self._waiting[0].kwargs["queue"]
        taken: list[Request] = []
        left: deque[Request] = deque()
        for request in self._waiting:
            mine = len(taken) < share and request.kwargs["queue"] == queue
            (taken if mine else left).append(request)
        self._waiting = left
        for request in taken:
            self._in_line.pop(request, None)
        turns.use(Single(taken[0], self) if len(taken) == 1 else Bundle(taken, self._do_alone))
        if self._waiting:
            self._ask(turns)

    def _do_alone(self, request: Request) -> None:
        self._process(Single(request, self))

    def leave_line(self, request: Request) -> None:
        """Take note that a request's turn has come."""
        self._in_line.pop(request, None)

    def refuse(self, request: Request, error: Exception) -> None:
        """Give up a request that cannot be sent to the pool."""
        state.task_ready(request)
        self._refuse(request, error)


class Single:
    """A request that a process does by itself. If it cannot be sent there, that is its own fault, and no other's concern."""

    def __init__(self, request: Request, bundler: Bundler) -> None:
        self._request = request
        self._bundler = bundler

    def execute_using_pool(self, pool: Any) -> None:
        """Send the request to the pool.

        Raises:
            TaskRevokedError: it was revoked, withdrawn or refused; Celery then gives the turn back.
        """
        self._bundler.leave_line(self._request)
        if self._request.acknowledged:
            raise TaskRevokedError
        try:
            self._request.execute_using_pool(pool)
        except TaskRevokedError:
            raise
        except Exception as error:
            celery_internals.forget_call(pool, self._request.id)
            self._bundler.refuse(self._request, error)
            raise TaskRevokedError from error


class Bundle:
    """Requests of one queue that a process does in one call.

    The outcome of the call is the outcome of each request, which is acked or goes back to its queue as if it were alone.
    If they cannot be sent to a process together, each is sent alone.
    """

    def __init__(self, requests: list[Request], do_alone: Callable[[Request], None]) -> None:
        self._requests = requests
        self._do_alone = do_alone

    def execute_using_pool(self, pool: Any) -> None:
        """Send the requests to the pool, as a single request sends itself.

        Raises:
            TaskRevokedError: all requests were revoked, or each is sent alone; Celery then gives the turn back.
        """
        self._requests = [request for request in self._requests if not request.revoked()]
        if not self._requests:
            raise TaskRevokedError
        try:
            result = self._send(pool)
        except Exception as error:
            logger.warning(
                "%d messages cannot be sent to a process together, and each is sent alone: %s: %s",
                *(len(self._requests), type(error).__name__, error),
            )
            celery_internals.forget_call(pool, self._requests[0].id)
            for request in self._requests:
                self._do_alone(request)
            raise TaskRevokedError from error
        for request in self._requests:
            celery_internals.remember_result(request, result)

    def _send(self, pool: Any) -> Any:
        first = self._requests[0]
        events = [request.args[0] for request in self._requests]
        call: tuple[Any, ...] = (events,), {"queue": first.kwargs["queue"]}, {}
        return pool.apply_async(
            celery_internals.tracer(first.app),
            args=(BUNDLE_TASK, first.id, {**first.request_dict, "task": BUNDLE_TASK}, call, None, None),
            accept_callback=self._each("on_accepted"),
            callback=self._each("on_success"),
            error_callback=self._on_failure,
            correlation_id=first.id,
        )

    def _each(self, name: str) -> Callable[..., None]:
        def call(*args: Any, **kwargs: Any) -> None:
            # One that raises must not keep the others from their acks.
            with ExitStack() as stack:
                for request in self._requests:
                    stack.callback(getattr(request, name), *args, **kwargs)

        return call

    def _on_failure(self, error: ExceptionInfo, **kwargs: Any) -> None:
        """Tell each request; but if an operator revoked one and had its process ended, only that one has failed."""
        if isinstance(getattr(error.exception, "exc", error.exception), Terminated):
            for request in self._requests:
                if not celery_internals.is_revoked(request):
                    state.task_ready(request)
                    request.reject(requeue=True)
            return
        self._each("on_failure")(error, **kwargs)
