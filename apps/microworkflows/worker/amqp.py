"""Celery's messages: sent once no guest of the core has refused the task, received as the wire's guard lets them."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from celery.app.amqp import AMQP, Queues
from kombu.utils.functional import maybe_list

from microworkflows import flows, topology
from microworkflows.worker import wire


class NamedQueues(Queues):
    """Celery's queues, in which a context's label stands for its queue's name at the broker: ``-Q`` and ``-X`` take both."""

    def select(self, include: Any) -> None:
        """Consume these queues only."""
        super().select(_at_broker(include))

    def deselect(self, exclude: Any) -> None:
        """Do not consume these queues."""
        super().deselect(_at_broker(exclude))


class GuardedAMQP(AMQP):
    """Celery's messages; a guest may refuse one, for example during a shadow run, which must have no effects."""

    queues_cls = NamedQueues

    def TaskConsumer(self, *args: Any, **options: Any) -> Any:  # noqa: N802  (Celery's name)
        """Return Celery's consumer of all queues, whose messages from event queues reach the door as they are."""
        consumer = super().TaskConsumer(*args, **options)
        event_queues = frozenset(topology.by_name())
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


def _at_broker(names: Any) -> list[str]:
    return [topology.resolve(name) for name in maybe_list(names) or ()]
