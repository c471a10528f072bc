"""Celery's messages: sent once no guest of the core has refused the task, received as the wire's guard lets them."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from celery.app.amqp import AMQP

from microworkflows import flows, topology
from microworkflows.worker import wire


class GuardedAMQP(AMQP):
    """Celery's messages; a guest may refuse one, for example during a shadow run, which must have no effects."""

    def TaskConsumer(self, *args: Any, **options: Any) -> Any:  # noqa: N802  (Celery's name)
        """Return Celery's consumer of all queues, whose messages from event queues reach the door as they are."""
        consumer = super().TaskConsumer(*args, **options)
        event_queues = frozenset(topology.queues())
        wire.guard(consumer, is_event_queue=lambda queue: queue is None or queue in event_queues)
        return consumer

    @cached_property
    def send_task_message(self) -> Callable[..., Any]:
        """Return Celery's function that sends a task message, with the guests before it."""
        send: Callable[..., Any] = super().send_task_message

        def guarded(producer: Any, name: str, message: Any, **options: Any) -> Any:
            flows.before_task(name)
            return send(producer, name, message, **options)

        return guarded
