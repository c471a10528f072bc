"""When the collector writes: at once where little happens, and once for all that several processes tell where much does."""

import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from microworkflows.journal import collecting
from microworkflows.journal.collecting import _Post
from microworkflows.journal.notices import Kind
from tests.unit.journal.messages import Speaker, at


class Scripted(_Post):
    """Takes messages with so many notices each, round by round, and notes how long it would have waited for the next one."""

    def __init__(self, *rounds: list[int]) -> None:
        super().__init__(threading.Event())
        self._script = [each for numbers in rounds for each in (*numbers, None)]
        self.waits: list[float] = []

    def _connect(self) -> Any:
        return object()

    def _drain(self, connection: Any, seconds: float) -> bool:
        self.waits.append(seconds)
        number = self._script.pop(0)
        if number is None:
            return False
        self._arrived.append(
            (datetime.now(UTC), SimpleNamespace(body=Speaker().writes(*[(Kind.ALIVE, at(1), {})] * number)))
        )
        return True


def test_round_after_a_full_one_waits_for_what_other_processes_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "_BUSY_SECONDS", 3_600.0)
    post = Scripted([3, 4], [60, 40], [1, 1])

    taken = [len(post.take()) for _ in range(3)]

    assert taken == [2, 2, 2]
    rest = collecting._REST_SECONDS
    assert post.waits[:7] == [0.5, rest, rest, 0.5, rest, rest, 0.5]
    assert all(3_000 < seconds <= 3_600 for seconds in post.waits[7:])


def test_where_little_happens_again_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "_BUSY_SECONDS", 0.0)
    post = Scripted([100], [1], [1])

    for _ in range(3):
        post.take()

    assert post.waits == [0.5, collecting._REST_SECONDS] * 3
