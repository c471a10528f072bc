"""Errors of databases, most of them made by real ones, and who is taken to be at fault."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import Error, IntegrityError, OperationalError, ProgrammingError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from psycopg import errors
from pytest_django import Settings

from microworkflows import database_errors, failures, inbox, microworkflow
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import UnkeepableError
from microworkflows.models import InboxEvent

pytestmark = pytest.mark.django_db(transaction=True)

LETTER = {
    "specversion": "1.0",
    "id": str(UUID(int=1)),
    "source": "/letters",
    "type": "letters.letter_written.v1",
    "data": {"letter_id": str(UUID(int=1))},
}


def sqlite(path: Path, **options: Any) -> BaseDatabaseWrapper:
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}
    return ConnectionHandler({"default": settings})["default"]


def error_of(call: Callable[[], object]) -> Error:
    with pytest.raises(Error) as caught:
        call()
    return caught.value


def is_away(error: Error, database: BaseDatabaseWrapper) -> bool:
    return database_errors.is_away(error, database, session=database.connection)


def execute(database: BaseDatabaseWrapper, statement: str) -> None:
    with database.cursor() as cursor:
        cursor.execute(statement)


def test_sqlite_that_another_writes_to_gives_way(tmp_path: Path) -> None:
    mine, others = (sqlite(tmp_path / "db", timeout=0) for _ in range(2))
    execute(mine, "CREATE TABLE t (a)")
    execute(others, "BEGIN IMMEDIATE")

    error = error_of(lambda: execute(mine, "INSERT INTO t VALUES (1)"))

    assert database_errors.gives_way(error)
    assert database_errors.is_kept_waiting(error)
    assert not is_away(error, mine)
    mine.close()
    others.close()


def test_sqlite_that_only_reads_or_cannot_be_opened_is_away(tmp_path: Path) -> None:
    database = sqlite(tmp_path / "db")
    execute(database, "CREATE TABLE t (a)")
    execute(database, "PRAGMA query_only = on")
    nowhere = sqlite(tmp_path / "missing" / "db")

    assert is_away(error_of(lambda: execute(database, "INSERT INTO t VALUES (1)")), database)
    assert is_away(error_of(lambda: execute(nowhere, "SELECT 1")), nowhere)
    database.close()


def test_wrong_statement_is_nobody_elses_fault(tmp_path: Path) -> None:
    database = sqlite(tmp_path / "db")

    error = error_of(lambda: execute(database, "SELECT * FROM nowhere"))

    assert not is_away(error, database)
    assert not database_errors.gives_way(error)
    assert database_errors.may_be_the_neighbours(error), "one may have dropped the table"
    database.close()


def django_error(sqlstate: str) -> Error:
    """Return an error as Django's cursors raise it, by the driver's error."""
    error = OperationalError()
    error.__cause__ = errors.lookup(sqlstate)()
    return error


@pytest.mark.parametrize("sqlstate", ["08006", "25006", "53300", "57P01", "57P02", "57P03", "58030"])
def test_server_that_is_away_says_so(sqlstate: str) -> None:
    assert is_away(django_error(sqlstate), connection)


@pytest.mark.parametrize("sqlstate", ["22P05", "23505", "42P01", "53100", "53200", "54000", "57014", "XX000"])
def test_any_other_code_does_not_tell_that_the_server_is_away(sqlstate: str) -> None:
    connection.ensure_connection()

    assert not is_away(django_error(sqlstate), connection)


def test_what_the_kit_refuses_for_good_is_permanent_and_no_server_that_is_away() -> None:
    refusal = errors.ProgrammingError()
    refusal.sqlstate = database_errors.PERMANENT
    error = ProgrammingError()
    error.__cause__ = refusal
    connection.ensure_connection()

    assert database_errors.is_permanent(error)
    assert database_errors.is_permanent(refusal), "as a statement past Django's cursors raises it"
    assert not is_away(error, connection)
    assert not database_errors.is_permanent(django_error("42501")), "a right can be granted"


@pytest.mark.parametrize(("sqlstate", "gives_way"), [("40001", True), ("40P01", True), ("55P03", False)])
def test_serialization_failures_and_deadlocks_give_way(sqlstate: str, gives_way: bool) -> None:
    for error in (django_error(sqlstate), errors.lookup(sqlstate)()):
        assert database_errors.gives_way(error) is gives_way
        assert database_errors.is_kept_waiting(error)


def test_neighbours_have_no_part_in_values_that_are_refused_nor_in_errors_of_other_kinds() -> None:
    assert not database_errors.may_be_the_neighbours(IntegrityError())
    assert not database_errors.may_be_the_neighbours(ValueError())
    assert database_errors.may_be_the_neighbours(psycopg.errors.LockNotAvailable())


@pytest.mark.postgres
def test_refused_connection_has_no_code_and_is_known_by_its_state() -> None:
    settings = {**connection.settings_dict, "PORT": "1"}
    database = ConnectionHandler({"default": settings})["default"]

    error = error_of(database.ensure_connection)

    assert getattr(error.__cause__, "sqlstate", None) is None
    assert is_away(error, database)


@pytest.mark.postgres
def test_session_is_lost_even_if_django_has_opened_another() -> None:
    connection.ensure_connection()
    session = connection.connection

    error = error_of(lambda: execute(connection, "SELECT pg_terminate_backend(pg_backend_pid())"))
    connection.close()
    connection.ensure_connection()

    assert database_errors.is_lost(error, connection, session=session)
    assert not database_errors.is_lost(ValueError(), connection, session=session)
    assert not database_errors.is_lost(error, connection, session=connection.connection)


@pytest.mark.postgres
def test_handler_that_brings_the_database_down_each_time_is_retried_later(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the worker waits until the database is back, with the message in hand."""
    is_down = [False]

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: object) -> None:
        is_down[0] = True
        execute(connection, "SELECT pg_terminate_backend(pg_backend_pid())")

    ensure = connection.ensure_connection

    def refuse_once() -> None:
        if is_down[0] and connection.connection is None:
            is_down[0] = False
            raise OperationalError("the database system is in recovery mode")
        ensure()

    monkeypatch.setattr(connection, "ensure_connection", refuse_once)
    waits = 0
    while not InboxEvent.objects.waiting().exists() and waits < 10:
        with contextlib.suppress(OperationalError):
            inbox.receive(LETTER, queue="weighing")
        waits += 1

    assert waits <= 4
    assert InboxEvent.objects.waiting().get().attempts == 1
    assert not failures._losses


@pytest.mark.postgres
def test_message_that_the_inbox_refuses_is_told_from_a_database_that_refuses_all(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_TRIES_TO_KEEP", 1)
    post.fail = ValueError("no ink")
    unstorable = {**LETTER, "data": {"letter_id": str(UUID(int=1)), "note": "\x00"}}

    with pytest.raises(UnkeepableError, match="keeps other messages: DataError"):
        inbox.receive(unstorable, queue="desk")

    execute(connection, "ALTER TABLE received RENAME TO elsewhere")
    try:
        with pytest.raises(Error, match='"received" does not exist'):
            inbox.receive(LETTER, queue="desk")
    finally:
        execute(connection, "ALTER TABLE elsewhere RENAME TO received")
    assert not InboxEvent.objects.exists()


@pytest.mark.parametrize("is_full", [True, False])
def test_shortage_is_the_messages_fault_if_it_meets_no_other(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    post.fail = django_error("53100")
    monkeypatch.setattr(failures, "_takes_writes", lambda _: not is_full)

    with pytest.raises(OperationalError) if is_full else contextlib.nullcontext():
        inbox.receive(LETTER, queue="desk")

    assert [row.attempts for row in InboxEvent.objects.waiting()] == ([] if is_full else [1])


def test_kept_message_that_gave_way_often_enough_loses_attempts(
    post: SimpleNamespace, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPTS": 3}
    attempts: list[int] = []

    for _ in range(4):
        attempt = attempts[-1] if attempts else None
        failures.keep(
            "desk.stamp_letter", CloudEvent.from_dict(LETTER), django_error("40P01"), attempt=attempt
        )
        attempts.append(InboxEvent.objects.get().attempts)

    assert attempts == [0, 0, 1, 2]


@pytest.fixture
def prepared(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the driver prepare each statement at the server, at once."""
    connection.close()
    options = {"server_side_binding": True, "prepare_threshold": 0}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    yield
    connection.close()


@pytest.mark.postgres
@pytest.mark.parametrize("bundled", [False, True])
def test_table_altered_under_a_prepared_statement_costs_no_attempt(
    post: SimpleNamespace, prepared: None, bundled: bool
) -> None:
    found: list[tuple[object, ...]] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM scales")
            found.append(tuple(column.name for column in cursor.description))

    letters = [{**LETTER, "id": str(UUID(int=number))} for number in range(1, 6)]
    execute(connection, "CREATE TABLE scales (a integer)")
    try:
        inbox.receive(letters[0], queue="weighing")
        other = ConnectionHandler({"default": connection.settings_dict})["default"]
        execute(other, "ALTER TABLE scales ADD b integer")
        other.close()
        if bundled:
            inbox.receive_bundle(letters[1:], queue="weighing")
        else:
            for letter in letters[1:]:
                inbox.receive(letter, queue="weighing")
    finally:
        execute(connection, "DROP TABLE scales")

    assert found == [("a",)] + 4 * [("a", "b")]
    assert InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == 5
    assert not InboxEvent.objects.exclude(status=InboxEvent.Status.HANDLED).exists()
    assert {row.retry for row in InboxEvent.objects.all()} == {0}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_outside_of_a_worker_what_is_no_exception_is_passed_on(
    post: SimpleNamespace, error: BaseException
) -> None:
    post.fail = error

    with pytest.raises(type(error)):
        inbox.receive(LETTER, queue="desk")
    with pytest.raises(type(error)):
        inbox.receive_bundle([LETTER, {**LETTER, "id": str(UUID(int=2))}], queue="desk")

    assert not InboxEvent.objects.exists()
    assert not Group.objects.exists()


def test_process_that_ends_is_not_kept_from_it_by_a_cleanup_that_fails(post: SimpleNamespace) -> None:
    post.fail = ValueError("the connection was closed in my hands")

    with failures.process_ended_by(lambda error: True), pytest.raises(SystemExit):
        inbox.receive(LETTER, queue="desk")

    assert not InboxEvent.objects.exists()
