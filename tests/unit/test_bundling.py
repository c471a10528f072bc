"""Deliveries that share a transaction: one that fails, or is in another's way, changes nothing for the others."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, OperationalError, connection, transaction
from pytest_django import Settings

from microworkflows import PermanentError, bundling, inbox, microworkflow, own_time
from microworkflows.models import InboxEvent, OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)

HANDLED, WAITING, PARKED = InboxEvent.Status.HANDLED, InboxEvent.Status.WAITING, InboxEvent.Status.PARKED


@pytest.fixture(autouse=True)
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a transaction take its time: a busy machine is to change nothing here. Forget what other tests' runs did."""
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(bundling, "_loners", set())


def letters(*numbers: int) -> list[dict[str, Any]]:
    return [
        {
            "specversion": "1.0",
            "id": str(UUID(int=1000 + number)),
            "source": "/letters",
            "type": "letters.letter_written.v1",
            "data": {"letter_id": str(UUID(int=number))},
        }
        for number in numbers
    ]


def stamped(post: SimpleNamespace) -> list[int]:
    return [letter.int for name, letter in post.calls if name == "stamp_letter"]


def statuses() -> dict[int, int]:
    return {row.event_id.int - 1000: row.status for row in InboxEvent.objects.all()}


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows by one with each commit."""
    commits: list[None] = []
    commit = connection._commit  # type: ignore[attr-defined]  # the stubs leave it out

    def counted() -> None:
        commits.append(None)
        commit()

    monkeypatch.setattr(connection, "_commit", counted)
    return commits


def test_deliveries_that_wait_together_share_a_transaction(
    post: SimpleNamespace, transactions: list[None]
) -> None:
    inbox.receive_bundle(letters(1, 2, 3), queue="desk")

    assert stamped(post) == [1, 2, 3]
    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}
    assert OutboxEvent.objects.count() == 3
    assert len(transactions) == 1


def test_what_is_emitted_bears_the_event_that_caused_it(post: SimpleNamespace) -> None:
    first, second = letters(1, 2)

    inbox.receive_bundle([first, second], queue="desk")

    emitted = [(row.causation_id, row.body["data"]["letter_id"]) for row in OutboxEvent.objects.pending()]
    assert emitted == [(each["id"], each["data"]["letter_id"]) for each in (first, second)]


def test_duplicate_among_them_is_skipped(post: SimpleNamespace) -> None:
    inbox.receive_bundle(letters(2), queue="desk")

    inbox.receive_bundle(letters(1, 2, 3, 3), queue="desk")

    assert stamped(post) == [2, 1, 3]
    assert OutboxEvent.objects.count() == 3


def test_failure_takes_back_its_own_writes_and_leaves_the_others(post: SimpleNamespace) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        Group.objects.create(name=str(event.letter_id.int))
        if event.letter_id.int == 2:
            raise ValueError("too heavy")

    inbox.receive_bundle(letters(1, 2, 3, 4), queue="weighing")

    assert statuses() == {1: HANDLED, 2: WAITING, 3: HANDLED, 4: HANDLED}
    assert sorted(Group.objects.values_list("name", flat=True)) == ["1", "3", "4"]
    assert InboxEvent.objects.waiting().get().error == "ValueError: too heavy"


def test_failure_is_run_once_and_so_are_the_others(post: SimpleNamespace) -> None:
    runs: list[int] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        runs.append(event.letter_id.int)
        if event.letter_id.int in {1, 3}:
            raise PermanentError("no")

    inbox.receive_bundle(letters(1, 2, 3, 4), queue="weighing")

    assert runs == [1, 2, 3, 4]
    assert statuses() == {1: PARKED, 2: HANDLED, 3: PARKED, 4: HANDLED}


def test_transaction_that_has_lasted_long_enough_takes_nothing_more_in(
    post: SimpleNamespace, transactions: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 0.0)

    inbox.receive_bundle(letters(1, 2, 3), queue="desk")

    assert stamped(post) == [1, 2, 3]
    assert len(transactions) == 3


def test_transaction_is_not_cut_short_because_others_have_the_processor(
    post: SimpleNamespace, transactions: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(own_time, "now", lambda: 7.0)  # as if all that passes were waiting for it

    inbox.receive_bundle(letters(*range(1, 9)), queue="desk")

    assert stamped(post) == [*range(1, 9)]
    assert len(transactions) == 1


@pytest.mark.parametrize("sqlstate", ["55P03", "40P01"])
def test_lock_that_is_not_to_be_had_costs_no_attempt_and_is_waited_for_alone(
    post: SimpleNamespace, sqlstate: str
) -> None:
    runs: list[tuple[int, bool]] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        shared = bool(connection.savepoint_ids)
        runs.append((event.letter_id.int, shared))
        if event.letter_id.int == 2 and shared:
            cause = Exception("lock")
            cause.sqlstate = sqlstate  # type: ignore[attr-defined]
            raise OperationalError("not to be had") from cause

    inbox.receive_bundle(letters(1, 2, 3, 4), queue="weighing")

    assert runs == [(1, True), (2, True), (2, False), (3, True), (4, True)]
    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED, 4: HANDLED}
    assert all(row.attempts == 0 for row in InboxEvent.objects.all())


def test_commit_that_fails_is_found_out_about_one_by_one(post: SimpleNamespace) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        Group.objects.create(name=str(event.letter_id.int))
        if event.letter_id.int == 2:  # a foreign key that nothing stands behind: checked when it is committed
            User.groups.through.objects.create(user_id=0, group_id=0)

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert statuses() == {1: HANDLED, 2: WAITING, 3: HANDLED}
    assert sorted(Group.objects.values_list("name", flat=True)) == ["1", "3"]
    assert (InboxEvent.objects.waiting().get().error or "").startswith("IntegrityError")


def test_database_error_that_was_swallowed_counts_as_its_own_failure(post: SimpleNamespace) -> None:
    Group.objects.create(name="taken")

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        if event.letter_id.int == 2:
            try:
                Group.objects.create(name="taken")
            except IntegrityError:
                return
        Group.objects.create(name=str(event.letter_id.int))

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert statuses() == {1: HANDLED, 2: WAITING, 3: HANDLED}
    assert sorted(Group.objects.values_list("name", flat=True)) == ["1", "3", "taken"]


def test_hook_that_fails_after_the_commit_keeps_no_other_from_being_called(
    post: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[int] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        def hook() -> None:
            called.append(event.letter_id.int)
            if event.letter_id.int == 1:
                raise ValueError("mail server is away")

        transaction.on_commit(hook)

    inbox.receive_bundle(letters(1, 2), queue="weighing")

    assert called == [1, 2]
    assert statuses() == {1: HANDLED, 2: HANDLED}
    assert "mail server is away" in caplog.text


def test_connection_that_is_lost_on_the_way_loses_nothing(post: SimpleNamespace) -> None:
    lost = [True]

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        Group.objects.create(name=str(event.letter_id.int))
        if event.letter_id.int == 2 and lost:
            lost.clear()
            connection.close()

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}
    assert sorted(Group.objects.values_list("name", flat=True)) == ["1", "2", "3"]


def test_event_that_nobody_listens_to_is_kept_and_the_others_are_handled(post: SimpleNamespace) -> None:
    unknown = {**letters(2)[0], "type": "letters.letter_burnt.v1"}

    inbox.receive_bundle([*letters(1), unknown, *letters(3)], queue="desk")

    assert stamped(post) == [1, 3]
    assert statuses() == {1: HANDLED, 2: PARKED, 3: HANDLED}


def test_event_whose_step_the_monolith_does_is_skipped(post: SimpleNamespace, settings: Settings) -> None:
    inline = {**letters(2)[0], "cutover": "desk=inline"}

    inbox.receive_bundle([*letters(1), inline, *letters(3)], queue="desk")

    assert stamped(post) == [1, 3]


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT set_config('letters.clerk', 'Ada', true)",
        "SET LOCAL letters.clerk = 'Ada'",
        "\n  set local letters.clerk to 'Ada'",
    ],
)
def test_settings_that_one_run_makes_are_not_met_by_the_next(
    post: SimpleNamespace, transactions: list[None], statement: str
) -> None:
    clerks: dict[int, str | None] = {}

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('letters.clerk', true)")
            clerks[event.letter_id.int] = cursor.fetchone()[0] or None
            if event.letter_id.int == 2:
                cursor.execute(statement)

    inbox.receive_bundle(letters(1, 2, 3, 4), queue="weighing")

    assert clerks == {1: None, 2: None, 3: None, 4: None}
    assert set(statuses().values()) == {HANDLED}
    assert len(transactions) == 4  # from the second on, each run has its own


@pytest.mark.postgres
def test_run_that_fails_because_of_what_another_left_in_the_transaction_loses_no_attempt(
    post: SimpleNamespace,
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE scales (weight int) ON COMMIT DROP")

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}
    assert all(row.attempts == 0 for row in InboxEvent.objects.all())


@pytest.mark.parametrize(
    "statement", ["COMMIT", "commit; BEGIN", " ROLLBACK", "ROLLBACK WORK; BEGIN", "END", "START TRANSACTION"]
)
def test_run_that_would_end_the_transaction_is_parked_and_no_neighbour_vanishes(
    post: SimpleNamespace, statement: str
) -> None:
    weighed: list[int] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        if event.letter_id.int == 2:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        weighed.append(event.letter_id.int)

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")
    inbox.receive(letters(2)[0], queue="weighing", attempt=None)

    assert statuses() == {1: HANDLED, 2: PARKED, 3: HANDLED}
    assert weighed == [1, 3]
    (parked,) = InboxEvent.objects.parked()
    assert "TransactionControlError: A microworkflow may not execute " in (parked.error or "")


@pytest.mark.parametrize(
    "statement",
    ["SAVEPOINT a", "SAVEPOINT a; ROLLBACK TO SAVEPOINT a", "/* COMMIT */ SELECT 1", "SELECT 'COMMIT'"],
)
@pytest.mark.postgres
def test_run_may_set_savepoints_of_its_own(post: SimpleNamespace, statement: str) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute(statement)

    inbox.receive_bundle(letters(1, 2), queue="weighing")

    assert statuses() == {1: HANDLED, 2: HANDLED}


@pytest.mark.postgres
@pytest.mark.parametrize("statement", ["SET DateStyle TO 'German'", "SET search_path TO nowhere"])
@pytest.mark.parametrize("together", [True, False])
def test_what_one_run_sets_for_its_session_is_not_met_by_others(
    post: SimpleNamespace, statement: str, together: bool
) -> None:
    """Neither by the kit itself, which could not read its own rows."""

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT now()")
            cursor.fetchone()
            if event.letter_id.int == 2:
                cursor.execute(statement)

    if together:
        inbox.receive_bundle(letters(1, 2, 3), queue="weighing")
    else:
        for letter in letters(1, 2, 3):
            inbox.receive(letter, queue="weighing")

    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}
    assert all(row.attempts == 0 for row in InboxEvent.objects.all())
