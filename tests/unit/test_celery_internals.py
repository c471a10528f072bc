"""Others' insides are as the kit believes: each private name exists, and does what is said of it."""

import inspect
import logging
import os
from importlib import import_module
from struct import pack
from types import SimpleNamespace
from typing import Any
from unittest import mock

import amqp
import pytest
from amqp import spec
from amqp.channel import Channel
from amqp.serialization import loads
from billiard import common
from billiard.einfo import ExceptionInfo
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from billiard.pool import ApplyResult
from celery import Celery
from celery.app import trace
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool
from celery.exceptions import WorkerShutdown, WorkerTerminate
from celery.signals import task_received
from celery.worker import state
from celery.worker.components import Pool
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.worker import WorkController
from django.db import connection, transaction
from kombu import Consumer as KombuConsumer
from kombu import Exchange, Message, Queue
from kombu.asynchronous.semaphore import LaxBoundedSemaphore
from kombu.transport import virtual

from microworkflows import on_commit
from microworkflows.relay import amqp_internals
from microworkflows.worker import celery_internals, connection_reuse, tasks
from microworkflows.worker.celery_internals import Turns
from microworkflows.worker.names import BUNDLE_TASK, TASK
from microworkflows.worker.time_limits import TimeLimitedRequest


class Controller(WorkController):
    """Celery's own worker, with Celery's own semaphore in front of a pool."""

    pool: Any
    _process_task: Any
    _process_task_sem: Any

    def __init__(self, processes: int) -> None:
        self.pool = SimpleNamespace(num_processes=processes)
        self.semaphore = LaxBoundedSemaphore(processes)
        self._quick_acquire, self._quick_release = self.semaphore.acquire, self.semaphore.release


def test_workers_pool_step_makes_turns_the_way_the_kit_takes_them() -> None:
    code = Pool.create.__code__

    assert {"_quick_acquire", "_quick_release", "_process_task_sem", "semaphore"} <= {*code.co_names}


def test_turn_is_taken_used_and_given_back() -> None:
    controller = Controller(1)
    turns = Turns.of(controller, controller._process_task_sem)
    assert turns is not None
    taken: list[str] = []
    request = mock.Mock()

    turns.ask(lambda: taken.append("first"))
    turns.ask(lambda: taken.append("second"))
    assert (turns.count, taken) == (1, ["first"]), "there is one process"
    turns.use(request)
    turns.give_back()

    request.execute_using_pool.assert_called_once_with(controller.pool)
    assert taken == ["first", "second"]


def test_pool_without_turns_has_none_and_nobody_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    controller = Controller(1)

    assert Turns.of(controller, controller._process_task) is None
    assert not caplog.records


@pytest.mark.parametrize("missing", celery_internals.CONTROLLER)
def test_bundling_is_off_with_one_warning_where_celery_lacks_a_hook(
    missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = {name: mock.Mock() for name in celery_internals.CONTROLLER if name != missing}
    controller = SimpleNamespace(pool=SimpleNamespace(num_processes=1), **names)

    with caplog.at_level(logging.WARNING):
        turns = Turns.of(controller, names.get("_process_task_sem", mock.Mock()))

    assert turns is None
    (record,) = caplog.records
    assert f"lacks worker.{missing}" in record.getMessage()


def test_bundling_is_off_where_requests_or_tracing_differ(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(trace, "fast_trace_task")
    monkeypatch.delattr(Request, "_already_revoked")
    controller = Controller(1)

    assert Turns.of(controller, controller._process_task_sem) is None
    assert "Request._already_revoked, celery.app.trace.fast_trace_task" in caplog.text


def test_tracer_is_the_function_that_celery_would_take() -> None:
    assert celery_internals.tracer(SimpleNamespace(use_fast_trace_task=True)) is trace.fast_trace_task
    assert celery_internals.tracer(SimpleNamespace(use_fast_trace_task=False)) is trace.trace_task_ret
    fresh: Any = Celery(set_as_current=False)
    assert fresh.use_fast_trace_task is False, "until a worker has set it up"


def test_request_keeps_its_result_weakly_and_tells_whether_it_was_revoked() -> None:
    request: Any = Request.__new__(Request)
    result = mock.Mock()

    celery_internals.remember_result(request, result)

    assert request._apply_result() is result, "terminate() and cancel() ask for it like this"
    assert celery_internals.is_revoked(request) is False
    request._already_revoked = True
    assert celery_internals.is_revoked(request) is True


def test_signal_that_ends_a_process_of_the_pool_is_told_from_a_tasks_own_exit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(common, celery_internals.ENDING, [False])

    assert not celery_internals.ends_process(SystemExit(3))
    assert not celery_internals.ends_process(KeyboardInterrupt())
    assert celery_internals.ends_process(WorkerShutdown(0))
    assert celery_internals.ends_process(WorkerTerminate(0))
    signal_handler: Any = vars(common)["_shutdown_cleanup"]
    with pytest.raises(SystemExit) as ended:
        signal_handler(0, None)
    assert celery_internals.ends_process(ended.value)


def test_celery_closes_connections_around_every_task_but_the_kits(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery(set_as_current=False)
    app.conf["CELERY_DB_REUSE_MAX"] = connection_reuse.REUSE
    fixup: Any = import_module("celery.fixups.django").DjangoWorkerFixup(app)
    running: Any = import_module("celery._state")._task_stack
    closed: list[str | None] = []
    monkeypatch.setattr(fixup, "_close_database", lambda: closed.append(running.top and running.top.name))

    for name in ("reports.print", TASK, BUNDLE_TASK, "reports.print"):
        running.push(SimpleNamespace(name=name))
        fixup.close_database()
        running.pop()
    fixup.close_database()

    assert closed == ["reports.print", "reports.print", None]


class Again:
    """A request of the receiving task as Celery's strategy makes it, for a pool that is a stand-in."""

    def __init__(self) -> None:
        app = Celery(set_as_current=False)
        self.pool = mock.Mock()
        self.consumer = mock.Mock()
        request_class: Any = import_module("celery.worker.request").create_request_cls(
            TimeLimitedRequest, tasks.receive, self.pool, "host", mock.Mock(enabled=False), app=app
        )
        self.request = request_class(
            SimpleNamespace(delivery_info={}, properties={}, headers={}, body=b"", payload={}),
            app=app,
            task=tasks.receive,
            headers={"id": "a", "task": TASK},
            body=([{"id": "a"}], {"queue": "desk"}, {}),
            decoded=True,
            on_ack=mock.Mock(),
            on_reject=mock.Mock(),
        )
        task_received.send(sender=self.consumer, request=self.request)

    def end(self, error: Exception) -> None:
        with pytest.raises(type(error)) as caught:
            raise error
        self.request.on_failure(ExceptionInfo((type(error), error, caught.tb)))


def test_request_that_a_time_limit_kills_is_done_again_with_the_limit() -> None:
    again = Again()

    again.end(TimeLimitExceeded(30.0))
    again.request.on_timeout(soft=False, timeout=30.0)
    again.request.execute_using_pool(again.pool)

    again.consumer.on_task_request.assert_called_once_with(again.request)
    again.request._on_ack.assert_not_called()
    again.request._on_reject.assert_not_called()
    _, _, _, (_, kwargs, _), *_ = again.pool.apply_async.call_args.kwargs["args"]
    assert kwargs == {"queue": "desk", "killed_after": 30.0}


def test_request_whose_process_died_or_whose_worker_hurries_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    died, hurried = Again(), Again()

    died.end(WorkerLostError("signal 9"))
    monkeypatch.setattr(state, "should_terminate", True)
    hurried.end(TimeLimitExceeded(30.0))

    for each in (died, hurried):
        each.consumer.on_task_request.assert_not_called()
        each.request._on_reject.assert_called_once()


def test_call_that_could_not_be_sent_is_forgotten_and_no_other() -> None:
    pool = mock.Mock(_cache={})
    sent: Any
    sent, unsent = (ApplyResult(pool._cache, None, correlation_id="a") for _ in range(2))
    writing: Any = AsynPool
    sent._payload = ()

    celery_internals.forget_call(SimpleNamespace(_pool=pool), "b")
    assert list(pool._cache.values()) == [sent, unsent]
    celery_internals.forget_call(SimpleNamespace(_pool=pool), "a")
    celery_internals.forget_call(SimpleNamespace(_pool=pool), "a")

    assert list(pool._cache.values()) == [sent]
    assert "_payload" in inspect.getsource(writing._create_write_handlers), (
        "what a call has once it is written"
    )
    assert TaskPool.on_start.__code__.co_names.count("_pool"), "where Celery keeps billiard's pool"


def test_file_of_a_process_that_the_pool_has_closed_is_made_anew() -> None:
    hub = mock.Mock()
    process: Any = SimpleNamespace(_popen=SimpleNamespace(sentinel=os.open(os.devnull, os.O_RDONLY)))
    pool: Any = AsynPool.__new__(AsynPool)
    pool._track_child_process(process, hub)
    pool._untrack_child_process(process, hub)
    assert vars(process)["_sentinel_poll"] is None

    celery_internals.forget_closed_sentinels(SimpleNamespace(_pool=SimpleNamespace(_pool=[process])))
    pool._track_child_process(process, hub)

    assert hub.add_reader.call_args.args[0] == process._sentinel_poll is not None
    os.close(process._sentinel_poll)
    os.close(process._popen.sentinel)


@pytest.mark.rabbitmq
def test_connection_that_is_hung_up_finds_itself_closed_and_one_that_is_not_open_stays_so(
    rabbitmq_vhost: str,
) -> None:
    from kombu import Connection

    with Connection(rabbitmq_vhost) as client:
        celery_internals.hang_up(client)
        assert not client.connected
        client.connect()

        celery_internals.hang_up(client)

        with pytest.raises(OSError, match=r"closed|reset"):
            client.drain_events(timeout=10)
        client.collect()


@pytest.mark.rabbitmq
def test_connection_tells_when_the_broker_blocks_it(rabbitmq_vhost: str) -> None:
    from kombu import Connection

    told: list[str] = []
    with Connection(rabbitmq_vhost) as client:
        client.connect()

        celery_internals.tell_when_blocked(client, told.append, lambda: told.append("goes on"))
        client.connection._on_blocked()
        client.connection._on_unblocked()

    assert len(told) == 2
    assert told[1] == "goes on"


def test_consumers_tags_lead_to_its_queues() -> None:
    exchange = Exchange("letters")
    queue = Queue("desk", exchange, routing_key="desk")
    channel = mock.Mock()
    channel.connection.client.declared_entities = set()
    consumer = KombuConsumer(channel, [queue], auto_declare=False, on_message=mock.Mock())

    consumer.consume()
    (tag,) = [call.kwargs["consumer_tag"] for call in channel.basic_consume.call_args_list]

    assert celery_internals.queue_of_tag(consumer, tag) == "desk"
    assert celery_internals.queue_of_tag(consumer, "another") is None


def test_consumer_has_what_the_event_consumer_replaces() -> None:
    names = {*Consumer.__init__.__code__.co_names}

    assert {"on_task_request", "initial_prefetch_count", "prefetch_multiplier"} <= names
    assert [step for step in Consumer.Blueprint.default_steps if str(step).endswith(":DelayedDelivery")]
    for name in ("call_soon", "connection_for_read", "create_task_handler", "on_decode_error", "on_close"):
        assert callable(getattr(Consumer, name))


def test_embedded_brokers_base_counts_deliveries_as_its_prefetch_expects() -> None:
    qos: Any = virtual.QoS(mock.Mock(do_restore=False), prefetch_count=2)

    qos.append(mock.Mock(), "1")
    qos.append(mock.Mock(), "2")
    qos.ack("1")

    assert len(qos._delivered) - len(qos._dirty) == 1


@pytest.mark.rabbitmq
def test_amqp_channel_takes_frames_and_tells_outcomes(rabbitmq_vhost: str) -> None:
    from kombu import Connection

    told: list[tuple[int, bool]] = []
    with Connection(rabbitmq_vhost) as client:
        channel: Any = client.channel()
        assert isinstance(channel, Channel)
        channel.confirm_select()
        amqp_internals.on_outcome(
            channel,
            ack=lambda tag, multiple: told.append((tag, multiple)),
            nack=mock.Mock(),
            returned=mock.Mock(),
        )
        before = channel.connection.bytes_sent

        channel.basic_publish(amqp.Message("to nobody"), routing_key="nobody")
        client.drain_events(timeout=10)

        assert told == [(1, False)]
        assert amqp_internals.frame_max(channel) >= 4096
        assert amqp_internals.has_input(channel) is False
        amqp_internals.write(channel, b"")
        assert channel.connection.bytes_sent > before
        said: list[str] = []
        amqp_internals.on_blocked(
            channel, blocked=lambda: said.append("blocked"), unblocked=lambda: said.append("unblocked")
        )
        channel.connection._callbacks[spec.Connection.Blocked]()
        channel.connection._callbacks[spec.Connection.Unblocked]()
        assert said == ["blocked", "unblocked"]


@pytest.mark.rabbitmq
def test_error_of_a_channel_can_be_contained_and_the_channel_goes_on(rabbitmq_vhost: str) -> None:
    from kombu import Connection

    closed: list[Exception] = []
    told: list[int] = []
    with Connection(rabbitmq_vhost) as client:
        channel: Any = client.channel()
        channel.confirm_select()
        amqp_internals.contain_errors(channel, closed.append)
        amqp_internals.on_outcome(
            channel, ack=lambda tag, multiple: told.append(tag), nack=mock.Mock(), returned=mock.Mock()
        )

        channel.basic_publish(amqp.Message("to no exchange"), exchange="nowhere", routing_key="nobody")
        client.drain_events(timeout=10)
        channel.confirm_select(nowait=True)
        channel.basic_publish(amqp.Message("to nobody"), routing_key="nobody")
        client.drain_events(timeout=10)

    (error,) = closed
    assert isinstance(error, amqp.NotFound)
    assert told == [1], "delivery tags begin anew"


def test_size_of_a_messages_header_is_that_of_its_properties() -> None:
    small, large = amqp.Message("x"), amqp.Message("x", application_headers={"a": "b" * 5_000})

    assert amqp_internals.header_size(small) < 100
    assert 5_000 < amqp_internals.header_size(large) < 5_100


@pytest.mark.django_db(transaction=True)
def test_hooks_for_after_the_commit_are_found_and_made_robust(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[str] = []

    def fails() -> None:
        raise ValueError("on purpose")

    def runs() -> None:
        ran.append("second")

    with transaction.atomic():
        transaction.on_commit(fails)
        transaction.on_commit(runs)
        assert on_commit.is_registered(connection, runs)
        assert not on_commit.is_registered(connection, lambda: None)
        assert on_commit.can_be_made_robust(connection)
        on_commit.make_robust(connection, lambda hook: hook)

    assert ran == ["second"]
    assert "on purpose" in caplog.text


def test_hooks_of_another_form_are_told_from_those_that_are_known() -> None:
    other: Any = SimpleNamespace(run_on_commit=[("sids", print)])

    assert not on_commit.can_be_made_robust(other)
    assert not on_commit.can_be_made_robust(SimpleNamespace())  # type: ignore[arg-type]
    assert not on_commit.is_registered(SimpleNamespace(), print)  # type: ignore[arg-type]


# The wire


def test_payload_that_a_message_is_given_is_its_payload() -> None:
    message = Message(body="no JSON", content_type="application/json")

    celery_internals.set_payload(message, {"task": "x"})

    assert message.payload == message.decode() == {"task": "x"}


@pytest.mark.parametrize(
    "properties",
    [
        {"content_type": b"\xff\xfe"},
        {"application_headers": {"x": 1}, "correlation_id": b"\xc3("},
    ],
)
def test_properties_that_cannot_be_read_are_told(properties: dict[str, Any]) -> None:
    amqp_internals.keep_unreadable_properties_from_raising()
    sent: Any = amqp.Message("body", **properties)
    header = pack(">HxxQ", 60, 4) + sent._serialize_properties()

    received: Any = amqp.Message()
    received.inbound_header(header)

    (unreadable,) = received.properties["application_headers"].items()
    assert unreadable[0] == amqp_internals.UNREADABLE
    assert len(received.properties) == 1
    assert received.body_size == 4


def test_headers_nested_without_end_are_told() -> None:
    amqp_internals.keep_unreadable_properties_from_raising()
    table = b""
    for _ in range(15_000):
        table = b"\x00F" + pack(">I", len(table)) + table
    header = pack(">HxxQH", 60, 4, 1 << 13) + pack(">I", len(table)) + table

    received: Any = amqp.Message()
    received.inbound_header(header)

    (unreadable,) = received.properties["application_headers"].items()
    assert unreadable[0] == amqp_internals.UNREADABLE
    assert len(received.properties) == 1


def test_properties_that_can_be_read_are_kept_whole() -> None:
    amqp_internals.keep_unreadable_properties_from_raising()
    amqp_internals.keep_unreadable_properties_from_raising()
    sent: Any = amqp.Message("body", content_type="x/y", application_headers={"x": {"y": [1]}})

    received: Any = amqp.Message()
    received.inbound_header(pack(">HxxQ", 60, 4) + sent._serialize_properties())

    assert received.properties == {"content_type": "x/y", "application_headers": {"x": {"y": [1]}}}


def test_delivery_whose_routing_key_cannot_be_read_is_refused_by_its_tag() -> None:
    def read(method: object, payload: bytes, content: str) -> None:
        loads("sLbss", payload, 4)  # as py-amqp does
        if content == "hostile":
            b"\xff".decode()  # as whoever is called with the message might

    channel, refused = SimpleNamespace(dispatch_method=read), []
    celery_internals.on_unreadable_delivery(
        channel, lambda channel, tag, error: refused.append((tag, type(error)))
    )

    def deliver(key: bytes, content: str = "content") -> None:
        arguments = b"\x03tag" + pack(">QB", 7, 0) + b"\x02ex" + bytes([len(key)]) + key
        channel.dispatch_method((60, 60), b"\0\0\0\0" + arguments, content)

    deliver(b"fine")
    assert refused == []
    deliver(b"\xff")
    assert refused == [(7, UnicodeDecodeError)]
    with pytest.raises(UnicodeDecodeError):
        deliver(b"fine", "hostile")
    assert len(refused) == 1
