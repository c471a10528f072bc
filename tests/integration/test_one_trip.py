"""Recording in one trip: the same as in many, in fewer; what is kept for the commit is neither lost nor done twice."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from microworkflows import outbox
from microworkflows.models import OutboxEvent
from microworkflows.one_trip import OneTrip
from microworkflows.postgresql.base import DatabaseWrapper
from tests.integration.support.probing import Asked, ask
from tests.integration.support.statements import overheard

pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("probe")]


@pytest.fixture
def usual(transactional_db: None) -> BaseDatabaseWrapper:
    """Return the project's connection, as its engine is."""
    return connections["default"]


@pytest.fixture
def one_trip(usual: BaseDatabaseWrapper) -> Iterator[DatabaseWrapper]:
    """Let the project's connection record in one trip."""
    connection = DatabaseWrapper({**usual.settings_dict}, "default")
    connections["default"] = connection
    try:
        yield connection
    finally:
        connection.close()
        connections["default"] = usual


def numbers() -> list[int]:
    """Return the numbers of the questions in the outbox, in the order in which they were recorded."""
    return [row.body["data"]["number"] for row in OutboxEvent.objects.order_by("pk")]


def seen_elsewhere(database: str) -> int:
    """Return how many events another session sees."""
    with psycopg.connect(database) as other:
        row = other.execute(f'SELECT count(*) FROM "{OutboxEvent._meta.db_table}"').fetchone()
        assert row is not None
        return int(row[0])


def test_event_costs_no_trip_of_its_own(one_trip: DatabaseWrapper, tmp_path: Path) -> None:
    def change(*, with_event: bool) -> Callable[[], None]:
        def work() -> None:
            with transaction.atomic():
                Group.objects.filter(name="none").update(name="some")
                if with_event:
                    outbox.record(Asked(number=0))

        return work

    change(with_event=True)()  # what a session asks once

    waited = []
    for with_event in (True, False):
        with overheard(tmp_path) as heard:
            change(with_event=with_event)()
        waited.append(heard.round_trips)

    assert waited == [3, 3]  # BEGIN, UPDATE and COMMIT
    assert numbers() == [0, 0]


def test_event_is_seen_elsewhere_once_committed_and_wakes_the_relay_once(
    one_trip: DatabaseWrapper, database: str, heard: Callable[[], list[str]]
) -> None:
    with transaction.atomic():
        outbox.record(Asked(number=1))
        outbox.record(Asked(number=2))
        assert heard() == []
        assert seen_elsewhere(database) == 0

    assert heard() == ["microworkflows_probe"]
    assert seen_elsewhere(database) == 2
    assert numbers() == [1, 2]


def test_next_statement_of_the_transaction_sees_the_event(one_trip: DatabaseWrapper) -> None:
    cursor: Any = one_trip.cursor()
    with transaction.atomic(), cursor:
        looks: list[Callable[[], int]] = [
            OutboxEvent.objects.count,
            lambda: len(list(OutboxEvent.objects.iterator(chunk_size=1))),
            lambda: cursor.execute("SELECT 1").fetchone() and len(numbers()),
            lambda: sum(1 for _ in rows_by_copy(one_trip)),
        ]
        for number, look in enumerate(looks, start=1):
            outbox.record(Asked(number=number))
            assert look() == number


def rows_by_copy(connection: Any) -> Iterator[Any]:
    cursor: Any
    with (
        connection.cursor() as cursor,
        cursor.copy(f'COPY "{OutboxEvent._meta.db_table}" TO STDOUT') as copy,
    ):
        yield from copy.rows()


def test_cursor_that_was_opened_before_sees_the_event(
    one_trip: DatabaseWrapper,
) -> None:
    with transaction.atomic(), one_trip.cursor() as cursor:
        cursor.execute("SELECT 1")
        outbox.record(Asked(number=1))
        cursor.execute(f'SELECT count(*) FROM "{OutboxEvent._meta.db_table}"')
        assert cursor.fetchone() == (1,)

    assert numbers() == [1]


class Undone(Exception):  # noqa: N818  (no error)
    """Rolls a block back."""


Block = tuple[bool, list[Any]]
"""Whether it is rolled back, and what happens in it: a question, a look at the outbox, or a block."""
_steps = st.recursive(
    st.sampled_from(["record", "look"]),
    lambda step: st.tuples(st.booleans(), st.lists(step, max_size=4)),
    max_leaves=12,
)


def go(block: Block, given_numbers: Iterator[int], seen: list[list[int]]) -> None:
    is_undone, steps = block
    with suppress(Undone), transaction.atomic():
        for step in steps:
            if step == "record":
                outbox.record(Asked(number=next(given_numbers)))
            elif step == "look":
                seen.append(numbers())
            else:
                go(step, given_numbers, seen)
        if is_undone:
            raise Undone


@pytest.mark.django_db(transaction=True)
@given(block=st.tuples(st.just(False), st.lists(_steps, max_size=5)))
def test_savepoints_and_queries_in_any_order_leave_the_same_as_with_the_usual_engine(block: Block) -> None:
    usual: Any = connections["default"]
    own = DatabaseWrapper({**usual.settings_dict}, "default")
    outcomes = []
    for connection in (usual, own):
        connections["default"] = connection
        try:
            OutboxEvent.objects.all().delete()
            seen: list[list[int]] = []
            go(block, iter(range(100)), seen)
            outcomes.append((seen, numbers()))
        finally:
            connections["default"] = usual
    own.close()

    assert outcomes[0] == outcomes[1]


def test_event_that_cannot_be_stored_lets_the_commit_fail_and_nothing_is_committed(
    one_trip: DatabaseWrapper, heard: Callable[[], list[str]]
) -> None:
    def record() -> None:
        with mock.patch.object(OutboxEvent._meta, "db_table", "no_such_table"), transaction.atomic():
            Group.objects.create(name="of the same transaction")
            outbox.record(Asked(number=0))

    with pytest.raises(DatabaseError, match="no_such_table"):
        record()

    assert not Group.objects.exists()
    assert heard() == []
    ask()
    assert numbers() == [0]


def test_session_that_ended_before_the_commit_commits_nothing_and_the_next_one_works(
    one_trip: DatabaseWrapper, database: str
) -> None:
    def record() -> None:
        with transaction.atomic():
            outbox.record(Asked(number=0))
            with psycopg.connect(database) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [one_trip.connection.info.backend_pid])

    with pytest.raises(OperationalError):
        record()

    assert numbers() == []
    ask()
    assert numbers() == [0]


def test_wake_up_that_fails_costs_a_line_and_no_event(
    one_trip: DatabaseWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    with mock.patch("microworkflows.wakeup.channel", return_value="c" * 100):  # too long for PostgreSQL
        ask()

    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.getMessage().startswith("relay probe was not woken and finds the recorded events at its next")
    assert one_trip.errors_occurred  # Django looks at the session before its next use
    assert numbers() == [0]


def test_what_waits_in_a_transaction_that_is_rolled_back_or_cut_off_is_forgotten(
    one_trip: DatabaseWrapper, heard: Callable[[], list[str]]
) -> None:
    with suppress(Undone), transaction.atomic():
        ask()
        raise Undone
    with transaction.atomic():
        ask()
        one_trip.close()

    with transaction.atomic():
        Group.objects.create(name="another transaction")

    assert heard() == []
    assert numbers() == []


def test_commit_by_hand_takes_along_what_waits(one_trip: DatabaseWrapper) -> None:
    transaction.set_autocommit(False)
    try:
        ask()
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert numbers() == [0]


def test_query_log_tells_what_travelled_with_the_commit(one_trip: DatabaseWrapper) -> None:
    with CaptureQueriesContext(one_trip) as said:
        ask()

    begin, commit = [query["sql"] for query in said.captured_queries]
    assert begin == "BEGIN"
    assert commit.startswith("INSERT INTO")
    assert commit.endswith("COMMIT; SELECT pg_notify(%s, %s)")


def test_test_case_of_the_project_sees_what_its_code_recorded(one_trip: DatabaseWrapper) -> None:
    class Case(TestCase):
        def runTest(self) -> None:  # noqa: N802  (unittest's name)
            ask()
            assert numbers() == [0]

    result = Case().run()

    assert result is not None
    assert result.wasSuccessful(), result.errors + result.failures


@pytest.mark.parametrize("driver", [SimpleNamespace(), SimpleNamespace(Pipeline=mock.Mock())])
def test_engine_says_which_driver_it_needs(driver: Any) -> None:
    if pipeline := getattr(driver, "Pipeline", None):
        pipeline.is_supported.return_value = False

    with (
        mock.patch.object(DatabaseWrapper, "Database", driver),
        pytest.raises(ImproperlyConfigured, match="needs psycopg 3 with libpq 14 or newer"),
    ):
        DatabaseWrapper({**connections["default"].settings_dict}, "default")


class TenantsWrapper(base.DatabaseWrapper):  # the stubs leave out what it overrides
    """An engine as projects with a schema for each tenant have it: a cursor first makes the chosen schema the current one."""

    schema = "public"

    def _cursor(self, name: str | None = None) -> Any:
        cursor = super()._cursor(name)  # type: ignore[misc]
        cursor.cursor.execute(f"SET search_path TO {self.schema}")
        return cursor


class TenantsInOneTrip(OneTrip, TenantsWrapper):
    """The same in one trip."""


def test_event_lands_where_another_engine_has_the_transaction_write_when_it_is_recorded(
    usual: BaseDatabaseWrapper, database: str
) -> None:
    table = OutboxEvent._meta.db_table
    connection: Any = TenantsInOneTrip({**usual.settings_dict}, "default")
    connections["default"] = connection
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            f'CREATE SCHEMA tenant; CREATE TABLE tenant."{table}" (LIKE public."{table}" INCLUDING ALL)'
        )
        try:
            with transaction.atomic():
                outbox.record(Asked(number=1))
                connection.schema = "tenant"
                outbox.record(Asked(number=2))
                outbox.record(Asked(number=3))
                connection.schema = "public"

            counts = [
                other.execute(f'SELECT count(*) FROM {schema}."{table}"').fetchone()
                for schema in ("public", "tenant")
            ]
            assert counts == [(1,), (2,)]
        finally:
            connection.close()
            connections["default"] = usual
            other.execute("DROP SCHEMA tenant CASCADE")
