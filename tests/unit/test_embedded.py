"""The embedded broker's rules, in one process."""

import errno
import fcntl
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.exceptions import ChannelError

from microworkflows import embedded
from microworkflows.embedded import channel as channel_module
from microworkflows.embedded import files, locks, messages, queues
from microworkflows.embedded.exchanges import Exchanges
from microworkflows.embedded.queues import FileQueue
from microworkflows.relay import publisher

EVENTS = Exchange("events", "topic")
ACCEPTED = "orders.order_accepted.v1"


@pytest.fixture(autouse=True)
def _registered() -> None:
    embedded.register()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "broker"


@pytest.fixture
def connection(folder: Path) -> Iterator[Any]:
    with _connect(folder) as connection:
        yield connection


@pytest.fixture
def channel(connection: Any) -> Any:
    return connection.channel()


@pytest.fixture
def payments(channel: Any) -> Any:
    return _declare(channel, "payments", ACCEPTED)


def _connect(folder: Path) -> Any:
    return Connection(f"embedded://{quote(str(folder))}")


def _declare(channel: Any, name: str, key: str, **arguments: Any) -> Any:
    queue: Any = Queue(name, EVENTS, routing_key=key, queue_arguments=arguments)(channel)
    queue.declare()
    return queue


def _publish(channel: Any, payload: object, key: str = ACCEPTED, exchange: str = "events") -> list[str]:
    names: list[str] = channel.Producer(serializer="json").publish(
        payload, exchange=exchange, routing_key=key
    )
    return names


def _drain(channel: Any, queue: str) -> list[Any]:
    taken = []
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        taken.append(message.payload)
    return taken


def _count(channel: Any, queue: str) -> int:
    count: int = channel.queue_declare(queue, passive=True).message_count
    return count


# The URL


@pytest.mark.parametrize("name", ["plain", "with space", "ümlaut", "a#b?c;d%e"])
def test_url_names_the_folder(tmp_path: Path, name: str) -> None:
    url = f"embedded://{quote(str(tmp_path / name))}"

    connection: Any
    with Connection(url) as connection:
        connection.connect()

        assert connection.transport.folder == tmp_path / name
        assert connection.as_uri() == url
        assert connection.clone().as_uri() == url


def test_celery_reads_the_url_and_leaves_out_what_needs_fanout(tmp_path: Path) -> None:
    app = Celery(broker=f"embedded://{tmp_path}/a b", set_as_current=False)

    connection: Any
    with app.connection_for_read() as connection:
        connection.connect()

        assert connection.transport.folder == tmp_path / "a b"
        assert not connection.supports_exchange_type("fanout")
        assert connection.supports_exchange_type("topic")


@pytest.mark.parametrize(
    "url",
    [
        "embedded://",
        "embedded:///",
        "embedded://host/folder",
        "embedded:///srv/a#b",
        "embedded:///srv/a?b",
        "embedded:///srv/a;b",
    ],
)
def test_url_that_does_not_name_one_folder_says_how_to_write_it(url: str) -> None:
    connection = Connection(url)

    with pytest.raises(embedded.BrokerFolderError, match="as in embedded:///srv") as caught:
        connection.transport.establish_connection()

    assert isinstance(caught.value, connection.connection_errors)


def test_folder_that_is_a_file_is_a_connection_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("")
    connection = _connect(tmp_path / "broker")

    with pytest.raises(embedded.BrokerFolderError, match=r"cannot use .*: correct the URL") as caught:
        connection.transport.establish_connection()

    assert isinstance(caught.value, connection.connection_errors)


def test_unwritable_folder_is_found_when_connecting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)

    with pytest.raises(embedded.BrokerFolderError, match=r"Permission denied.*owner and mode"):
        _connect(folder).transport.establish_connection()


def test_oserror_is_a_connection_error_so_that_workers_reconnect(connection: Any) -> None:
    assert issubclass(OSError, connection.connection_errors)
    assert connection.transport.driver_version()


def test_system_without_fcntl_is_told_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("microworkflows.embedded")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fcntl", None)

    with pytest.raises(ImportError, match="On Windows run it inside WSL, or use RabbitMQ"):
        __import__("microworkflows.embedded")


# Routing


def test_message_reaches_every_queue_that_is_bound_to_its_key(channel: Any) -> None:
    _declare(channel, "payments", ACCEPTED)
    _declare(channel, "audit", "orders.#")
    _declare(channel, "shipping", "inventory.*.v1")

    reached = _publish(channel, {"n": 1})

    assert reached == channel.route("events", ACCEPTED) == ["audit", "payments"]
    assert _drain(channel, "payments") == _drain(channel, "audit") == [{"n": 1}]
    assert _count(channel, "shipping") == 0


def test_nobody_listening_is_visible_before_and_after_publishing(channel: Any, payments: Any) -> None:
    assert channel.route("events", "orders.unheard.v1") == []
    assert _publish(channel, {}, "orders.unheard.v1") == []
    assert _count(channel, "payments") == 0


def test_binding_made_by_one_connection_is_seen_by_another(folder: Path, payments: Any) -> None:
    with _connect(folder) as other:
        assert other.channel().route("events", ACCEPTED) == ["payments"]


def test_exchange_that_nobody_declared_is_a_channel_error(channel: Any) -> None:
    with pytest.raises(ChannelError, match="404"):
        channel.route("nothing", ACCEPTED)
    with pytest.raises(ChannelError, match="404"):
        _publish(channel, {}, exchange="nothing")
    with pytest.raises(ChannelError, match="404"):
        channel.exchange_declare("nothing", passive=True)
    with pytest.raises(ChannelError, match="404"):
        channel.queue_bind("payments", "nothing", "key")


def test_declared_exchange_can_be_asked_for_and_declared_again(channel: Any, payments: Any) -> None:
    channel.exchange_declare("events", passive=True)
    channel.exchange_declare("events", "topic")

    assert channel.route("events", ACCEPTED) == ["payments"]


def test_exchange_keeps_its_type_for_everybody(folder: Path, payments: Any) -> None:
    with _connect(folder) as other, pytest.raises(ChannelError, match=r"406.*of type topic, not direct"):
        other.channel().exchange_declare("events", "direct")


def test_fanout_is_refused_with_the_reason(channel: Any) -> None:
    with pytest.raises(ChannelError, match="no fanout"):
        channel.exchange_declare("news", "fanout")


def test_direct_exchange_compares_the_whole_key(channel: Any) -> None:
    Queue("work", Exchange("work", "direct"), routing_key="work")(channel).declare()

    assert channel.route("work", "work") == ["work"]
    assert channel.route("work", "work.other") == []


def test_default_exchange_names_the_queue_and_creates_it(channel: Any) -> None:
    assert channel.route("", "payments.dead") == []

    assert _publish(channel, {"n": 1}, "payments.dead", exchange="") == ["payments.dead"]

    assert channel.route("", "payments.dead") == ["payments.dead"]
    assert _drain(channel, "payments.dead") == [{"n": 1}]


def test_unbinding_and_deleting_end_the_routing(channel: Any, payments: Any) -> None:
    _declare(channel, "audit", ACCEPTED)
    _declare(channel, "mirror", ACCEPTED)

    channel.queue_unbind("payments", "events", ACCEPTED)
    channel.queue_unbind("payments", "nothing", ACCEPTED)
    channel.queue_unbind("payments")
    channel.queue_delete("mirror")
    channel.queue_delete("mirror")

    assert channel.route("events", ACCEPTED) == ["audit"]
    assert list(channel.list_bindings()) == [("audit", "events", ACCEPTED)]

    channel.exchange_delete("events")

    assert channel.get_exchanges() == []
    assert channel.get_table("events") == []


def test_damaged_bindings_file_says_what_to_do(folder: Path, channel: Any, payments: Any) -> None:
    (folder / "bindings" / "events.json").write_text("{")

    with pytest.raises(embedded.BrokerFolderError, match="Restart the workers: they mend it"):
        channel.route("events", ACCEPTED)


@pytest.mark.parametrize("name", ["../../escape", "..", ".hidden", "a/b", "payments.dead", "ä b"])
def test_any_name_stays_inside_the_folder(tmp_path: Path, channel: Any, name: str) -> None:
    Queue(name, Exchange(name, "topic"), routing_key="k")(channel).declare()

    assert _publish(channel, {"n": 1}, "k", exchange=name) == [name]
    assert _drain(channel, name) == [{"n": 1}]
    assert channel.get_exchanges() == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["broker"]


def test_queue_needs_a_name(channel: Any) -> None:
    with pytest.raises(embedded.BrokerFolderError, match="needs a name"):
        _publish(channel, {}, "", exchange="")


# Queues


def test_queue_that_nobody_declared_is_not_there(channel: Any) -> None:
    with pytest.raises(ChannelError, match="404"):
        _count(channel, "payments")
    with pytest.raises(embedded.BrokerFolderError, match="not declared"):
        channel.basic_get("payments")


def test_count_includes_what_is_taken_until_it_is_acknowledged(channel: Any, payments: Any) -> None:
    for number in range(3):
        _publish(channel, {"n": number})
    message = payments.get()
    before = _count(channel, "payments")

    message.ack()

    assert (before, _count(channel, "payments")) == (3, 2)


def test_purge_spares_what_somebody_holds(channel: Any, payments: Any) -> None:
    for number in range(3):
        _publish(channel, {"n": number})
    held = payments.get()

    assert payments.purge() == 2

    assert _count(channel, "payments") == 1
    held.ack()
    assert _count(channel, "payments") == 0


def test_deleting_a_queue_takes_its_messages_along(folder: Path, channel: Any, payments: Any) -> None:
    _publish(channel, {"n": 1})
    _publish(channel, {"n": 2})
    held = payments.get()

    payments.delete(if_empty=True)
    assert _count(channel, "payments") == 2

    payments.delete()
    held.ack()  # too late, and no harm

    assert list((folder / "queues").iterdir()) == []


def test_messages_come_in_the_order_of_publishing(channel: Any, payments: Any) -> None:
    for number in range(200):
        _publish(channel, number)

    assert _drain(channel, "payments") == list(range(200))


def test_clock_that_jumps_back_does_not_reorder_a_publisher(
    channel: Any, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(channel, "first")
    monkeypatch.setattr(queues, "time", SimpleNamespace(time_ns=lambda: 5, monotonic=time.monotonic))
    _publish(channel, "second")

    assert _drain(channel, "payments") == ["first", "second"]


def test_failed_write_leaves_nothing_and_reaches_the_publisher(
    folder: Path, channel: Any, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="No space"):
        _publish(channel, {"n": 1})

    assert list((folder / "queues" / "payments").iterdir()) == []


def test_full_disk_does_not_stop_those_who_make_room(
    channel: Any, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    _publish(channel, {"n": 1})
    monkeypatch.setattr(os, "pwrite", full)

    assert _drain(channel, "payments") == [{"n": 1}]


def test_unfinished_file_of_a_killed_publisher_is_no_message_and_is_swept(folder: Path, channel: Any) -> None:
    _declare(channel, "payments", ACCEPTED)
    old = folder / "queues" / "payments" / ".old.tmp"
    new = folder / "queues" / "payments" / ".new.tmp"
    for path in (old, new):
        path.write_text('{"half')
    os.utime(old, (0, 0))

    assert _count(channel, "payments") == 0
    assert channel.basic_get("payments") is None
    assert not old.exists()
    assert new.exists()


def test_message_for_a_queue_that_was_deleted_meanwhile_is_kept(channel: Any, folder: Path) -> None:
    queue = FileQueue(folder, "payments")
    queue.declare()
    queue.delete()

    queue.put(b"{}")

    assert len(queue.messages()) == 1


def test_long_queue_is_listed_seldom(channel: Any, payments: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        _publish(channel, number)
    listings = 0
    whole = FileQueue.messages

    def counted(queue: FileQueue) -> list[str]:
        nonlocal listings
        listings += 1
        return whole(queue)

    monkeypatch.setattr(FileQueue, "messages", counted)
    monkeypatch.setattr(queues, "LISTING_SECONDS", 60)

    assert len(_drain(channel, "payments")) == 50

    assert listings == 2  # the second finds it empty


# Taking and settling


def test_taken_message_is_nobody_elses(folder: Path, channel: Any, payments: Any) -> None:
    _publish(channel, {"n": 1})
    payments.get()

    with _connect(folder) as other:
        assert other.channel().basic_get("payments") is None


def test_delivery_says_which_queue_it_comes_from_and_whether_it_came_before(
    channel: Any, payments: Any
) -> None:
    _publish(channel, {"n": 1})

    first = payments.get()
    first.requeue()
    second = payments.get()

    assert first.delivery_info == {
        "exchange": "events", "routing_key": ACCEPTED, "queue": "payments", "redelivered": False,
    }  # fmt: skip
    assert second.delivery_info["redelivered"] is True
    assert second.headers["x-delivery-count"] == 1
    assert second.payload == {"n": 1}


def test_requeued_message_is_first_again(channel: Any, payments: Any) -> None:
    for number in range(3):
        _publish(channel, number)
    payments.get().requeue()

    assert _drain(channel, "payments") == [0, 1, 2]


def test_closing_a_channel_gives_back_what_it_held(folder: Path, channel: Any, payments: Any) -> None:
    _publish(channel, {"n": 1})
    message = payments.get()

    channel.close()

    with _connect(folder) as other:
        again = other.channel().basic_get("payments")
        assert again.payload == {"n": 1}
        message.ack()  # the late ack of a delivery that is over settles nothing
        assert _count(other.channel(), "payments") == 1
        again.ack()
        assert _count(other.channel(), "payments") == 0


def test_closing_the_connection_gives_back_what_no_channel_accounts_for(
    folder: Path, connection: Any, channel: Any, payments: Any
) -> None:
    _publish(channel, {"n": 1})
    channel._get("payments")

    connection.release()

    assert len(locks._taken) == 0


def test_copies_in_two_queues_are_settled_apart(channel: Any, payments: Any) -> None:
    _declare(channel, "audit", ACCEPTED)
    _publish(channel, {"n": 1})

    one, other = channel.basic_get("payments"), channel.basic_get("audit")
    one.ack()

    assert one.delivery_tag != other.delivery_tag
    assert (_count(channel, "payments"), _count(channel, "audit")) == (0, 1)


def test_ack_that_the_disk_refuses_can_be_tried_again(
    channel: Any, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(channel, {"n": 1})
    message = payments.get()

    with monkeypatch.context() as patch:

        def refuse(_path: Path) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        patch.setattr(files, "remove_if_there", refuse)
        with pytest.raises(OSError, match="Read-only"):
            message.ack()

    message.ack()
    assert _count(channel, "payments") == 0


def test_prefetch_limits_what_is_held(connection: Any, channel: Any, payments: Any) -> None:
    for number in range(5):
        _publish(channel, number)
    held: list[Any] = []

    with connection.Consumer(payments, channel=channel, prefetch_count=2, on_message=held.append):
        _drain_events(connection)
        assert len(held) == 2

        held[0].ack()
        _drain_events(connection)
        assert len(held) == 3


def test_open_files_are_limited_where_prefetch_is_not(
    connection: Any, channel: Any, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "MOST_HELD", 3)
    for number in range(5):
        _publish(channel, number)
    held: list[Any] = []

    with connection.Consumer(payments, channel=channel, on_message=held.append):
        _drain_events(connection)

    assert len(held) == 3


def test_consumer_without_acks_removes_what_it_gets(connection: Any, channel: Any, payments: Any) -> None:
    _publish(channel, {"n": 1})
    got: list[Any] = []

    with connection.Consumer(payments, channel=channel, no_ack=True, on_message=got.append):
        _drain_events(connection)

    assert [message.payload for message in got] == [{"n": 1}]
    assert _count(channel, "payments") == 0


def test_ack_from_another_thread_ends_the_wait_for_room(connection: Any, channel: Any, payments: Any) -> None:
    connection.transport.polling_interval = 3600
    _publish(channel, 0)
    _publish(channel, 1)
    held: list[Any] = []

    with connection.Consumer(payments, channel=channel, prefetch_count=1, on_message=held.append):
        connection.drain_events(timeout=1)
        threading.Timer(0.05, held[0].ack).start()
        connection.drain_events(timeout=60)

    assert [message.payload for message in held] == [0, 1]


def _drain_events(connection: Any) -> None:
    while True:
        try:
            connection.drain_events(timeout=0.01)
        except TimeoutError:
            return


# Dead letters


def test_rejected_message_goes_to_the_dead_letters(channel: Any, payments: Any) -> None:
    _publish(channel, {"n": 1})

    payments.get().reject()

    assert _count(channel, "payments") == 0
    letter = channel.basic_get("payments.dead")
    assert letter.payload == {"n": 1}
    assert letter.headers["x-first-death-queue"] == "payments"
    assert letter.headers["x-first-death-reason"] == "rejected"


def test_declared_dead_letter_queue_is_used_by_whoever_rejects(folder: Path, channel: Any) -> None:
    _declare(channel, "payments", ACCEPTED, **{"x-dead-letter-routing-key": "graveyard"})
    _publish(channel, {"n": 1})

    with _connect(folder) as other:
        other.channel().basic_get("payments").reject()

    assert _drain(channel, "graveyard") == [{"n": 1}]


def test_dead_letter_exchange_routes_and_a_missing_one_loses_nothing(channel: Any) -> None:
    dead = Exchange("dead", "topic")
    Queue("graveyard", dead, routing_key="payments")(channel).declare()
    _declare(channel, "payments", ACCEPTED, **{"x-dead-letter-exchange": "dead"})
    _declare(channel, "shipping", ACCEPTED, **{"x-dead-letter-exchange": "nothing"})
    _publish(channel, {"n": 1})

    channel.basic_get("payments").reject()
    channel.basic_get("shipping").reject()

    assert _drain(channel, "graveyard") == _drain(channel, "shipping.dead") == [{"n": 1}]


def test_dead_letter_that_is_rejected_again_stays_in_its_queue(channel: Any) -> None:
    _publish(channel, {"n": 1}, "payments.dead", exchange="")

    channel.basic_get("payments.dead").reject()

    assert _drain(channel, "payments.dead") == [{"n": 1}]
    assert channel.route("", "payments.dead.dead") == []


@pytest.mark.parametrize(
    "damage",
    [b"", b"\n\n", b'{"half', b"\xff\xfe", b"[]", b"1", b'{"properties": {}}', b"[" * 100_000],
)
def test_damaged_file_becomes_a_dead_letter_and_the_next_is_delivered(
    folder: Path, channel: Any, payments: Any, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "queues" / "payments" / "0-damaged.json").write_bytes(damage)
    _publish(channel, {"n": 1})

    with caplog.at_level(logging.ERROR):
        assert _drain(channel, "payments") == [{"n": 1}]

    assert "0-damaged.json goes to the dead letters of payments" in caplog.text
    letter = channel.basic_get("payments.dead")
    assert (letter.body or b"") == damage.rstrip(b"\n")
    assert letter.headers["x-first-death-reason"] == "damaged"


def test_message_that_comes_too_often_becomes_a_dead_letter(
    channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _declare(channel, "payments", ACCEPTED, **{"x-delivery-limit": 2})
    _publish(channel, {"n": 1})

    for _ in range(3):
        channel.basic_get("payments").requeue()

    assert channel.basic_get("payments") is None
    assert "delivered 3 times" in caplog.text
    assert channel.basic_get("payments.dead").headers["x-first-death-reason"] == "delivery_limit"


def test_message_stays_takeable_when_its_dead_letter_cannot_be_written(
    folder: Path, channel: Any, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "queues" / "payments" / "0-damaged.json").write_bytes(b"x")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FileQueue, "put", refuse)
        with pytest.raises(OSError, match="No space"):
            channel.basic_get("payments")

    assert channel.basic_get("payments") is None
    assert channel.basic_get("payments.dead").body == b"x"


def test_redeclaring_without_arguments_keeps_them(folder: Path, channel: Any) -> None:
    _declare(channel, "payments", ACCEPTED, **{"x-delivery-limit": 2})

    channel.queue_declare("payments")

    assert FileQueue(folder, "payments").arguments() == {"x-delivery-limit": 2}


# Locks


def test_file_that_moved_between_opening_and_locking_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "message"
    path.write_text("")
    monkeypatch.setattr(fcntl, "lockf", lambda *_: path.rename(tmp_path / "elsewhere"))

    assert locks.take(path) is None
    assert locks.take(path) is None  # gone by now


def test_file_that_cannot_be_read_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FileQueue(tmp_path, "payments")
    (tmp_path / "queues").mkdir()
    queue.put(b"{}")

    with monkeypatch.context() as patch:

        def broken(*_arguments: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        patch.setattr(os, "pread", broken)
        with pytest.raises(OSError, match="Input/output"):
            queue.take()

    taken = queue.take()
    assert taken is not None
    taken.remove()


def test_settling_twice_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_text("")
    locks.take(path)

    locks.release(path)
    locks.release(path)
    locks.remove(path)

    assert path.exists()


def test_threads_that_bind_at_once_lose_no_binding(tmp_path: Path) -> None:
    (tmp_path / "bindings").mkdir()
    Exchanges(tmp_path).declare("events", "topic")
    names = [f"queue{number}" for number in range(20)]
    threads = [
        threading.Thread(target=Exchanges(tmp_path).bind, args=("events", ACCEPTED, name)) for name in names
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    exchange = Exchanges(tmp_path).get("events")
    assert exchange is not None
    assert sorted(queue for _, queue in exchange.bindings) == sorted(names)


def test_threads_never_take_the_same_message(folder: Path, channel: Any, payments: Any) -> None:
    for number in range(100):
        _publish(channel, number)
    taken: list[int] = []

    def consume() -> None:
        with _connect(folder) as own:
            taken.extend(_drain(own.channel(), "payments"))

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken) == list(range(100))


def test_body_that_is_no_message_is_told_apart(channel: Any) -> None:
    with pytest.raises(messages.DamagedMessageError):
        messages.decode(b"{}", channel)


@pytest.mark.parametrize(("mode", "folders", "written"), [(0o700, 0o700, 0o600), (0o755, 0o755, 0o644)])
def test_what_is_written_is_as_private_as_the_folder(
    folder: Path, mode: int, folders: int, written: int
) -> None:
    folder.mkdir()
    folder.chmod(mode)
    before = os.umask(0o022)
    try:
        with _connect(folder) as connection:
            _declare(connection.channel(), "payments", ACCEPTED)
            _publish(connection.channel(), {"n": 1})
    finally:
        os.umask(before)

    modes = {path: path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {folders}
    assert {mode for path, mode in modes.items() if path.is_file()} == {written}


def test_folder_that_is_made_is_private(folder: Path) -> None:
    with _connect(folder) as connection:
        connection.connect()

    assert folder.stat().st_mode & 0o777 == 0o700


def test_relay_learns_how_many_messages_wait_in_a_queue(connection: Any, payments: Any, channel: Any) -> None:
    asking = publisher._FilePublisher(connection)
    channel.basic_publish(
        channel.prepare_message("{}", properties={"delivery_mode": 2}), EVENTS.name, ACCEPTED
    )

    assert (asking.depth("payments"), asking.depth("nowhere")) == (1, 0)
