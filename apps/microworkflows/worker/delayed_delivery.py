"""Celery's delayed delivery, kept to the queues of the project's own tasks."""

from celery.worker.consumer import Consumer
from celery.worker.consumer.delayed_delivery import DelayedDelivery

from microworkflows import topology


class OwnDelayedDelivery(DelayedDelivery):
    """Celery's delayed delivery, included only if it serves a queue of the project's own: it declares 28 queues.

    Because the contexts' queues are quorum queues, a worker sends each task with a countdown by it, unless the
    exchange of the task's queue is a direct one: such tasks wait in the worker.
    """

    def include_if(self, c: Consumer) -> bool:
        own = (queue for queue in c.app.amqp.queues.values() if queue.name not in topology.by_name())
        return super().include_if(c) and any(queue.exchange.type != "direct" for queue in own)
