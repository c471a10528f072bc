"""Bundles: messages that wait while the pool is busy go to its next free process together, in one call.

A message that comes while a process is free goes to it alone, at once: nothing waits for others to come.
"""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from math import ceil
from typing import Any
from weakref import ref

from billiard.einfo import ExceptionInfo
from billiard.exceptions import Terminated
from celery.app.trace import fast_trace_task, trace_task_ret
from celery.exceptions import TaskRevokedError
from celery.worker import state
from celery.worker.request import Request

from microworkflows import conf
from microworkflows.stamps import MONOLITH
from microworkflows.worker.serializer import TASK, TOGETHER


class Bundler:
    """Stands between Celery's consumer and its pool; called with each request that a process is to do.

    It takes turns of Celery's semaphore, of which each process of the pool has one. A turn takes its share of what
    waits, so that no process goes without while another has much before it.

    Args:
        controller: Celery's worker.
        process: Takes a request when a process is free for it.
    """

    def __init__(self, controller: Any, process: Callable[[Any], object]) -> None:
        self._controller = controller
        self._process = process
        self._waiting: deque[Request] = deque()
        self._turns = 0
        """How many were asked for and have not come."""

    def __call__(self, request: Request) -> None:
        """Let a request be done, with others where it may be."""
        if not self._may_be_bundled(request):
            self._process(request)
            return
        self._waiting.append(request)
        self._ask()

    def clear(self) -> None:
        """Forget what waits: the connection that it came by is lost, and so are the turns that were asked for."""
        self._waiting.clear()
        self._turns = 0

    def _may_be_bundled(self, request: Request) -> bool:
        """Tell whether others may be done with it.

        Not a message that was delivered before: it may have killed its process, and would take its neighbours along.
        Not one that is retried or that the monolith handles. And none where there are time limits, which are of one
        message, or where the pool has no processes whose turns could be taken.
        """
        return (
            request.type == TASK
            and conf.current().bundle > 1
            and not request.delivery_info["redelivered"]
            and request.kwargs.get("attempt") is None
            and not request.kwargs.get("last_delivery")
            and request.kwargs.get("context") not in {MONOLITH, None}
            and not (request.task.time_limit or request.task.soft_time_limit)
            and not (self._controller.time_limit or self._controller.soft_time_limit)
            and self._process == self._controller._process_task_sem  # noqa: SLF001  (as Celery's own pool step does)
        )

    def _ask(self) -> None:
        if self._turns < self._controller.pool.num_processes:
            self._turns += 1
            self._controller._quick_acquire(self._take_turn)  # noqa: SLF001  (Celery has no public way)

    def _take_turn(self) -> None:
        """Give a free process its share of what waits, of the context that waits longest."""
        self._turns -= 1
        if not self._waiting:
            self._controller._quick_release()  # noqa: SLF001
            return
        share = min(conf.current().bundle, ceil(len(self._waiting) / self._controller.pool.num_processes))
        context = self._waiting[0].kwargs["context"]
        taken: list[Request] = []
        left: deque[Request] = deque()
        for request in self._waiting:
            mine = len(taken) < share and request.kwargs["context"] == context
            (taken if mine else left).append(request)
        self._waiting = left
        self._controller._process_task(taken[0] if len(taken) == 1 else Bundle(taken))  # noqa: SLF001
        if self._waiting:
            self._ask()


class Bundle:
    """Requests of one context that a process does in one call.

    What becomes of the call becomes of each request: it is acked, or goes back to its queue, as if it had been alone.
    """

    def __init__(self, requests: list[Request]) -> None:
        self._requests = requests

    def execute_using_pool(self, pool: Any) -> None:
        """Send them to the pool, as a request does with itself.

        Raises:
            TaskRevokedError: all were revoked.
        """
        self._requests = [request for request in self._requests if not request.revoked()]
        if not self._requests:
            raise TaskRevokedError
        first = self._requests[0]
        events = [request.args[0] for request in self._requests]
        call: tuple[Any, ...] = (events,), {"context": first.kwargs["context"]}, {}
        app: Any = first.app
        result = pool.apply_async(
            fast_trace_task if app.use_fast_trace_task else trace_task_ret,
            args=(TOGETHER, first.id, {**first.request_dict, "task": TOGETHER}, call, None, None),
            accept_callback=self._each("on_accepted"),
            callback=self._each("on_success"),
            error_callback=self._on_failure,
            correlation_id=first.id,
        )
        for request in self._requests:
            request._apply_result = ref(result)  # type: ignore[attr-defined]  # noqa: SLF001  (as a request does)

    def _each(self, name: str) -> Callable[..., None]:
        def call(*args: Any, **kwargs: Any) -> None:
            # One that raises must not keep the others from their acks.
            with ExitStack() as stack:
                for request in self._requests:
                    stack.callback(getattr(request, name), *args, **kwargs)

        return call

    def _on_failure(self, error: ExceptionInfo, **kwargs: Any) -> None:
        """Tell each; but an operator who revoked one and had its process ended meant that one."""
        if isinstance(getattr(error.exception, "exc", error.exception), Terminated):
            for request in self._requests:
                if not request._already_revoked:  # type: ignore[attr-defined]  # noqa: SLF001  (Celery has no public way)
                    state.task_ready(request)
                    request.reject(requeue=True)
            return
        self._each("on_failure")(error, **kwargs)
