"""Celery's consumer, extended to event queues: a message there that is not an event becomes a dead letter."""

import logging
import time
import warnings
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, ClassVar

from amqp.exceptions import PreconditionFailed
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection, Message
from vine import promise

from microworkflows import conf, logs, signals, texts, topology
from microworkflows.errors import ForeignQueueError, InvalidCloudEventError, TopologyError
from microworkflows.models import DeadLetter
from microworkflows.relay.publisher import reason
from microworkflows.worker import admission, celery_internals, deaths, renewing, watch, wire
from microworkflows.worker.bundling import Bundler
from microworkflows.worker.dead_lettering import DeadLettering
from microworkflows.worker.delayed_delivery import OwnDelayedDelivery
from microworkflows.worker.request import CALM

logger = logs.logger(__name__)

LONGEST_IN_LINE_SECONDS = 600.0
"""Longest time that an event waits in a worker for a process: a third of RabbitMQ's default consumer timeout."""

_LET_GO_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10
_ROUND_SECONDS = 1.0
_WORKS_SECONDS = 10.0
"""Time after which a connection counts as one that works."""


class EventConsumer(Consumer):
    """Consumes the contexts' queues as event queues, and every other queue as Celery does."""

    task_consumer: Any
    event_dispatcher: Any
    hub: Any
    connection_errors: tuple[type[BaseException], ...]
    channel_errors: tuple[type[BaseException], ...]
    controller: Any
    on_task_request: Callable[[Any], object]
    initial_prefetch_count: int
    prefetch_multiplier: int
    restart_count: int
    timer: Any
    last_round_at: float
    """Monotonic time at which its loop last came round: while it is stuck or without a broker, this grows old."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # a class, but the stubs say variable
        """Celery's steps, with delayed delivery for the project's own tasks only."""

        default_steps: ClassVar[list[Any]] = [
            OwnDelayedDelivery if str(step).endswith(":DelayedDelivery") else step
            for step in Consumer.Blueprint.default_steps
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._commands: deque[Callable[[], object]] = deque()
        self.last_round_at = -inf
        self._dead_letters = DeadLettering(self)
        self._renewer = renewing.Renewer(self)
        self.opening: Connection | None = None
        self.is_blocked = False
        self._failures = 0
        self._works_since: float | None = None
        super().__init__(*args, **kwargs)
        self.on_task_request = self._bundler = Bundler(
            self.controller, self.on_task_request, refuse=self._refuse
        )
        self._prefetch_bundles()
        if self.hub:
            self.timer.call_repeatedly(_ROUND_SECONDS, self._note_round)
            self.timer.call_repeatedly(LONGEST_IN_LINE_SECONDS / 10, self._give_back_in_time)
            self.timer.call_repeatedly(_LET_GO_SECONDS, self._bundler.let_go)

    def connection_for_read(self, heartbeat: float | None = None) -> Connection:
        """Connect, and declare the topology before consuming; Celery also calls this at each reconnect."""
        connection = self.opening = super().connection_for_read(heartbeat=heartbeat)
        try:
            with connection.channel() as channel:
                topology.declare(channel, served=topology.among(self.app.amqp.queues.consume_from))
        except PreconditionFailed as error:
            raise self._unusable(
                f"{error}. A queue or exchange of this name exists with other arguments. Let its messages drain, "
                "delete it, and start the worker again; or name another exchange in MICROWORKFLOWS['EXCHANGE'], "
                "or use another vhost."
            ) from error
        except (TopologyError, ForeignQueueError) as error:
            raise self._unusable(str(error)) from error
        return connection

    def _unusable(self, why: str) -> Exception:
        """Return the error that ends a worker at its start, where somebody looks; one that has worked connects again."""
        return ConnectionError(why) if self.restart_count > 0 else ImproperlyConfigured(why)

    def ensure_connected(self, conn: Connection) -> Connection:
        """Connect to the broker, and wait for it as long as it is away; every second of that is progress."""
        if self.first_connection_attempt and self.app.conf.broker_connection_retry_on_startup is False:
            conn.connect()
        else:
            conn.ensure_connection(
                lambda error, wait: self._waits_for_the_broker(conn, error, wait),
                interval_max=_LONGEST_WAIT_SECONDS,
                callback=self._is_waiting,
            )
        self.first_connection_attempt = False
        celery_internals.tell_when_blocked(conn, self.on_blocked, self.on_unblocked)
        return conn

    def on_blocked(self, why: str) -> None:
        """Take note that the broker takes no messages from one of the worker's connections."""
        self.is_blocked = True
        logger.warning(
            "the broker takes no messages from this worker until it has room again, and may take its acks late; "
            "nothing is lost: %s",
            why,
        )

    def on_unblocked(self) -> None:
        """Take note that it takes messages again."""
        self.is_blocked = False
        logger.info("the broker takes messages from this worker again")

    def _is_waiting(self) -> None:
        watch.progress()
        state.maybe_shutdown()

    def _waits_for_the_broker(self, connection: Connection, error: Exception, wait: float) -> None:
        logger.warning(
            "waits for the broker at %s, tries again in %d s; nothing is lost: %s",
            *(connection.as_uri(), wait, reason(error)),
        )

    def open_connections(self) -> list[Connection]:
        """Return the connections at which the consumer may be waiting for the broker."""
        events = self.event_dispatcher and self.event_dispatcher.connection
        return [
            each for each in (self.connection, self.opening, self._dead_letters.connection, events) if each
        ]

    def create_task_handler(self, promise: type[promise] = promise) -> Callable[[Message], None]:
        """Return Celery's handler of messages, with a door in front of it for event queues."""
        handle = super().create_task_handler(promise)
        self._warn_of_unknown_queues()
        self._dead_letters.clear()
        self._works_since = time.monotonic()

        event_queues = topology.by_name()

        def on_message(message: Message) -> None:
            name = self._name_of_queue(message)
            if name is None:
                message.requeue()  # it comes again when the queue is consumed again, here or elsewhere
                return
            queue = event_queues.get(name)
            try:
                if queue is not None:
                    is_due = renewing.is_due(message)
                    admission.admit(message, queue=queue)
                    if is_due and not deaths.is_deadly(message.payload["id"]):
                        self._renew_soon(message, queue)
                        return
                handle(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:  # whatever a message does here, it must not end the worker
                self._give_up(message, name, error)

        return on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep a message that Celery would ack: one whose body Kombu could not even decompress."""
        name = self._name_of_queue(message)
        if name is None:
            message.requeue()  # as above
            return
        if (queue := topology.by_name().get(name)) is not None:
            self._dead_letter(message, queue, exc)
            return
        super().on_decode_error(message, exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of the connection on which Celery sends its monitoring events, as Celery lets go of the one it reads.

        It would close that one in due form, and wait for the answer of a broker that may never give it.
        """
        if (events := self.event_dispatcher) and events.connection:
            events.connection.collect()
        with warnings.catch_warnings():  # of what Celery 6 may do instead; no concern of who reads the log
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        # From now on, who still uses the worker's mailbox at the broker is most likely its own lost connection.
        warnings.filterwarnings("ignore", "A node named", UserWarning)
        self._wait_after_failures()

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Connect again after a while: the broker answers, but does not let the worker work, for example for lack of a right."""
        super().on_connection_error_before_connected(exc)
        self._wait_after_failures()

    def _wait_after_failures(self) -> None:
        """Wait ever longer from one failure to the next, unless the connection worked in between."""
        works_since, self._works_since = self._works_since, None
        if works_since is not None and time.monotonic() > works_since + _WORKS_SECONDS:
            self._failures = 0
        for _ in range(min(2**self._failures - 1, _LONGEST_WAIT_SECONDS)):
            self._is_waiting()
            time.sleep(1)
        self._failures = min(self._failures + 1, _LONGEST_WAIT_SECONDS)

    def perform_pending_operations(self) -> None:
        """Make one round of the loop that Celery uses where the transport has no event loop."""
        self._note_round()
        super().perform_pending_operations()

    def on_close(self) -> None:
        """Forget the requests that came by the lost connection."""
        super().on_close()
        self._bundler.clear()
        self._dead_letters.clear()
        self._renewer.clear()
        self.is_blocked = False

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

    def _note_round(self) -> None:
        watch.progress()
        self.last_round_at = time.monotonic()

    def _prefetch_bundles(self) -> None:
        """Prefetch enough for each process to do a bundle while its next one comes in."""
        bundle = conf.current().bundle
        consumes_events = topology.among(self.app.amqp.queues.consume_from)
        wanted = 2 * bundle if bundle > 1 and self.initial_prefetch_count and consumes_events else 0
        if wanted > self.prefetch_multiplier:
            self.initial_prefetch_count = self.initial_prefetch_count // self.prefetch_multiplier * wanted
            self.prefetch_multiplier = wanted

    def add_task_queue(self, queue: Any, *args: Any, **kwargs: Any) -> Any:
        """Begin to consume a queue, as ``celery control add_consumer`` asks; a context's label stands for its queue."""
        return super().add_task_queue(topology.resolve(queue), *args, **kwargs)

    def cancel_task_queue(self, queue: Any) -> None:
        """Consume a queue no more, as ``celery control cancel_consumer`` asks; a context's label stands for its queue."""
        super().cancel_task_queue(topology.resolve(queue))

    def _warn_of_unknown_queues(self) -> None:
        """Warn of misspelt contexts: Celery creates any queue that ``-Q`` names, and the worker would wait for ever."""
        known = {*topology.by_name(), *(queue.name for queue in self.app.conf.task_queues)}
        for name in sorted(set(self.app.amqp.queues.consume_from) - known):
            logger.warning(
                "-Q names %r, which is not a context (%s): no event comes there",
                *(name, ", ".join(sorted(topology.queues()))),
            )

    def _name_of_queue(self, message: Message) -> str | None:
        """Return the name of the queue that a message came from: AMQP names its consumer, the embedded broker its queue.

        Returns None if Celery has just cancelled that consumer, for example by ``celery control cancel_consumer``.
        """
        info = message.delivery_info
        if "queue" in info:
            return str(info["queue"])
        return celery_internals.queue_of_tag(self.task_consumer, info.get("consumer_tag"))

    def _refuse(self, request: Request, error: Exception) -> None:
        """Give up a request that cannot be sent to the pool."""
        why = f"the event cannot be sent to a process of the pool: {type(error).__name__}: {error}"
        self.give_up(request, InvalidCloudEventError(why), is_told=False)

    def give_up(self, request: Request, error: Exception, *, is_told: bool = True) -> None:
        """Make the message of a request a dead letter; Celery has told the failure of its task, unless it never ran."""
        message: Message = request.message
        self._give_up(message, self._name_of_queue(message) or "its queue", error, is_told=is_told)
        request.acknowledged = True

    def _give_up(self, message: Message, name: str, error: Exception, *, is_told: bool = False) -> None:
        """Make a message a dead letter of its queue; on a queue of the project's own, that is the queue's affair."""
        if (queue := topology.by_name().get(name)) is not None:
            self._dead_letter(message, queue, error, is_told=is_told)
            return
        logger.error("a message from %s is rejected: %s", name, error, exc_info=error)
        message.reject_log_error(CALM, self.connection_errors)

    def _renew_soon(self, message: Message, queue: str) -> None:
        """Replace a message by a copy; one that was renewed often becomes a dead letter instead."""
        wire.restore(message)
        if (times := renewing.renewals(message)) >= renewing.LIMIT:
            error = InvalidCloudEventError(
                f"In {times} copies, its worker was killed, or lost its connection, at each delivery of this message. "
                "Whether the message did it is not known. Look for the reason in the worker's log, then requeue it."
            )
            self._dead_letter(message, queue, error)
            return
        logger.warning(
            "message %s in %s came back often, though it killed few processes here or none; a copy with a new count takes its place",
            *(message.payload["id"], queue),
            extra={"context": queue},
        )
        self._renewer.replace(renewing.Copy(message, queue, times + 1))

    def _give_back_in_time(self) -> None:
        """Give back, as copies, the events that have waited long for a process here: another worker may have one free.

        The broker also closes the channel of a consumer that keeps a message for half an hour.
        """
        given_back = self._bundler.withdraw(before=time.monotonic() - LONGEST_IN_LINE_SECONDS)
        for request in given_back:
            message, queue = request.message, request.kwargs["queue"]
            wire.restore(message)
            self._renewer.replace(renewing.Copy(message, queue, renewing.renewals(message)))
        if given_back:
            logger.warning(
                "%d messages waited for a process for %d s and are given back: the steps in hand are slow, or wait",
                *(len(given_back), LONGEST_IN_LINE_SECONDS),
            )

    def _dead_letter(self, message: Message, queue: str, error: Exception, *, is_told: bool = False) -> None:
        logger.log(
            logging.WARNING if is_told else logging.ERROR,
            "dead letter in %s: %s (content type %s, %d bytes)",
            *(topology.dead_letter_name(queue), texts.line(error), texts.line(message.content_type)),
            len(message.body or b""),
            extra={"context": queue},
            exc_info=None if is_told else error,
        )
        wire.restore(message)
        self._dead_letters.refuse(message, queue=queue, error=error)
        signals.dead_lettered.send_robust(DeadLetter, queue=queue, error=str(error))
