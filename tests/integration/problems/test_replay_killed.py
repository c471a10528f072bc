"""A group of failures is replayed by real processes: paced, once each, though the relay is killed in the middle."""

import time
from pathlib import Path
from typing import Any

import pytest

from microworkflows import failures
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import HistoryEntry, InboxEvent
from microworkflows.problems import groups, replays
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.slow]

MENDED, HOPELESS, PER_SECOND = 12, 3, 4
SETTINGS: dict[str, Any] = {"GUESTS": ["microworkflows.problems"], "MICROWORKFLOWS": {"RELAY_POLL": 0.1}}


def mend(number: int) -> str:
    raise RuntimeError(f"failed on purpose, number {number}")


def park(number: int, *, behaviour: str) -> str:
    """Park a message, whose handler will behave so once it is replayed; return the event's id."""
    event = CloudEvent.from_json(cloud_event(behaviour=behaviour))
    try:
        mend(number)
    except RuntimeError as error:
        failures.keep("probe.answer", event, error)
    InboxEvent.objects.filter(msg_id=f"probe.answer:{event.meta.id}").update(
        status=InboxEvent.Status.PARKED, retry=10
    )
    return str(event.meta.id)


def test_replay_of_a_group_goes_on_when_the_relay_is_killed_and_handles_each_message_once(
    launch: Launcher, database: str, probe: None, tmp_path: Path
) -> None:
    # Every fifth fails again, at once.
    ids = [
        park(number, behaviour="refuse" if number % 5 == 4 else "ok") for number in range(MENDED + HOPELESS)
    ]
    hopeless = set(ids[4::5])
    (problem,) = groups.overview().groups
    assert problem.parked == MENDED + HOPELESS
    launch.worker("probe", "--no-relay")
    relay = launch.relay(**SETTINGS)

    began = time.monotonic()
    replay = replays.begin(problem.fingerprint, by="clerk", why="mended", per_second=PER_SECOND)
    eventually(lambda: replays.progress(replay).settled >= PER_SECOND, what="the first messages settled")
    relay.kill()
    relay.wait()
    left_by_the_killed = replays.progress(replay).to_come
    assert left_by_the_killed > 0
    launch.relay(**SETTINGS)

    def ended() -> bool:
        replay.refresh_from_db()
        return replay.ended_at is not None

    eventually(ended, what="the end of the replay")

    assert time.monotonic() - began > (MENDED + HOPELESS) / PER_SECOND - 2  # paced
    done = replays.progress(replay)
    assert (done.handled, done.failed, done.left) == (MENDED, HOPELESS, 0)
    assert sorted(effects()) == sorted(set(ids) - hopeless)  # a unique constraint forbids a second effect
    assert {str(row.event_id) for row in replays.failed_again(replay, most=10)} == hopeless
    entries = HistoryEntry.objects.filter(kind=HistoryEntry.Kind.REPLAYED)
    assert entries.count() == len(set(entries.values_list("msg_id", flat=True))) == MENDED + HOPELESS
    again = HistoryEntry.objects.filter(error__contains="refused on purpose")
    assert again.count() == HOPELESS
    assert {entry.worker.partition("@")[0] for entry in again} == {"probe0"}
    assert {entry.attempt for entry in again} == {1}
