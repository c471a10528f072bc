"""Sending of tasks: as Celery does it, once no guest of the core has refused the task."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from celery.app.amqp import AMQP

from microworkflows import flows


class GuardedAMQP(AMQP):
    """Celery's messages; a guest may refuse one, for example during a shadow run, which must have no effects."""

    @cached_property
    def send_task_message(self) -> Callable[..., Any]:
        """Return Celery's function that sends a task message, with the guests before it."""
        send: Callable[..., Any] = super().send_task_message

        def guarded(producer: Any, name: str, message: Any, **options: Any) -> Any:
            flows.before_task(name)
            return send(producer, name, message, **options)

        return guarded
