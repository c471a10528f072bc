"""The thread that purges: it tries again after errors, ends at once when told to, and rests where it is off."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connections

from microworkflows import purging
from microworkflows.models import purge as notes
from microworkflows.relay import purger, session

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that runs the loop here for some rounds, and returns how often it took its turn."""
    monkeypatch.setattr(connections, "close_all", lambda: None)
    monkeypatch.setattr(session, "prepare", lambda connection, name: None)

    def run(look: Callable[..., Any], *, rounds: int) -> int:
        stop, called = threading.Event(), []

        class Stop:
            def is_set(self) -> bool:
                return stop.is_set()

            def wait(self, seconds: float) -> bool:
                called.append(seconds)
                if len(called) >= rounds:
                    stop.set()
                return stop.is_set()

        monkeypatch.setattr(purger, "look", look)
        purger.run(Stop())  # type: ignore[arg-type]  # as much of an event as it asks
        return len(called)

    return run


def test_what_fails_is_told_and_tried_again(
    run: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    errors = iter([OperationalError("lock timeout\nDETAIL"), ValueError("a guest's"), None])

    def look(**_: object) -> None:
        if (error := next(errors)) is not None:
            raise error

    assert run(look, rounds=3) == 3
    assert "could not purge, and tries again later: OperationalError: lock timeout\n" in caplog.text
    assert "ValueError: a guest's" in caplog.text


def test_purge_under_way_ends_when_the_process_is_to_end(run: Callable[..., int]) -> None:
    def look(*, every: object, rest: purging.Rest) -> None:
        rest(3)
        raise AssertionError("it goes on")

    assert run(look, rounds=1) == 1


def test_nobody_purges_where_it_is_off(run: Callable[..., int], settings: Any) -> None:
    settings.MICROWORKFLOWS = {"PURGE_EVERY": None}

    run(lambda **_: pytest.fail("it purges"), rounds=3)

    assert notes.last() is None


def test_thread_of_a_process_that_ends_ends_too() -> None:
    stop = threading.Event()
    stop.set()

    thread = purger.start(stop)
    thread.join(60)

    assert not thread.is_alive()
