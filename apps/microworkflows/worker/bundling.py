"""Bundling in the worker: messages that wait while the pool is busy go to its next free process together, in one call.

A message that arrives while a process is free goes to it alone, at once: no message waits for others to arrive.
"""

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


class Bundler:
    """Bundles requests between Celery's consumer and its pool; called with each request for a process.

    A turn of the pool takes its share of the waiting requests, so that no process is idle while another has many.

    Args:
        controller: Celery's worker.
        process: Function that takes a request once a process is free for it.
    """

    def __init__(self, controller: Any, process: Process) -> None:
        self._controller = controller
        self._process = process
        self._turns = Turns.of(controller, process)
        self._waiting: deque[Request] = deque()
        self._asked = 0
        """Number of turns that were asked for and have not come."""

    def __call__(self, request: Request) -> None:
        """Hand a request to the pool, together with others if it may be bundled."""
        if self._turns is None or not self._may_be_bundled(request):
            self._process(request)
            return
        self._waiting.append(request)
        self._ask(self._turns)

    def clear(self) -> None:
        """Forget the waiting requests: their connection is lost, and so are the turns that were asked for."""
        self._waiting.clear()
        self._asked = 0

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
        turns.use(taken[0] if len(taken) == 1 else Bundle(taken))
        if self._waiting:
            self._ask(turns)


class Bundle:
    """Requests of one queue that a process does in one call.

    The outcome of the call is the outcome of each request, which is acked or goes back to its queue as if it were alone.
    """

    def __init__(self, requests: list[Request]) -> None:
        self._requests = requests

    def execute_using_pool(self, pool: Any) -> None:
        """Send the requests to the pool, as a single request sends itself.

        Raises:
            TaskRevokedError: all requests were revoked.
        """
        self._requests = [request for request in self._requests if not request.revoked()]
        if not self._requests:
            raise TaskRevokedError
        first = self._requests[0]
        events = [request.args[0] for request in self._requests]
        call: tuple[Any, ...] = (events,), {"queue": first.kwargs["queue"]}, {}
        result = pool.apply_async(
            celery_internals.tracer(first.app),
            args=(BUNDLE_TASK, first.id, {**first.request_dict, "task": BUNDLE_TASK}, call, None, None),
            accept_callback=self._each("on_accepted"),
            callback=self._each("on_success"),
            error_callback=self._on_failure,
            correlation_id=first.id,
        )
        for request in self._requests:
            celery_internals.remember_result(request, result)

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
