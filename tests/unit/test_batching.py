"""Microworkflows that take many events: as quick as one statement for all, and as sure as one event at a time."""

from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microworkflows import PermanentError, batching, bundling, inbox, microworkflow, outbox
from microworkflows.errors import MisalignedResultsError
from microworkflows.models import InboxEvent, OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)

HANDLED, WAITING, PARKED = InboxEvent.Status.HANDLED, InboxEvent.Status.WAITING, InboxEvent.Status.PARKED


@pytest.fixture(autouse=True)
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transactions and calls take their time: a busy machine is to change nothing here."""
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(bundling, "_loners", set())
    monkeypatch.setattr(batching, "_SLOW_SECONDS", 60.0)
    monkeypatch.setattr(batching, "_most", {})


def letter(number: int, *, flow: int | None = None) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(UUID(int=1000 + number)),
        "source": "/letters",
        "type": "letters.letter_written.v1",
        "correlationid": f"flow-{number if flow is None else flow}",
        "data": {"letter_id": str(UUID(int=number))},
    }


def letters(*numbers: int) -> list[dict[str, Any]]:
    return [letter(number) for number in numbers]


def statuses() -> dict[int, int]:
    return {row.event_id.int - 1000: row.status for row in InboxEvent.objects.all()}


def sorted_by_hand() -> list[int]:
    """Return the letters whose effect is in the database."""
    return sorted(int(name) for name in Group.objects.values_list("name", flat=True))


@pytest.fixture
def sorting(post: SimpleNamespace) -> SimpleNamespace:
    """A microworkflow that sorts many letters at once; ``sorting.calls`` holds the letters of each call, ``fail`` those that fail."""
    made = SimpleNamespace(
        calls=[], fail={}, LetterStamped=post.LetterStamped, WrittenAtDesk=post.WrittenAtDesk
    )

    @microworkflow(on=post.WrittenAtDesk, emits=[post.LetterStamped], context="sorting", many=True)
    def sort_letters(events: Sequence[Any]) -> list[Any]:
        numbers = [event.letter_id.int for event in events]
        made.calls.append(numbers)
        Group.objects.bulk_create(Group(name=str(number)) for number in numbers)
        for number in numbers:
            if number in made.fail:
                raise made.fail[number]
        return [post.LetterStamped(letter_id=event.letter_id) for event in events]

    made.sort_letters = sort_letters
    return made


def test_letters_that_wait_together_are_one_call_and_each_emits_its_own(sorting: SimpleNamespace) -> None:
    with CaptureQueriesContext(
        connection,
    ) as made:
        inbox.receive_bundle(letters(1, 2, 3), queue="sorting")

    assert sorting.calls == [[1, 2, 3]]
    assert sum("SAVEPOINT" in query["sql"] and "RELEASE" not in query["sql"] for query in made) == 1
    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}
    emitted = [(row.causation_id, row.correlation_id) for row in OutboxEvent.objects.pending()]
    assert emitted == [(str(UUID(int=1000 + number)), f"flow-{number}") for number in (1, 2, 3)]


def test_letter_that_comes_alone_is_a_call_with_one(sorting: SimpleNamespace) -> None:
    inbox.receive(letter(1), queue="sorting")

    assert sorting.calls == [[1]]
    assert statuses() == {1: HANDLED}
    assert OutboxEvent.objects.count() == 1


def test_two_events_of_one_flow_are_never_in_one_call_and_keep_their_order(
    sorting: SimpleNamespace, post: SimpleNamespace
) -> None:
    seen: list[int] = []

    @microworkflow(on=post.WrittenAtDesk, context="sorting")
    def weigh(event: Any) -> None:
        seen.append(event.letter_id.int)

    inbox.receive_bundle(
        [letter(1, flow=7), letter(2), letter(3, flow=7), letter(4)],
        queue="sorting",
    )

    assert sorting.calls == [[1, 2, 4], [3]]
    assert seen == [1, 2, 3, 4]
    assert set(statuses().values()) == {HANDLED}


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("torn"), WAITING), (PermanentError("torn"), PARKED)]
)
def test_one_that_fails_is_found_one_by_one_and_the_others_are_handled_once(
    sorting: SimpleNamespace, error: Exception, status: int
) -> None:
    sorting.fail = {2: error}

    inbox.receive_bundle(letters(1, 2, 3), queue="sorting")

    assert sorting.calls == [[1, 2, 3], [1], [2], [3]]
    assert statuses() == {1: HANDLED, 2: status, 3: HANDLED}
    assert sorted_by_hand() == [1, 3]
    assert OutboxEvent.objects.count() == 2


def test_duplicate_among_them_is_left_out(sorting: SimpleNamespace) -> None:
    inbox.receive(letter(2), queue="sorting")

    inbox.receive_bundle(letters(1, 2, 3), queue="sorting")

    assert sorting.calls == [[2], [1, 3]]
    assert sorted_by_hand() == [1, 2, 3]


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (lambda events: list(events)[1:], "got 1 events and returned 0 results"),
        (lambda events: (event for event in events), "returned generator"),
    ],
)
def test_results_that_do_not_tell_which_event_they_belong_to_are_refused(
    post: SimpleNamespace, results: Callable[[Sequence[Any]], Any], said: str
) -> None:
    @microworkflow(on=post.WrittenAtDesk, emits=[post.LetterStamped], context="sorting", many=True)
    def sort_letters(events: Sequence[Any]) -> Any:
        return results([post.LetterStamped(letter_id=event.letter_id) for event in events])

    inbox.receive_bundle(letters(1, 2), queue="sorting")

    assert statuses() == {1: PARKED, 2: PARKED}
    for row in InboxEvent.objects.all():
        assert MisalignedResultsError.__name__ in (row.error or "")
        assert said in (row.error or "")
    assert not OutboxEvent.objects.exists()


def test_what_it_records_by_itself_is_refused_for_it_has_no_one_cause(post: SimpleNamespace) -> None:
    @microworkflow(on=post.WrittenAtDesk, emits=[post.LetterStamped], context="sorting", many=True)
    def sort_letters(events: Sequence[Any]) -> None:
        outbox.record(post.LetterStamped(letter_id=events[0].letter_id))

    inbox.receive_bundle(letters(1, 2), queue="sorting")

    assert statuses() == {1: PARKED, 2: PARKED}
    assert "sorting.sort_letters takes many events at once, so what it records has no one cause" in (
        InboxEvent.objects.all()[0].error or ""
    )


def test_setting_for_the_transaction_gives_each_its_own(sorting: SimpleNamespace) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no settings of a transaction")
    calls: list[int] = []

    @microworkflow(on=sorting.WrittenAtDesk, context="weighing", many=True)
    def weigh(events: Sequence[Any]) -> None:
        calls.append(len(events))
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL letters.clerk = 'Ada'")

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert set(statuses().values()) == {HANDLED}
    assert calls == [3, 1, 1, 1]  # the first was not begun twice: nothing of it is left


def test_call_that_took_long_is_halved_and_grows_again_once_it_is_quick(
    sorting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "_SLOW_SECONDS", 0.05)
    left = deque((sorting.sort_letters, event(number)) for number in range(8))
    new = [f"sorting.sort_letters@{number}" for number in range(8)]
    monkeypatch.setattr(batching, "message_id", lambda label, event_id: f"{label}@{event_id.int}")

    def taken(seconds: float) -> int:
        runs = deque(left)
        number = len(batching.take(runs, new=new))
        batching.note(sorting.sort_letters, number, seconds=seconds)
        assert len(runs) == 8 - number
        return number

    assert [taken(0.06), taken(0.06), taken(0.06), taken(0.06), taken(0.06)] == [8, 4, 2, 1, 1]
    assert [taken(0.03), taken(0.001), taken(0.001), taken(0.001)] == [1, 1, 2, 4]


def event(number: int) -> Any:
    return SimpleNamespace(meta=SimpleNamespace(id=UUID(int=number), correlation_id=str(number)))


DELIVERIES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=10
)  # number of the letter, and its flow
FAILING = st.dictionaries(st.integers(0, 5), st.sampled_from([ValueError("torn"), PermanentError("torn")]))


@given(
    deliveries=DELIVERIES, failing=FAILING, cut=st.integers(1, 10), order=st.randoms(use_true_random=False)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_at_once_come_to_the_same_as_one_by_one_in_any_order(
    sorting: SimpleNamespace,
    deliveries: list[tuple[int, int]],
    failing: dict[int, Exception],
    cut: int,
    order: Any,
) -> None:
    flows = dict(deliveries)  # an event has one flow, however often it comes
    copies = [letter(number, flow=flows[number]) for number, _ in deliveries]
    sorting.fail = failing

    def outcome() -> tuple[Any, ...]:
        emitted = sorted((row.causation_id, row.correlation_id) for row in OutboxEvent.objects.all())
        found = statuses(), sorted_by_hand(), emitted
        for model in (Group, InboxEvent, OutboxEvent):
            model.objects.all().delete()
        return found

    for each in copies:
        inbox.receive(each, queue="sorting")
    alone = outcome()
    order.shuffle(copies)
    for start in range(0, len(copies), cut):
        inbox.receive_bundle(copies[start : start + cut], queue="sorting")

    assert outcome() == alone
