"""The embedded broker between real processes: publishers, consumers and Celery workers that are killed."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue

from microworkflows import embedded
from tests.integration.support.waiting import eventually

SOURCES = Path(embedded.__file__).parents[2]
EVENTS = Exchange("events", "topic")
PRELUDE = """
import os, sys, time
from kombu import Connection, Exchange, Queue
from microworkflows import embedded
embedded.register()
connection = Connection(os.environ["BROKER_URL"])
channel = connection.channel()
events = Exchange("events", "topic")
"""
# Each task writes a line before and after its work, so that a test sees what was begun and what was finished.
CELERY_APP = """
import os, time
from microworkflows import embedded
embedded.register()
from celery import Celery
app = Celery("scratch", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True, task_default_queue="work",
    broker_connection_retry_on_startup=True, worker_prefetch_multiplier=4, worker_lost_wait=0.5,
)

def write(what, number):
    log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{what} {number} {os.getpid()}\\n".encode())
    os.close(log)

@app.task(name="work")
def work(number, seconds=0.0):
    write("begun", number)
    time.sleep(seconds)
    write("done", number)
"""


class Processes:
    """Starts processes, each in a session of its own, and ends what is left of them."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "broker"
        self.log = tmp_path / "log"
        self._tmp_path = tmp_path
        self._started: list[subprocess.Popen[str]] = []

    def python(self, source: str) -> subprocess.Popen[str]:
        return self._start([sys.executable, "-c", PRELUDE + source], stdout=subprocess.PIPE)

    def worker(self, name: str, *options: str) -> subprocess.Popen[str]:
        (self._tmp_path / "scratch.py").write_text(CELERY_APP)
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "scratch",
            "worker",
            "-Q",
            "work",
            "-n",
            f"{name}@here",
        ]
        with (self._tmp_path / f"{name}.out").open("w") as output:
            return self._start([*command, "-c", "2", "-l", "INFO", *options], stdout=output)

    def output(self, name: str) -> str:
        return (self._tmp_path / f"{name}.out").read_text()

    def logged(self, what: str) -> Counter[int]:
        """Count how often each number was logged as `what`."""
        lines = [line.split() for line in self._lines()]
        return Counter(int(number) for kind, number, _ in lines if kind == what)

    def pids(self, what: str) -> list[int]:
        return [int(pid) for kind, _, pid in (line.split() for line in self._lines()) if kind == what]

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def _start(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(SOURCES), str(self._tmp_path)])
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "BROKER_URL": f"embedded://{self.folder}",
            "LOG": str(self.log),
        }
        environment.pop("DJANGO_SETTINGS_MODULE", None)  # the scratch app is none of Django's
        process = subprocess.Popen(
            command, env=environment, cwd=self._tmp_path, start_new_session=True, text=True,
            stderr=subprocess.STDOUT, **options,
        )  # fmt: skip
        self._started.append(process)
        return process


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()


@pytest.fixture
def channel(processes: Processes) -> Iterator[Any]:
    embedded.register()
    with Connection(f"embedded://{processes.folder}") as connection:
        yield connection.channel()


def _work_queue(channel: Any) -> None:
    Queue("work", Exchange("work", "direct"), routing_key="work")(channel).declare()


def _send_tasks(channel: Any, numbers: range, seconds: float = 0.0) -> None:
    producer = channel.Producer(serializer="json")
    for number in numbers:
        task = {"task": "work", "id": str(number)}
        producer.publish([[number, seconds], {}, {}], exchange="work", routing_key="work", headers=task)


def _left(channel: Any, queue: str) -> int:
    left: int = channel.queue_declare(queue, passive=True).message_count
    return left


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_message_of_a_killed_consumer_goes_to_the_next(processes: Processes, channel: Any) -> None:
    Queue("payments", EVENTS, routing_key="a")(channel).declare()
    channel.Producer().publish({"n": 1}, exchange="events", routing_key="a")
    holder = processes.python("channel.basic_get('payments'); print('taken', flush=True); time.sleep(60)")
    assert _said(holder) == "taken"
    assert channel.basic_get("payments") is None

    holder.kill()
    holder.wait()

    message = channel.basic_get("payments")
    assert message.payload == {"n": 1}
    assert message.delivery_info["redelivered"] is True


def test_forked_child_neither_holds_nor_drops_its_parents_lock(processes: Processes, channel: Any) -> None:
    Queue("payments", EVENTS, routing_key="a")(channel).declare()
    channel.Producer().publish({"n": 1}, exchange="events", routing_key="a")
    # Three children: one ends at once, one closes its connection first, one outlives its parent.
    parent = processes.python("""
message = channel.basic_get("payments")
if os.fork() == 0:
    os._exit(0)
if os.fork() == 0:
    message.ack()
    connection.release()
    os._exit(0)
os.wait(), os.wait()
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
""")
    child = int(_said(parent))

    while_parent_lives = channel.basic_get("payments")
    parent.kill()
    parent.wait()
    os.kill(child, 0)  # the child is still there
    after_it_died = channel.basic_get("payments")
    os.kill(child, signal.SIGKILL)

    assert while_parent_lives is None
    assert after_it_died.payload == {"n": 1}


def test_processes_that_bind_at_once_lose_no_binding(processes: Processes, channel: Any) -> None:
    binders = [
        processes.python(f"""

for number in range(15):
    Queue(f"queue{name}{{number}}", events, routing_key=f"key{{number}}")(channel).declare()
""")
        for name in "ab"
    ]

    assert [binder.wait() for binder in binders] == [0, 0]

    assert len(list(channel.list_bindings())) == 30
    assert channel.route("events", "key7") == ["queuea7", "queueb7"]


def test_readers_beside_writers_get_every_message_once_and_whole(processes: Processes, channel: Any) -> None:
    Queue("payments", EVENTS, routing_key="a")(channel).declare()
    writers = [
        processes.python(f"""
producer = connection.Producer(serializer="json")
for number in range(200):
    producer.publish({{"n": {start} + number, "pad": "x" * 20_000}}, exchange="events", routing_key="a")
""")
        for start in (0, 200)
    ]
    readers = [
        processes.python("""
numbers = []
while -1 not in numbers:
    message = channel.basic_get("payments")
    if message is None:
        time.sleep(0.002)
        continue
    numbers.append(message.payload["n"])
    message.ack()
print(*numbers, flush=True)
""")
        for _ in range(2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    for _ in readers:
        channel.Producer(serializer="json").publish({"n": -1}, exchange="events", routing_key="a")

    got = [int(number) for reader in readers for number in _said(reader).split()]

    assert sorted(got) == [-1, -1, *range(400)]
    assert _left(channel, "payments") == 0


def test_single_consumer_gets_a_publishers_messages_in_order(processes: Processes, channel: Any) -> None:
    Queue("payments", EVENTS, routing_key="a")(channel).declare()
    processes.python("""
producer = connection.Producer(serializer="json")
for number in range(300):
    producer.publish(number, exchange="events", routing_key="a")
""")
    got: list[int] = []

    def all_came() -> bool:
        while (message := channel.basic_get("payments", no_ack=True)) is not None:
            got.append(message.payload)
        return len(got) == 300

    eventually(all_came)

    assert got == list(range(300))


def test_killed_workers_lose_no_message(processes: Processes, channel: Any) -> None:
    _work_queue(channel)
    _send_tasks(channel, range(600), seconds=0.002)
    first, second = processes.worker("first"), processes.worker("second")
    eventually(lambda: len(processes.logged("done")) > 100)

    os.killpg(first.pid, signal.SIGKILL)  # the worker with its pool
    first.wait()
    processes.worker("third")
    before = len(processes.logged("done"))
    eventually(lambda: len(processes.logged("done")) > before + 100)
    second.kill()  # the worker alone; its pool may live on for a while
    second.wait()
    eventually(lambda: _left(channel, "work") == 0)

    assert set(processes.logged("done")) == set(range(600))
    assert [path.name for path in (processes.folder / "queues").iterdir()] == ["work"]
    assert list((processes.folder / "queues" / "work").iterdir()) == []


def test_task_whose_pool_process_is_killed_is_delivered_again(processes: Processes, channel: Any) -> None:
    _work_queue(channel)
    processes.worker("one")
    _send_tasks(channel, range(1), seconds=0.5)
    eventually(lambda: processes.logged("begun"))

    os.kill(processes.pids("begun")[0], signal.SIGKILL)
    eventually(lambda: _left(channel, "work") == 0)

    assert processes.logged("begun") == {0: 2}
    assert processes.logged("done") == {0: 1}


def test_worker_outlives_its_broker_folder_and_stops_cleanly(processes: Processes, channel: Any) -> None:
    _work_queue(channel)
    _send_tasks(channel, range(20))
    worker = processes.worker("one", "-P", "solo")  # Celery takes seconds to stop a pool on any polled broker
    eventually(lambda: _left(channel, "work") == 0)
    before = processes.output("one")

    processes.folder.rename(processes.folder.with_name("gone"))
    bindings = processes.folder / "bindings" / "work.json"
    eventually(lambda: bindings.exists() and channel.route("work", "work"))
    _send_tasks(channel, range(20, 40))
    eventually(lambda: _left(channel, "work") == 0)
    worker.terminate()

    assert worker.wait() == 0
    assert processes.logged("done") == Counter(range(40))
    assert f"embedded://{processes.folder}" in before
    assert not re.search("ERROR|CRITICAL|Traceback", before)
    assert "its folder" in processes.output("one").removeprefix(before)
