"""The embedded default, SQLite and a folder: the same relay, the same workers, no server."""

import json
import os
import signal
import sqlite3
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from microworkflows import dead_letters, embedded, topology
from microworkflows.cloudevents import CONTENT_TYPE
from tests.disks import on_small_disk
from tests.integration.support.probing import CREATE, cloud_event, declared
from tests.integration.support.processes import Launcher, exists, pause, pool_of, relays_of
from tests.integration.support.waiting import eventually

pytestmark = pytest.mark.acceptance

PENDING, RELAYED, SCHEDULED, HANDLED = 1, 2, 5, 2


class Files:
    """A database file and a broker's folder, with processes on both."""

    def __init__(self, folder: Path, template: Path) -> None:
        self._database = folder / "db.sqlite3"
        self._database.write_bytes(template.read_bytes())
        self.launch = Launcher(
            folder,
            database=f"sqlite:///{self._database}",
            broker=f"embedded://{folder / 'broker'}",
            MICROWORKFLOWS={"RELAY_BATCH": 10},
        )

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self._database, timeout=20)) as connection:
            return [row[0] for row in connection.execute(query)]

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self._database, timeout=20)) as connection:
            connection.execute(statement)
            connection.commit()

    def effects(self, workflow: str) -> list[str]:
        return self.rows(f"SELECT event_id FROM probe_effect WHERE workflow = '{workflow}'")

    def outbox(self, status: int) -> int:
        return int(self.rows(f"SELECT count(*) FROM published WHERE status = {status}")[0])

    def handled(self) -> int:
        return int(self.rows(f"SELECT count(*) FROM received WHERE status = {HANDLED}")[0])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database file with all tables, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    launch = Launcher(
        folder, database=f"sqlite:///{folder / 'db.sqlite3'}", broker=f"embedded://{folder / 'broker'}"
    )
    launch.run("migrate", "--verbosity", "0")
    with closing(sqlite3.connect(folder / "db.sqlite3")) as connection:
        connection.execute(CREATE)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.commit()
    return folder / "db.sqlite3"


@pytest.fixture
def files(template: Path, tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path, template)
    yield made
    made.launch.end()


def test_what_is_no_event_becomes_a_dead_letter_with_its_reason(files: Files, tmp_path: Path) -> None:
    embedded.register()
    worker = files.launch.worker("probe")
    with Connection(f"embedded://{tmp_path / 'broker'}") as connection:
        channel: Any = connection.channel()
        message = channel.prepare_message("no JSON {", content_type="text/plain", headers={"mine": 1})
        channel.basic_publish(message, exchange="", routing_key="probe")

        seen = eventually(lambda: channel.basic_get("probe.dead", no_ack=True), what="a dead letter")

    assert (seen.body, seen.content_type, seen.headers["mine"]) == (b"no JSON {", "text/plain", 1)
    assert "content type is 'text/plain'" in seen.headers[dead_letters.REASON]
    assert seen.headers[dead_letters.QUEUE] == "probe"
    assert worker.status is None
    files.launch.run("probe_record", "one", "--count", "1")
    eventually(lambda: len(files.effects("probe.answer")) == 1, what="the effect of an event")


def test_door_is_the_same_without_servers(files: Files, tmp_path: Path) -> None:
    embedded.register()
    worker = files.launch.worker("probe")
    nested = cloud_event(deep="@@").replace('"@@"', "[" * 500 + "]" * 500)
    bomb = zlib.compress(b" " * 200_000_000, 9)
    late = [cloud_event(number=number) for number in range(3)]
    refused: list[tuple[str | bytes, dict[str, Any]]] = [
        (nested, {}),
        (cloud_event(large="x" * 1_100_000), {}),
        (bomb, {"compression": "application/x-gzip"}),
        (json.dumps({**json.loads(cloud_event()), "correlationid": "\x1b" * 4_000}), {}),
    ]
    taken = zip(
        late,
        [{"eta": "2099-01-01T00:00:00Z"}, {"expires": "2000-01-01T00:00:00Z"}, {"x-delivery-count": "abc"}],
        strict=True,
    )
    with Connection(f"embedded://{tmp_path / 'broker'}") as connection:
        channel: Any = connection.channel()
        for body, headers in [*refused, *taken]:
            message = channel.prepare_message(body, content_type=CONTENT_TYPE, headers=headers)
            channel.basic_publish(message, exchange="", routing_key="probe")

        eventually(lambda: channel._size("probe.dead") == len(refused), what="the dead letters")

    eventually(
        lambda: set(files.effects("probe.answer")) == {json.loads(body)["id"] for body in late},
        what="the effects of the others",
    )
    assert worker.status is None


def test_timers_fire_once_and_not_early_without_servers_though_the_worker_is_killed(files: Files) -> None:
    worker = files.launch.worker("probe")
    files.launch.run("probe_record", "one", "--count", "20", "--later", "3", "--pause", "0.1")
    assert files.outbox(SCHEDULED) > 0
    worker.kill()

    files.launch.worker("probe")

    eventually(lambda: files.handled() == 20, what="every timer handled")
    assert len(set(files.effects("probe.answer"))) == 20
    assert files.outbox(RELAYED) == 20
    early = "SELECT count(*) FROM received JOIN published ON msg_id LIKE '%' || json_extract(published.body, '$.id')"
    assert files.rows(f"{early} WHERE received.added < published.added") == [0]


@pytest.mark.slow
def test_failures_have_one_owner_without_servers_too(files: Files, tmp_path: Path) -> None:
    embedded.register()
    files.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON received WHEN NEW.body LIKE '%refuse this row%' "
        "BEGIN SELECT RAISE(ABORT, 'refused on purpose'); END"
    )
    worker = files.launch.worker("probe", MICROWORKFLOWS={"RETRY_DELAY": 0.1, "MAX_ATTEMPTS": 2})
    bodies = [cloud_event(number=number) for number in range(6)]
    bodies.insert(
        2, cloud_event(behaviour="raise", file=str(tmp_path / "t"), times=9, padding="CancelledError")
    )
    bodies.insert(4, cloud_event(number=666, refused="refuse this row"))

    with Connection(f"embedded://{tmp_path / 'broker'}") as connection:
        channel: Any = connection.channel()
        for body in bodies:
            message = channel.prepare_message(body, content_type="application/cloudevents+json")
            channel.basic_publish(message, exchange="", routing_key="probe")
        dead = eventually(lambda: channel.basic_get("probe.dead", no_ack=True), what="a dead letter")

    assert '"number": 666' in dead.body.decode()
    eventually(lambda: files.handled() == 6, what="the others handled")
    eventually(lambda: files.rows("SELECT retry FROM received WHERE status = -1") == [2], what="a parked one")
    assert worker.status is None


def test_message_that_came_back_often_for_others_faults_is_handled(files: Files, tmp_path: Path) -> None:
    embedded.register()
    with Connection(f"embedded://{tmp_path / 'broker'}") as connection:
        channel: Any = connection.channel()
        with declared():
            topology.declare(channel)
        message = channel.prepare_message(cloud_event(), content_type=CONTENT_TYPE)
        channel.basic_publish(message, exchange="", routing_key="probe")
    for _ in range(
        topology.DELIVERY_LIMIT
    ):  # as by a worker that stops, or is killed, with the message in line
        with Connection(f"embedded://{tmp_path / 'broker'}") as connection:
            channel = connection.channel()
            assert channel.basic_get("probe") is not None

    worker = files.launch.worker("probe", "--no-relay")

    eventually(lambda: files.handled() == 1, what="the message handled")
    worker.says("a copy with a new count takes its place")
    assert files.rows("SELECT count(*) FROM received WHERE status = -1") == [0]


def test_second_relay_stands_by_until_the_leader_is_killed(files: Files) -> None:
    leader = files.launch.relay()
    standby = files.launch.relay(wait=False)
    files.launch.run("probe_record", "one", "--count", "100")
    eventually(lambda: files.outbox(RELAYED) > 0)
    standby.says(f"relay probe: stands by; process {leader.pid} on ")
    assert ": leads" not in standby.output

    leader.kill()

    standby.says(": leads")
    files.launch.run("probe_record", "two", "--count", "20")
    eventually(lambda: files.outbox(RELAYED) == 120)
    assert files.outbox(PENDING) == 0


def test_relay_on_a_full_disk_keeps_its_events_says_so_once_and_goes_on_once_there_is_room(
    files: Files, tmp_path: Path
) -> None:
    broker = tmp_path / "broker"
    broker.mkdir()
    files.launch.run("probe_record", "one", "--count", "40")
    command = [sys.executable, "-m", "django", "relay", "probe"]
    relay = files.launch.start(*on_small_disk(broker, *command, kib=128))
    relay.says("No space left on device")
    queues = Path(f"/proc/{relay.pid}/root{broker}/queues")
    relayed: dict[str, list[str]] = {"probe": [], "echo": []}

    def consumed() -> bool:
        for queue, ids in relayed.items():
            for path in sorted((queues / queue).glob("[!.]*.json")):
                message_id = json.loads(path.read_bytes())["properties"]["message_id"]
                if (
                    message_id not in ids
                ):  # the disk may be full for one queue only: then it comes to the other again
                    ids.append(message_id)
                path.unlink()
        return all(len(ids) == 40 for ids in relayed.values())

    pause(1.5)
    assert relay.output.count("waits for the broker") == 1
    assert files.outbox(PENDING) > 0
    eventually(consumed, what="the events, some at a time", progress=lambda: str(relayed))
    eventually(lambda: files.outbox(RELAYED) == 40, what="the marks")
    relay.says("goes on after")
    # Their ids are in the order of recording.
    assert relayed["probe"] == relayed["echo"] == sorted(set(relayed["probe"]))
    assert "Traceback" not in relay.output


def test_worker_is_seen_from_its_start_to_its_stop(files: Files) -> None:
    alive = "SELECT queue FROM microworkflows_heartbeat WHERE stopped_at IS NULL AND depth = 0 ORDER BY queue"
    worker = files.launch.worker("probe,echo", "--no-relay")

    eventually(lambda: files.rows(alive) == ["echo", "probe"], what="heartbeats")
    assert worker.stop() == 0, worker.output

    assert files.rows(alive) == []


@pytest.mark.slow
def test_flow_runs_through_the_embedded_broker_whatever_is_killed(files: Files) -> None:
    workers = [files.launch.worker("probe", "-c", "2", wait=False), files.launch.worker("echo", wait=False)]
    for worker in workers:
        worker.says(" ready.")
    recorder = files.launch.manage(
        "probe_record", "one", "--count", "120", "--behaviour", "emit", "--pause", "0.01"
    )
    eventually(lambda: len(files.effects("probe.answer")) > 10, timeout=40)

    os.kill(pool_of(workers[0].pid)[0], signal.SIGKILL)
    (relay,) = relays_of(workers[0].pid)
    os.kill(relay, signal.SIGKILL)
    eventually(lambda: len(files.effects("probe.answer")) > 30, timeout=40)
    workers[0].kill()
    files.launch.worker("probe", "-c", "2", wait=False)

    assert recorder.wait(timeout=60) == 0
    eventually(lambda: files.handled() == 3 * 120, timeout=60, what="everything handled")
    for workflow in ("probe.answer", "echo.hear", "echo.conclude"):
        assert len(files.effects(workflow)) == 120
    eventually(lambda: files.outbox(PENDING) == 0)
    assert not exists(relay)


def test_project_whose_times_have_no_zone_loses_nothing(files: Files) -> None:
    without_zones: dict[str, Any] = {"USE_TZ": False, "TIME_ZONE": "America/New_York"}
    worker = files.launch.worker("probe,echo", **without_zones)

    files.launch.run("probe_record", "here", "--count", "3", "--behaviour", "emit", **without_zones)

    eventually(lambda: len(files.effects("echo.conclude")) == 3, what="the effects of three flows")
    assert files.outbox(PENDING) == 0
    assert worker.stop() == 0
    assert "Traceback" not in worker.output
    # What a flow is about arrives with each of its events, at the last hop too.
    named = (
        "SELECT json_extract(body, '$.microworkflowsname') FROM received WHERE msg_id LIKE 'echo.conclude:%'"
    )
    assert sorted(files.rows(named)) == ["Q-000000", "Q-000001", "Q-000002"]


@pytest.mark.slow
def test_frozen_relay_and_pool_process_are_replaced(files: Files) -> None:
    worker = files.launch.worker("probe")
    files.launch.run("probe_record", "one", "--count", "1")
    eventually(lambda: len(files.effects("probe.answer")) == 1, what="the first event")
    frozen = {*relays_of(worker.pid), *pool_of(worker.pid)}
    assert len(frozen) == 2

    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    files.launch.run("probe_record", "two", "--count", "1")

    worker.says("shows no sign of life and is killed", timeout=120)
    eventually(lambda: len(files.effects("probe.answer")) == 2, what="the second event")
    assert "has been stopped for 30 s and is killed" in worker.output
    assert not any(map(exists, frozen))


@pytest.mark.slow
def test_context_that_listens_late_gets_both_versions_of_each_fact_and_acts_once(files: Files) -> None:
    before: dict[str, Any] = {"GUESTS": ["tests.integration.pricing"], "PRICING": 2}
    code = {**before, "BILLING": 2}
    files.launch.relay("pricing", **before)
    announce = (sys.executable, "-m", "tests.integration.pricing.announce", "0", "5")
    assert files.launch.start(*announce, **before).wait(timeout=120) == 0
    eventually(lambda: files.outbox(3) == 10, what="versions that nobody hears")
    files.launch.worker("billing", **code)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    said = files.launch.run(
        *("relay", "--again", "pricing.priced.v1", "pricing.priced.v2", "--to", "billing", "--since", since),
        **code,
    )

    assert "5 of 5 fed to billing." in said
    eventually(lambda: len(files.effects("billing.bill")) == 5, what="the effect of each fact")
    assert files.outbox(RELAYED) == 10
    assert files.handled() == 5
