"""The request of an event: Celery's, whose failures stay its own, and which says calmly what comes again."""

import logging
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.signals import task_received
from celery.worker.request import Request

from microworkflows.worker import deaths
from microworkflows.worker.time_limits import TimeLimitedRequest

logger = logging.getLogger(__name__)

_DEATHS = (WorkerLostError, TimeLimitExceeded, MemoryError, SystemExit, KeyboardInterrupt)


class EventRequest(TimeLimitedRequest):
    """A delivered event on its way to the pool, and back to the broker."""

    give_up: Callable[[Request, Exception], object] | None = None
    """Makes the message a dead letter with a reason."""
    _error: BaseException | None = None

    def on_failure(self, exc_info: ExceptionInfo, *args: Any, **kwargs: Any) -> None:
        """Settle the message after a failure; whatever that raises itself must not end the worker."""
        try:
            error = getattr(exc_info.exception, "exc", exc_info.exception)
            # Only one that was delivered before, or is retried, surely had its process for itself; others may be bundled.
            was_alone = self.delivery_info["redelivered"] or self.kwargs.get("attempt") is not None
            if isinstance(error, _DEATHS) and was_alone:
                deaths.note(self.id)
            self._error = error
            if isinstance(error, WorkerLostError):
                # The pool has logged the death as an error; with return_ok, Celery does not do so again.
                logger.warning("a process was lost with %s, which comes again: %s", self.id, error)
                kwargs["return_ok"] = True
            super().on_failure(exc_info, *args, **kwargs)
        except Exception:
            logger.exception("the failure of %s could not be dealt with; the message comes again", self.name)
            self.reject(requeue=True)

    def acknowledge(self) -> None:
        """Ack the message, at once or as soon as the event loop is free."""
        if not self.acknowledged:
            self.on_ack(CALM, self.connection_errors)
            self.acknowledged = True

    def reject(self, requeue: bool = False) -> None:
        """Give the message back, or make it a dead letter."""
        if not self.acknowledged:
            if not requeue and self.give_up is not None and isinstance(self._error, Exception):
                self.give_up(self, self._error)
            else:
                self.on_reject(CALM, self.connection_errors, requeue)
            self.acknowledged = True
            self.send_event("task-rejected", requeue=requeue)


class _Calm:
    """Kombu's logger for a message that cannot be settled any more: nothing is wrong, for the broker has it back."""

    def critical(self, _: str, delivery_tag: object, error: object, **__: Any) -> None:
        logger.info(
            "delivery %s was given back when its connection was lost (%s); it comes again",
            *(delivery_tag, error),
        )


CALM: Any = _Calm()


@task_received.connect
def _remember_how_to_give_up(sender: Any, request: Any, **_: Any) -> None:
    if isinstance(request, EventRequest):
        request.give_up = sender.give_up
