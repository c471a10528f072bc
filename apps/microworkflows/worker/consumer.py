"""Celery's consumer, extended to event queues: a message there that is not an event becomes a dead letter."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from amqp.exceptions import PreconditionFailed
from celery.worker.consumer import Consumer
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection, Message
from vine import promise

from microworkflows import conf, logs, texts, topology
from microworkflows.errors import InvalidCloudEventError
from microworkflows.worker import admission, celery_internals
from microworkflows.worker.bundling import Bundler
from microworkflows.worker.dead_lettering import DeadLettering
from microworkflows.worker.delayed_delivery import OwnDelayedDelivery

logger = logs.logger(__name__)


class EventConsumer(Consumer):
    """Consumes the contexts' queues as event queues, and every other queue as Celery does."""

    task_consumer: Any
    connection_errors: tuple[type[BaseException], ...]
    controller: Any
    on_task_request: Callable[[Any], object]
    initial_prefetch_count: int
    prefetch_multiplier: int

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # a class, but the stubs say variable
        """Celery's steps, with delayed delivery for the project's own tasks only."""

        default_steps: ClassVar[list[Any]] = [
            OwnDelayedDelivery if str(step).endswith(":DelayedDelivery") else step
            for step in Consumer.Blueprint.default_steps
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._commands: deque[Callable[[], object]] = deque()
        self._dead_letters = DeadLettering(self)
        super().__init__(*args, **kwargs)
        self.on_task_request = self._bundler = Bundler(self.controller, self.on_task_request)
        self._prefetch_bundles()

    def connection_for_read(self, heartbeat: float | None = None) -> Connection:
        """Connect, and declare the topology before consuming; Celery also calls this at each reconnect."""
        connection = super().connection_for_read(heartbeat=heartbeat)
        try:
            with connection.channel() as channel:
                topology.declare(channel)
        except PreconditionFailed as error:
            raise ImproperlyConfigured(
                f"{error}. A queue or exchange of this name exists with other arguments. Let its messages drain, "
                "delete it, and start the worker again; or name another exchange in MICROWORKFLOWS['EXCHANGE'], "
                "or use another vhost."
            ) from error
        return connection

    def create_task_handler(self, promise: type[promise] = promise) -> Callable[[Message], None]:
        """Return Celery's handler of messages, with a door in front of it for event queues."""
        handle = super().create_task_handler(promise)
        event_queues = frozenset(topology.queues())
        self._warn_of_unknown_queues(event_queues)
        self._dead_letters.connect()

        def on_message(message: Message) -> None:
            queue = self._queue_of(message)
            if queue is None:
                message.requeue()  # it comes again when the queue is consumed again, here or elsewhere
                return
            if queue in event_queues:
                try:
                    admission.admit(message, queue=queue)
                except InvalidCloudEventError as error:
                    self._dead_letter(message, queue, error)
                    return
            handle(message)

        return on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep a message that Celery would ack: one whose body Kombu could not even decompress."""
        queue = self._queue_of(message)
        if queue is None:
            message.requeue()  # as above
            return
        if queue in topology.queues():
            self._dead_letter(message, queue, exc)
            return
        super().on_decode_error(message, exc)

    def on_close(self) -> None:
        """Forget the requests that came by the lost connection."""
        super().on_close()
        self._bundler.clear()
        self._dead_letters.clear()

    def call_soon(self, p: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Obey the commands of ``celery control`` in the order in which they came.

        Kombu's event loop keeps the functions to call soon in a set. Of commands that come together, or while another
        is obeyed, the last might run first: a queue cancelled and added again would stay cancelled, unnoticed.
        """
        self._commands.append(partial(p, *args, **kwargs))
        super().call_soon(self._obey)

    def _obey(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _prefetch_bundles(self) -> None:
        """Prefetch enough for each process to do a bundle while its next one comes in."""
        bundle = conf.current().bundle
        consumes_events = not self.app.amqp.queues.consume_from.keys().isdisjoint(topology.queues())
        wanted = 2 * bundle if bundle > 1 and self.initial_prefetch_count and consumes_events else 0
        if wanted > self.prefetch_multiplier:
            self.initial_prefetch_count = self.initial_prefetch_count // self.prefetch_multiplier * wanted
            self.prefetch_multiplier = wanted

    def _warn_of_unknown_queues(self, event_queues: frozenset[str]) -> None:
        """Warn of misspelt contexts: Celery creates any queue that ``-Q`` names, and the worker would wait for ever."""
        known = event_queues | {queue.name for queue in self.app.conf.task_queues}
        for name in sorted(set(self.app.amqp.queues.consume_from) - known):
            logger.warning(
                "-Q names %r, which is not a context (%s): no event comes there",
                *(name, ", ".join(sorted(event_queues))),
            )

    def _queue_of(self, message: Message) -> str | None:
        """Return the queue that a message came from: AMQP names its consumer, the embedded broker its queue.

        Returns None if Celery has just cancelled that consumer, for example by ``celery control cancel_consumer``.
        """
        info = message.delivery_info
        if "queue" in info:
            return str(info["queue"])
        return celery_internals.queue_of_tag(self.task_consumer, info.get("consumer_tag"))

    def _dead_letter(self, message: Message, queue: str, error: Exception) -> None:
        logger.error(
            "dead letter in %s: %s (content type %s, %d bytes)",
            *(topology.dead_letter_name(queue), texts.line(error), texts.line(message.content_type)),
            len(message.body or b""),
            extra={"context": queue},
            exc_info=error,
        )
        self._dead_letters.refuse(message, queue=queue, error=error)
