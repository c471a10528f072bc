"""Several processes may relay a context: one of them at a time goes on with a replay."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection

from microworkflows.errors import PermanentError
from microworkflows.models import HistoryEntry, InboxEvent
from microworkflows.problems import replays
from microworkflows.problems.models import Replay
from tests.unit.problems.conftest import Fail

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

DESK = ["desk"]


@pytest.fixture
def replay(fail: Fail) -> Replay:
    rows = fail(PermanentError("torn"), 6)
    return replays.begin(rows[0].fingerprint or "", by="clerk", per_second=2)


@pytest.fixture
def relays() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def advance() -> int:
    try:
        return replays.advance(DESK)
    finally:
        connection.close()


def test_replay_that_another_relay_is_at_is_left_to_it(replay: Replay, database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1 FROM microworkflows_problems_replay FOR UPDATE")
        assert replays.advance(DESK) == 0

    assert replays.advance(DESK) == 2


def test_two_relays_together_keep_the_pace_and_replay_each_message_once(
    replay: Replay, relays: ThreadPoolExecutor
) -> None:
    brought = sum(future.result() for future in [relays.submit(advance) for _ in range(8)])

    entries = HistoryEntry.objects.filter(kind=HistoryEntry.Kind.REPLAYED)
    assert 2 <= brought < 6
    assert entries.count() == brought == InboxEvent.objects.waiting().count()


def test_message_that_a_worker_has_in_hand_is_left_to_it(replay: Replay, database_url: str) -> None:
    first = InboxEvent.objects.order_by("added")[0]

    with psycopg.connect(database_url) as worker:
        worker.execute("SELECT 1 FROM received WHERE id = %s FOR UPDATE", [first.pk])
        replays.advance(DESK)

    progress = replays.progress(replay)
    assert (progress.sent, progress.left, progress.to_come) == (1, 1, 4)
