"""What needs a lock waits for it in short turns, each longer than the one before, until its patience is over."""

import logging
import time
from collections.abc import Callable

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.db.utils import DEFAULT_DB_ALIAS

from microworkflows import lock_turns


def no_lock() -> OperationalError:
    error = OperationalError("canceling statement due to lock timeout")
    error.__cause__ = psycopg.errors.LockNotAvailable()
    return error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses made so far; they take no time, and the clock goes on by them."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(pauses))
    return pauses


def refused(times: int, limits: list[str]) -> Callable[[str], None]:
    def do(limit: str) -> None:
        limits.append(limit)
        if len(limits) <= times:
            raise no_lock()

    return do


@pytest.mark.django_db
def test_turns_grow_until_one_gets_its_lock(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    limits: list[str] = []

    with caplog.at_level(logging.INFO):
        lock_turns.take(connection, refused(7, limits), what="payments_payment", longest=5, patience=60)

    assert limits == [
        f"SET LOCAL lock_timeout = '{milliseconds}ms'"
        for milliseconds in (250, 500, 1000, 2000, 4000, 5000, 5000, 5000)
    ]
    assert all(
        wait / 2 <= pause <= wait for pause, wait in zip(clock, (0.25, 0.5, 1, 2, 4, 5, 5), strict=True)
    )
    assert caplog.messages == [
        f"payments_payment is in use; attempt {each} got no lock" for each in range(1, 8)
    ]


@pytest.mark.django_db
def test_patience_ends(clock: list[float]) -> None:
    with pytest.raises(lock_turns.NoLockError, match="payments_payment was in use for 3 s") as raised:
        lock_turns.take(connection, refused(99, []), what="payments_payment", longest=5, patience=3)

    assert isinstance(raised.value.__cause__, OperationalError)
    assert sum(clock) > 3


@pytest.mark.django_db
def test_other_errors_are_raised_at_once(clock: list[float]) -> None:
    def do(limit: str) -> None:
        raise OperationalError("the disk is full")

    with pytest.raises(OperationalError, match="the disk is full"):
        lock_turns.take(connection, do, what="payments_payment", longest=5, patience=60)

    assert not clock


@pytest.mark.django_db(transaction=True)
def test_what_a_turn_did_before_it_got_no_lock_is_rolled_back(clock: list[float]) -> None:
    left: list[list[str]] = []

    def do(limit: str) -> None:
        transaction.on_commit(lambda: left.append(limits.copy()), using=DEFAULT_DB_ALIAS)
        again(limit)

    limits: list[str] = []
    again = refused(2, limits)

    lock_turns.take(connection, do, what="payments_payment", longest=5, patience=60)

    assert len(left) == 1
