"""The embedded broker on a disk that is full, that refuses or that fails: a message is whole, or it was not confirmed."""

import errno
import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue

from microworkflows import embedded
from microworkflows.embedded.exchanges import Exchanges
from microworkflows.embedded.queues import FileQueue
from microworkflows.relay import leadership
from tests.disks import on_small_disk

EVENTS = Exchange("events", "topic")
KEY = "orders.order_accepted.v1"
SOURCES = Path(embedded.__file__).parents[2]

# Publishes ever larger messages until the disk takes no more; prints the sizes of those that were confirmed.
FILL = """
import resource, sys
from kombu import Connection
from microworkflows import embedded
embedded.register()
channel = Connection(f"embedded://{sys.argv[1]}").channel()
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for size in range(6012, 400_000, 6012):
    message = channel.prepare_message("x" * size, content_type="text/plain")
    try:
        channel.basic_publish(message, exchange="events", routing_key="orders.order_accepted.v1")
    except OSError as error:
        print(error)
        break
    print(size)
"""
# Fills a small disk, and then looks at what it holds.
ON_A_SMALL_DISK = f"""
import sys
from kombu import Connection, Exchange, Queue
from microworkflows import embedded
embedded.register()
channel = Connection(f"embedded://{{sys.argv[1]}}").channel()
Queue("payments", Exchange("events", "topic"), routing_key={KEY!r})(channel).declare()
exec({FILL!r})
while (got := channel.basic_get("payments", no_ack=True)) is not None:
    print(got.content_type, len(got.body))
"""


@pytest.fixture(autouse=True)
def _registered() -> None:
    embedded.register()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "broker"


@pytest.fixture
def channel(folder: Path) -> Iterator[Any]:
    with _connect(folder) as connection:
        channel = connection.channel()
        _declare(channel, "payments")
        yield channel


def _connect(folder: Path) -> Any:
    return Connection(f"embedded://{quote(str(folder))}")


def _declare(channel: Any, name: str, **arguments: Any) -> None:
    Queue(name, EVENTS, routing_key=KEY, queue_arguments=arguments)(channel).declare()


def _publish(channel: Any, text: str = "text") -> list[str]:
    message = channel.prepare_message(text, content_type="text/plain")
    queues: list[str] = channel.basic_publish(message, exchange="events", routing_key=KEY)
    return queues


def _drain(channel: Any, queue: str = "payments") -> list[str]:
    drained = []
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        drained.append(message.body.decode())
    return drained


def _run(*command: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    run = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


# Short writes


def test_message_that_the_disk_takes_half_of_is_not_confirmed(folder: Path, channel: Any) -> None:
    *confirmed, refusal = _run(sys.executable, "-c", FILL, str(folder), "20000")

    assert "File too large" in refusal
    assert str(folder / "queues" / "payments") in refusal
    assert [str(len(body)) for body in _drain(channel)] == confirmed
    assert confirmed


def test_message_for_a_full_disk_is_not_confirmed_and_those_before_it_are_whole(tmp_path: Path) -> None:
    written = _run(*on_small_disk(tmp_path, sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)))

    (refusal,) = [line for line in written if "No space left" in line]
    confirmed, found = written[: written.index(refusal)], written[written.index(refusal) + 1 :]
    assert found == [f"text/plain {size}" for size in confirmed]
    assert confirmed


def test_write_that_takes_a_few_bytes_at_a_time_is_gone_on_with(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))

    _publish(channel, "x" * 6012)

    assert _drain(channel) == ["x" * 6012]


# Each call that may fail, at each of its times

CALLS = (
    "open",
    "write",
    "fsync",
    "mkdir",
    "replace",
    "rename",
    "unlink",
    "remove",
    "pwrite",
    "pread",
    "stat",
    "fstat",
)


class Disk:
    """Fails the n-th of the calls of ``os`` that reach the disk, and each one after it if told so."""

    def __init__(self, patch: pytest.MonkeyPatch, *, fails_at: int, code: int, stays: bool) -> None:
        self.calls = 0
        self.failed: list[str] = []
        self._fails_at, self._code, self._stays = fails_at, code, stays
        for name in CALLS:
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._fails_at or (self._stays and self.calls > self._fails_at):
                self.failed.append(name)
                raise OSError(self._code, os.strerror(self._code))
            return function(*arguments, **options)

        return call


CODES = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]
EVERY = pytest.mark.parametrize("stays", [False, True], ids=["once", "from then on"])


def _each_failure(act: Callable[[], object], monkeypatch: pytest.MonkeyPatch, **how: Any) -> Iterator[Any]:
    """Fail the first call of an act, then the second, and so on; yield what it returned or raised, each time."""
    for number in itertools.count(1):
        with monkeypatch.context() as patch:
            disk = Disk(patch, fails_at=number, **how)
            try:
                outcome = act()
            except (OSError, embedded.BrokerFolderError) as error:
                outcome = error
        if not disk.failed:
            assert number > 3, "the calls that may fail were not found"
            return
        yield outcome


@EVERY
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_published_message_is_whole_in_every_queue_or_was_not_confirmed(
    channel: Any, monkeypatch: pytest.MonkeyPatch, code: int, stays: bool
) -> None:
    _declare(channel, "audit")
    for outcome in _each_failure(lambda: _publish(channel), monkeypatch, code=code, stays=stays):
        reached = {queue: _drain(channel, queue) for queue in ("payments", "audit")}

        if isinstance(outcome, OSError):
            # A fault that lasts leaves what it does not let be taken back: a duplicate, no half a message.
            assert {tuple(found) for found in reached.values()} <= {(), ("text",)}
            assert stays or not any(reached.values())
        else:
            assert outcome == ["audit", "payments"]
            assert reached == {"payments": ["text"], "audit": ["text"]}
        assert _drain(channel, "payments.dead") == [] if channel._has_queue("payments.dead") else True
        assert _publish(channel) == ["audit", "payments"]
        assert _drain(channel) == _drain(channel, "audit") == ["text"]


@EVERY
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_taken_message_is_delivered_again_or_settled(
    channel: Any, monkeypatch: pytest.MonkeyPatch, code: int, stays: bool
) -> None:
    def take_and_ack() -> None:
        if (message := channel.basic_get("payments")) is not None:
            message.ack()

    _publish(channel)
    for outcome in _each_failure(take_and_ack, monkeypatch, code=code, stays=stays):
        for tag in list(channel.transport.taken):
            channel.settle(tag, channel.put_back)
        channel._queue("payments").look_again()
        found = _drain(channel)

        assert found in ([], ["text"])
        assert found or not isinstance(outcome, OSError), "it was lost"
        _publish(channel)


@EVERY
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_rejected_message_is_in_its_queue_or_in_the_dead_letters(
    channel: Any, monkeypatch: pytest.MonkeyPatch, code: int, stays: bool
) -> None:
    channel._queue("payments.dead").declare()

    def take_and_reject() -> None:
        if (message := channel.basic_get("payments")) is not None:
            message.reject()

    _publish(channel)
    for _ in _each_failure(take_and_reject, monkeypatch, code=code, stays=stays):
        for tag in list(channel.transport.taken):
            channel.settle(tag, channel.put_back)
        channel._queue("payments").look_again()
        alive, dead = _drain(channel), _drain(channel, "payments.dead")

        assert {*alive, *dead} == {"text"}
        _publish(channel)


@EVERY
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_declaration_that_fails_leaves_what_was_declared_and_can_be_repeated(
    folder: Path, channel: Any, monkeypatch: pytest.MonkeyPatch, code: int, stays: bool
) -> None:
    numbers = itertools.count()

    def declare() -> None:
        own = channel.connection.client.channel()
        _declare(own, f"queue{next(numbers)}", **{"x-delivery-limit": 2})

    for outcome in _each_failure(declare, monkeypatch, code=code, stays=stays):
        assert "payments" in channel.route("events", KEY)
        _publish(channel)
        assert _drain(channel) == ["text"]
        if not isinstance(outcome, Exception):
            last = channel.route("events", KEY)[-1]
            assert FileQueue(folder, last).arguments() in ({}, {"x-delivery-limit": 2})

    declare()
    assert FileQueue(folder, f"queue{next(numbers) - 1}").arguments() == {"x-delivery-limit": 2}
    assert channel.route("events", KEY)[-1].startswith("queue")


# No room


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_worker_that_starts_on_a_full_disk_makes_room(
    folder: Path, channel: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _publish(channel)
    opened = os.open

    def full(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE or (flags & os.O_CREAT and not Path(path).exists()):
            raise OSError(code, os.strerror(code))
        return opened(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", full)

    with _connect(folder) as connection:
        own = connection.channel()
        _declare(own, "payments")

        assert _drain(own) == ["text"]


def test_refusal_of_the_disk_names_the_folder(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match=r"No space left on device: '.*/queues/payments'"):
        _publish(channel)


def test_relay_leads_though_the_disk_has_no_room_for_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(leadership, "own_name", full)
    leader, other = (leadership._FileLock(tmp_path / "db.sqlite3", "letters") for _ in range(2))

    assert (leader.acquire(), other.acquire()) == (True, False)
    other.stand_by()
    leader.release()
    assert other.acquire()
    other.release()


# What an earlier version left half written


@pytest.mark.parametrize("left", [0, 1, 30, 200, 500, -1])
def test_half_an_exchange_is_healed_by_whoever_declares_it(
    folder: Path, channel: Any, caplog: pytest.LogCaptureFixture, left: int
) -> None:
    names = [f"queue{number:02}" for number in range(20)]
    for name in names:
        _declare(channel, name)
    path = folder / "bindings" / "events.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    Queue("other", Exchange("others", "topic"), routing_key=KEY)(channel).declare()

    with pytest.raises(embedded.BrokerFolderError, match=r"events\.json is not what .* declare it again"):
        _publish(channel)
    assert channel.route("others", KEY) == ["other"]
    with caplog.at_level(logging.ERROR):
        _declare(channel, names[-1])

    healed = channel.route("events", KEY)
    known = [name for name in names if f'"{name}"\n  ]'.encode() in whole[:left]]
    assert set(healed) >= {*known, names[-1]}
    assert healed == _publish(channel)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert str(path) in line
    assert f"{len(set(healed) - {names[-1]})} bindings" in line or left == -1


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"7", b'{"x-delivery-limit": 2'])
def test_half_declared_arguments_are_healed_by_whoever_declares_the_queue(
    folder: Path, channel: Any, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    _declare(channel, "audit", **{"x-delivery-limit": 2})
    path = folder / "queues" / "audit" / ".arguments.json"
    path.write_bytes(content)

    assert _publish(channel) == ["audit", "payments"]
    assert _drain(channel) == ["text"]
    with pytest.raises(embedded.BrokerFolderError, match=r"arguments\.json is not what .* declare it again"):
        channel.basic_get("audit").reject()
    with caplog.at_level(logging.ERROR):
        _declare(channel, "audit", **{"x-delivery-limit": 3})

    assert json.loads(path.read_bytes()) == {"x-delivery-limit": 3}
    assert str(path) in caplog.text


def test_half_declared_arguments_are_forgotten_by_who_declares_none(folder: Path, channel: Any) -> None:
    path = folder / "queues" / "payments" / ".arguments.json"
    path.write_bytes(b"")

    channel.queue_declare("payments")

    assert FileQueue(folder, "payments").arguments() == {}


def test_exchange_that_is_healed_keeps_its_type(folder: Path) -> None:
    (folder / "bindings").mkdir(parents=True)
    exchanges = Exchanges(folder)
    exchanges.declare("events", "direct")
    path = folder / "bindings" / "events.json"
    path.write_bytes(path.read_bytes()[:-3])

    assert exchanges.declare("events", "topic").kind == "direct"


def test_exchange_that_is_healed_keeps_its_alternate_exchange(folder: Path) -> None:
    (folder / "bindings").mkdir(parents=True)
    exchanges = Exchanges(folder)
    exchanges.declare("payments.owner", "direct", "events")
    path = folder / "bindings" / "payments.owner.json"
    path.write_bytes(path.read_bytes()[:-3])

    assert exchanges.declare("payments.owner", "direct", "others").alternate == "events"
