"""How often, and after which waits, a microworkflow tries an event again."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django import Settings

from microworkflows import Retry, RetryAfter, inbox, microworkflow, retrying
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db


def test_policy_of_its_own_parks_after_its_own_number_of_attempts(post: SimpleNamespace, flow: Flow) -> None:
    calls = []

    @microworkflow(on=post.WrittenAtDesk, context="desk", retry=Retry(max_attempts=2))
    def weigh(event: object) -> None:
        calls.append(event)
        raise ValueError("no scales")

    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    for _ in range(4):
        flow.retry()

    assert len(calls) == 2
    assert {row.label: row.attempts for row in flow.parked} == {"desk.weigh": 2}
    assert {row.label: row.attempts for row in flow.waiting} == {"desk.stamp_letter": 5}


@pytest.mark.parametrize(("attempts", "longest"), [(1, 20), (2, 40), (3, 50), (40, 50)])
def test_waits_of_its_own_double_up_to_its_own_longest(
    post: SimpleNamespace, attempts: int, longest: float
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk", retry=Retry(delay=20, max_delay=50))
    def weigh(event: object) -> None: ...

    waits = {retrying.delay(attempts, consumer="desk.weigh").total_seconds() for _ in range(200)}

    assert longest / 2 <= min(waits) <= max(waits) <= longest
    assert retrying.max_attempts("desk.weigh") == retrying.max_attempts("desk.stamp_letter") == 10


@pytest.mark.parametrize("bundled", [False, True])
def test_message_comes_no_sooner_than_its_handler_asked_and_that_is_an_attempt(
    post: SimpleNamespace, flow: Flow, settings: Settings, bundled: bool
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_MAX_DELAY": 1.0}
    post.fail = RetryAfter(600, "The bank asks for ten minutes.")
    for number in range(2):
        flow.record(post.LetterWritten(letter_id=UUID(int=number)))
    before = datetime.now(UTC)

    if bundled:
        inbox.receive_bundle([row.body for row in OutboxEvent.objects.all()], queue="desk")
    else:
        flow.run(keep_failures=True)

    for row in flow.waiting:
        assert (
            timedelta(seconds=600)
            <= row.due_at - before
            <= timedelta(seconds=660) + (datetime.now(UTC) - before)
        )
        assert (row.error, row.attempts) == ("RetryAfter: The bank asks for ten minutes.", 1)
    assert len(flow.waiting) == 2
    assert not InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED, msg_id__startswith="desk").exists()


def test_handler_that_asks_again_and_again_is_parked_at_last(
    post: SimpleNamespace, flow: Flow, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPTS": 3}
    post.fail = RetryAfter(timedelta(minutes=1))
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)
    for _ in range(4):
        flow.retry()

    (row,) = flow.parked
    assert (row.attempts, row.error) == (3, "RetryAfter: again in 60 s")


@pytest.mark.parametrize("wait", [0, -1, float("nan"), float("inf"), timedelta(0), timedelta(days=366)])
def test_wait_that_cannot_be_meant_is_refused(wait: Any) -> None:
    with pytest.raises(ValueError, match="the wait is more than 0 seconds, and a year at most"):
        RetryAfter(wait)


@pytest.mark.parametrize(
    "given",
    [{"max_attempts": 0}, {"max_attempts": 2.5}, {"delay": -1}, {"max_delay": float("inf")}, {"delay": "1"}],
)
def test_policy_that_cannot_be_meant_is_refused_and_named(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"Retry\({next(iter(given))}=.*: Input should be"):
        Retry(**given)


def test_number_in_place_of_a_policy_is_refused_and_says_what_to_write(post: SimpleNamespace) -> None:
    untyped: Any = microworkflow
    with pytest.raises(TypeError, match=r"retry=3 is no Retry. Write retry=Retry\(max_attempts=3\)"):
        untyped(on=post.WrittenAtDesk, retry=3)
