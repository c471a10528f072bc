"""Others' insides are as the kit believes: each private name exists, and does what is said of it."""

import inspect
import logging
import os
from struct import pack
from types import SimpleNamespace
from typing import Any
from unittest import mock

import amqp
import pytest
from amqp.channel import Channel
from billiard.pool import ApplyResult
from celery import Celery
from celery.app import trace
from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool
from celery.worker.components import Pool
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.worker import WorkController
from django.db import connection, transaction
from kombu import Consumer as KombuConsumer
from kombu import Exchange, Queue
from kombu.asynchronous.semaphore import LaxBoundedSemaphore
from kombu.transport import virtual

from microworkflows import on_commit
from microworkflows.relay import amqp_internals
from microworkflows.worker import celery_internals, wire
from microworkflows.worker.celery_internals import Turns


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


def test_frames_handler_asks_for_the_rest_after_properties_that_it_could_not_read() -> None:
    delivered: list[Any] = []
    connection = mock.Mock(bytes_recv=0)
    handle = wire.tolerant_frame_handler(connection, lambda *frame: delivered.append(frame[-1]))
    deliver = pack(">HH", 60, 60)
    sizes = pack(">HHQ", 60, 0, 2)

    for properties in (pack(">HB", 1 << 15, 2) + b"\xff\xfe", pack(">HB", 1 << 15, 2) + b"ab"):
        handle((1, 1, deliver))
        handle((2, 1, sizes + properties))
        handle((3, 1, b"{}"))
    handle((1, 1, deliver))
    handle((2, 1, pack(">HHQ", 60, 0, 0) + pack(">HB", 1 << 15, 1) + b"\xff"))

    first, second, empty = delivered
    assert [bytes(each.body) for each in delivered[:2]] == [b"{}", b"{}"]
    assert first.properties["content_type"].startswith("unreadable properties: UnicodeDecodeError")
    assert second.properties == {"content_type": "ab"}
    assert empty.properties["content_type"].startswith("unreadable properties: UnicodeDecodeError")


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
        on_commit.make_robust(connection)

    assert ran == ["second"]
    assert "on purpose" in caplog.text


def test_hooks_of_another_form_are_told_from_those_that_are_known() -> None:
    other: Any = SimpleNamespace(run_on_commit=[("sids", print)])

    assert not on_commit.can_be_made_robust(other)
    assert not on_commit.can_be_made_robust(SimpleNamespace())  # type: ignore[arg-type]
    assert not on_commit.is_registered(SimpleNamespace(), print)  # type: ignore[arg-type]
