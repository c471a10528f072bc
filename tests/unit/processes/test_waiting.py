"""Waiting: time without progress is limited, and the work of started processes counts as progress, but not for ever."""

from types import SimpleNamespace

import pytest

from project.processes import waiting
from project.processes.waiting import NotYetError, eventually


class Clock:
    """A clock that only sleep moves; started processes compute for a share of the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.share = 0.0, 0.0
        # In this module alone: other threads of the run sleep, too.
        monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))
        monkeypatch.setattr(waiting, "_work", lambda: self.share * self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_wait_lasts_as_long_as_what_is_seen_changes(clock: Clock) -> None:
    assert eventually(lambda: clock.now >= 100, timeout=10, every=1, progress=lambda: clock.now // 5)


def test_wait_without_progress_ends_in_time_and_says_what_was_seen(clock: Clock) -> None:
    with pytest.raises(
        NotYetError, match=r"Waited for a sign through 10 s without progress; last seen: \[\]"
    ):
        eventually(list, timeout=10, every=1, what="a sign")

    assert clock.now == 10


def test_slow_machine_is_waited_for_but_an_endless_loop_is_not(clock: Clock) -> None:
    clock.share = 0.5
    assert eventually(lambda: clock.now >= 55, timeout=10, every=1)

    began = clock.now
    with pytest.raises(NotYetError):
        eventually(lambda: False, timeout=10, every=1)
    assert clock.now - began == 60


def test_processes_that_only_wait_are_no_progress(clock: Clock) -> None:
    clock.share = 0.05

    with pytest.raises(NotYetError):
        eventually(lambda: False, timeout=10, every=1)

    assert clock.now == 10
