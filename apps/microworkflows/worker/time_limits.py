"""Time limits: after a hard one, the message goes to another process of the pool, which keeps the failure.

Celery would give it back to its queue, which redelivers it at once, to be killed again. Its parent process cannot keep the
failure itself: the database may let it wait.
"""

from collections.abc import Callable
from typing import Any

from billiard.exceptions import TimeLimitExceeded
from celery.signals import task_received
from celery.worker import state
from celery.worker.request import Request

from microworkflows import logs

logger = logs.logger(__name__)


class TimeLimitedRequest(Request):
    """Celery's request, which is done once more after a hard time limit; the task learns of the limit."""

    do_again: Callable[[Request], object] | None = None
    _was_killed = False

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Do the request again if its process is about to be killed; unless the worker itself ends, in a hurry."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if not isinstance(error, TimeLimitExceeded) or self.do_again is None or state.should_terminate:
            super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
            return
        self._was_killed = True
        self.kwargs["killed_after"] = error.args[0]
        state.task_ready(self)  # no process has it
        state.task_reserved(self)
        self.do_again(self)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Log the time limit, which billiard reports after the failure; Celery would give the message back."""
        if soft or not self._was_killed:
            super().on_timeout(soft, timeout)
        else:
            logger.warning("time limit of %g s exceeded by %s: its process is killed", timeout, self.name)


@task_received.connect
def _remember_how_to_do_again(sender: Any, request: Any, **_: Any) -> None:
    if isinstance(request, TimeLimitedRequest):
        request.do_again = sender.on_task_request  # with the request bound to it, it would be a cycle
