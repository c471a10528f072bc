"""What runs of one transaction might do to each other by way of the database: each is as if it were alone."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, Error, OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg import sql

from microworkflows import PermanentError, bundling, inbox, isolation, microworkflow
from microworkflows.models import InboxEvent, OutboxEvent
from tests.unit.test_bundling import letters, statuses

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

HANDLED, PARKED = InboxEvent.Status.HANDLED, InboxEvent.Status.PARKED


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a transaction take its time, and forget what other tests' microworkflows did."""
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(bundling, "_loners", set())
    monkeypatch.setattr(bundling, "_told", set())
    monkeypatch.setattr(isolation, "_looks", {})


def is_shared() -> bool:
    """Return True in a handler whose transaction is shared."""
    return bool(connection.savepoint_ids)


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


# Locks


def by_orm() -> None:
    Group.objects.select_for_update().get(name="taken")


def by_nested_blocks() -> None:
    with transaction.atomic(), transaction.atomic():
        Group.objects.filter(name="taken").update(name="taken")


def by_executemany() -> None:
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE auth_group SET name = name WHERE name = %s", [("free",), ("taken",)])


def by_rows_fetched_from_the_server() -> None:
    list(Group.objects.select_for_update().order_by("name").iterator(chunk_size=1))


def by_copy() -> None:
    with connection.cursor() as cursor, cursor.copy("COPY auth_group (name) FROM STDIN") as copy:
        copy.write_row(("new",))


def by_procedure() -> None:
    with connection.cursor() as cursor:
        cursor.callproc("pg_advisory_xact_lock", [1])


def by_the_drivers_connection() -> None:
    connection.connection.execute("UPDATE auth_group SET name = name WHERE name = 'taken'")


WAYS: list[Callable[[], None]] = [
    by_orm,
    by_nested_blocks,
    by_executemany,
    by_rows_fetched_from_the_server,
    by_copy,
    by_procedure,
    by_the_drivers_connection,
]
ways = pytest.mark.parametrize("lock", WAYS, ids=lambda way: way.__name__)


@pytest.fixture
def holder() -> Iterator[Any]:
    """Yield another's session, which holds every lock that the ways want."""
    Group.objects.bulk_create([Group(name="free"), Group(name="taken")])
    database = connection.get_connection_params()
    with psycopg.connect(
        **{
            name: value
            for name, value in database.items()
            if name in {"dbname", "user", "password", "host", "port"}
        }
    ) as session:
        session.execute("SELECT * FROM auth_group WHERE name = 'taken' FOR UPDATE")
        session.execute("INSERT INTO auth_group (name) VALUES ('new')")
        session.execute("SELECT pg_advisory_xact_lock(1)")
        yield session
        session.rollback()


@ways
def test_handler_that_makes_another_error_of_a_lock_is_not_parked_for_it(
    post: SimpleNamespace, holder: Any, lock: Callable[[], None]
) -> None:
    runs: list[tuple[int, bool]] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        runs.append((event.letter_id.int, is_shared()))
        if event.letter_id.int == 2:
            if not is_shared():
                holder.rollback()
            try:
                lock()
            except (Error, psycopg.Error) as error:
                raise PermanentError("this letter cannot be weighed") from error

    inbox.receive_bundle(letters(1, 2, 3, 4), queue="weighing")

    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED, 4: HANDLED}
    assert all(row.attempts == 0 for row in InboxEvent.objects.all())
    assert runs == [(1, True), (2, True), (2, False), (3, True), (4, True)]


@ways
def test_handler_that_goes_on_without_a_lock_has_its_effect(
    post: SimpleNamespace, holder: Any, lock: Callable[[], None]
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        if event.letter_id.int == 2 and not is_shared():
            holder.rollback()
        try:
            with transaction.atomic():
                if event.letter_id.int == 2:
                    lock()
                Group.objects.create(name=f"letter {event.letter_id.int}")
        except (Error, psycopg.Error):
            return  # somebody else sees to it

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}
    assert Group.objects.filter(name__startswith="letter").count() == 3


def test_lock_that_a_handler_does_not_want_to_wait_for_has_its_own_meaning(
    post: SimpleNamespace, holder: Any
) -> None:
    runs: list[bool] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        if event.letter_id.int != 2:
            return
        runs.append(is_shared())
        try:
            with transaction.atomic():
                Group.objects.select_for_update(nowait=True).get(name="taken")
        except OperationalError:
            Group.objects.create(name="weighed by others")

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert runs == [True, False]
    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}
    assert Group.objects.filter(name="weighed by others").count() == 1


def test_values_that_the_database_refuses_are_a_handlers_own_affair(post: SimpleNamespace) -> None:
    Group.objects.create(name="taken")
    runs: list[bool] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        runs.append(is_shared())
        Group.objects.get_or_create(name=f"letter {event.letter_id.int}")
        with pytest.raises(DatabaseError), transaction.atomic():
            Group.objects.create(name="taken")
        with pytest.raises(DatabaseError), transaction.atomic():
            Group.objects.create(name="long" * 100)

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert runs == [True, True, True]
    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}


# Settings

KEY = "letters.clerk"


def clerk() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT current_setting('{KEY}', true)")
        return cursor.fetchone()[0] or None


def procedure(name: str, *arguments: Any) -> None:
    with connection.cursor() as cursor:
        cursor.callproc(name, arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: execute("SELECT SET_CONFIG('letters.clerk', 'Ada', true)"),
        lambda: execute("/* route: weigh */ -- and so on\n SET LOCAL letters.clerk = 'Ada'"),
        lambda: execute("SELECT 1; SET LOCAL letters.clerk = 'Ada'"),
        lambda: execute("DO $$ BEGIN PERFORM set_config('letters.clerk', 'Ada', true); END $$"),
        lambda: execute(b"SET LOCAL letters.clerk = 'Ada'"),  # type: ignore[arg-type]
        lambda: execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier("letters", "clerk"), "Ada")),  # type: ignore[arg-type]
        lambda: procedure("set_config", KEY, "Ada", True),
        lambda: connection.connection.execute("SELECT set_config('letters.clerk', 'Ada', true)"),
        lambda: connection.connection.cursor().execute("SET LOCAL letters.clerk = 'Ada'"),
    ],
)  # fmt: skip
def test_setting_is_not_met_by_the_next_however_it_is_made(
    post: SimpleNamespace, make: Callable[[], object]
) -> None:
    clerks: dict[int, tuple[str | None, str | None]] = {}

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        before = clerk()
        if event.letter_id.int == 2:
            make()
        clerks[event.letter_id.int] = before, clerk()

    inbox.receive_bundle(letters(1, 2, 3, 4), queue="weighing")

    assert clerks == {1: (None, None), 2: (None, "Ada"), 3: (None, None), 4: (None, None)}
    assert set(statuses().values()) == {HANDLED}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMPORARY TABLE IF NOT EXISTS scales (letter int) ON COMMIT DROP",
        "SELECT 1 AS letter INTO TEMPORARY scales",
        "SET LOCAL ROLE pg_monitor",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "PREPARE weigh AS SELECT 1",
        "SET LOCAL search_path TO pg_temp",
        "SET TRANSACTION READ ONLY",
    ],
)
def test_statement_that_outlasts_a_run_is_not_executed_among_others(
    post: SimpleNamespace, statement: str
) -> None:
    runs: list[tuple[int, bool]] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        runs.append((event.letter_id.int, is_shared()))
        if event.letter_id.int == 2:
            execute(statement)
            execute("DEALLOCATE ALL")

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")

    assert runs == [(1, True), (2, True), (2, False), (3, False)]
    assert statuses() == {1: HANDLED, 2: HANDLED, 3: HANDLED}


def test_microworkflow_whose_statements_outlast_it_is_interrupted_once(post: SimpleNamespace) -> None:
    runs: list[tuple[int, bool]] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        runs.append((event.letter_id.int, is_shared()))
        execute("SET LOCAL letters.clerk = 'Ada'")

    inbox.receive_bundle(letters(1, 2, 3), queue="weighing")
    inbox.receive_bundle(letters(4, 5), queue="weighing")

    assert runs == [(1, True), (1, False), (2, False), (3, False), (4, False), (5, False)]


def test_handler_that_catches_everything_is_done_again_all_the_same(post: SimpleNamespace) -> None:
    clerks: list[str | None] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        try:
            execute("SET LOCAL letters.clerk = 'Ada'")
        except BaseException:
            return
        clerks.append(clerk())

    inbox.receive_bundle(letters(1, 2), queue="weighing")

    assert clerks == ["Ada", "Ada"]


# Sessions


def session() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("statement", "is_kept"),
    [
        ("SET letters.clerk = 'Ada'", False),
        ("-- who\n SET SESSION letters.clerk TO 'Ada'", False),
        ("SELECT set_config('letters.clerk', 'Ada', false)", False),
        ("SELECT set_config('a.b', '', true), set_config('letters.clerk', 'Ada', false)", False),
        ("SELECT 1; SET letters.clerk = 'Ada'", False),
        ("SET ROLE pg_monitor", False),
        ("CREATE TEMPORARY TABLE scales (weight int)", False),
        ("SELECT pg_advisory_lock(7)", False),
        ("DO $$ BEGIN PERFORM set_config('letters.clerk', 'Ada', false); END $$", False),
        ("UPDATE pg_settings SET setting = '8MB' WHERE name = 'work_mem'", False),
        ("SET LOCAL letters.clerk = 'Ada'", True),
        ("SET CONSTRAINTS ALL DEFERRED", True),
        ("SELECT set_config('letters.clerk', coalesce('Ada', ''), true)", True),
        ("SELECT set_config('letters.clerk', 'Ada', true); SELECT 1", True),
        ("CREATE TEMP TABLE scales (weight int) ON COMMIT DROP", True),
        ("SELECT pg_advisory_xact_lock(7)", True),
        ("UPDATE auth_group SET name = name", True),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["bundle", "alone"])
def test_session_that_a_handler_changed_ends_and_any_other_is_kept(
    post: SimpleNamespace, statement: str, is_kept: bool, together: bool
) -> None:
    met: list[tuple[int, str | None]] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        if not is_shared() or not met:
            met.append((session(), clerk()))
        execute(statement)

    if together:
        inbox.receive_bundle(letters(1, 2), queue="weighing")
    else:
        for letter in letters(1, 2):
            inbox.receive(letter, queue="weighing")

    assert set(statuses().values()) == {HANDLED}
    assert {clerk for _, clerk in met} == {None}
    sessions = [number for number, _ in met]
    assert (len(set(sessions)) == 1) is is_kept


def test_what_a_project_sets_at_each_new_connection_ends_no_session(post: SimpleNamespace) -> None:
    sessions: list[int] = []

    def set_up(connection: BaseDatabaseWrapper, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '30s'")

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        sessions.append(session())

    connection.close()
    connection_created.connect(set_up)
    try:
        for letter in letters(1, 2, 3):
            inbox.receive(letter, queue="weighing")
    finally:
        connection_created.disconnect(set_up)
        connection.close()

    assert len(set(sessions)) == 1


# Tenants

MAKERS = {
    "function": (
        (
            "CREATE FUNCTION enter(tenant text) RETURNS void LANGUAGE plpgsql AS $$ "
            "BEGIN PERFORM set_config('letters.tenant', tenant, true); END $$"
        ),
        "SELECT enter('one')",
    ),
    "function with SET": (
        (
            "CREATE FUNCTION enter(tenant text) RETURNS void LANGUAGE plpgsql AS $$ "
            "BEGIN EXECUTE format('SET LOCAL letters.tenant = %L', tenant); END $$"
        ),
        "SELECT enter('one')",
    ),
    "function in standard SQL": (
        (
            "CREATE FUNCTION enter(tenant text) RETURNS text BEGIN ATOMIC; "
            "SELECT set_config('letters.tenant', tenant, true); END"
        ),
        "SELECT enter('one')",
    ),
    "trigger": (
        (
            "CREATE FUNCTION enter() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN PERFORM set_config('letters.tenant', new.tenant, true); RETURN new; END $$; "
            "CREATE TRIGGER enter BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION enter()"
        ),
        "INSERT INTO notes (tenant) VALUES ('one')",
    ),
}


@pytest.fixture
def notes() -> Iterator[None]:
    """Make a table whose rows only their tenant sees, and work as a user who is bound by that."""
    execute(
        "CREATE ROLE letter_writer",
        "CREATE TABLE notes (tenant text)",
        "INSERT INTO notes VALUES ('one'), ('two')",
        "ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY tenants ON notes USING (tenant = current_setting('letters.tenant', true)) WITH CHECK (true)",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO letter_writer",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO letter_writer",
        "SET ROLE letter_writer",
    )
    yield
    execute(
        "RESET ROLE",
        "DROP TABLE notes",
        "DROP FUNCTION IF EXISTS enter",
        "DROP OWNED BY letter_writer",
        "DROP ROLE letter_writer",
    )


@pytest.mark.parametrize("kind", list(MAKERS))
def test_handler_sees_no_row_of_the_tenant_whose_event_came_before(
    post: SimpleNamespace, notes: None, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    create, enter = MAKERS[kind]
    execute("RESET ROLE", create, "SET ROLE letter_writer")
    seen: dict[int, tuple[str | None, int]] = {}

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        if event.letter_id.int == 1:
            execute(enter)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('letters.tenant', true), count(*) FROM notes")
            tenant, count = cursor.fetchone()
            seen[event.letter_id.int] = tenant or None, count

    inbox.receive_bundle(letters(1, 2), queue="weighing")

    assert seen[1][0] == "one"
    assert seen[1][1] >= 1
    assert seen[2] == (None, 0)
    assert set(statuses().values()) == {HANDLED}
    assert "each event has its own transaction" in caplog.text
    assert "enter(" in caplog.text


def test_function_that_is_created_later_is_noticed(
    post: SimpleNamespace, notes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[bool] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        shared.append(is_shared())

    inbox.receive_bundle(letters(1, 2), queue="weighing")
    execute("RESET ROLE", MAKERS["function"][0], "SET ROLE letter_writer")
    monkeypatch.setattr(isolation, "_LOOK_SECONDS", 0.0)
    inbox.receive_bundle(letters(3, 4), queue="weighing")

    assert shared == [True, True, False, False]


def test_functions_that_only_read_settings_and_write_rows_change_nothing(
    post: SimpleNamespace, notes: None
) -> None:
    execute(
        "RESET ROLE",
        "CREATE FUNCTION enter(tenant text) RETURNS text LANGUAGE plpgsql SET search_path = public AS $$ BEGIN "
        "UPDATE notes SET tenant = enter.tenant WHERE false; UPDATE notes AS n SET (tenant) = ROW ('two') WHERE false; "
        "RETURN current_setting('letters.tenant', true); END $$",
        "SET ROLE letter_writer",
    )
    shared: list[bool] = []

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        shared.append(is_shared())

    inbox.receive_bundle(letters(1, 2), queue="weighing")

    assert shared == [True, True]


# Other sessions


@pytest.fixture
def second_alias() -> Iterator[str]:
    """Make a second alias for the same database, by which nobody waits long."""
    options = {**connection.settings_dict["OPTIONS"], "options": "-c lock_timeout=1s"}
    connections.databases["second"] = {**connection.settings_dict, "OPTIONS": options}
    connections["second"].connect()
    yield "second"
    connections["second"].close()
    del connections["second"], connections.databases["second"]


def test_handler_does_not_wait_for_its_neighbours_by_another_session(
    post: SimpleNamespace, second_alias: str
) -> None:
    Group.objects.create(name="scales")

    @microworkflow(on=post.WrittenAtDesk, context="weighing")
    def weigh(event: Any) -> None:
        if event.letter_id.int == 1:
            Group.objects.filter(name="scales").update(name="scales")
        else:
            assert Group.objects.using("second").filter(name="scales").exists()
            Group.objects.using("second").filter(name="scales").update(name=f"scales {event.letter_id.int}")

    inbox.receive_bundle(letters(1, 2), queue="weighing")

    assert statuses() == {1: HANDLED, 2: HANDLED}
    assert Group.objects.get().name == "scales 2"


def test_events_of_others_are_recorded_where_they_belong(post: SimpleNamespace) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def hide(event: Any) -> None:
        if event.letter_id.int == 2:
            execute("SET LOCAL search_path TO pg_temp")

    inbox.receive_bundle(letters(1, 3, 2), queue="desk")

    assert statuses()[1] == statuses()[3] == HANDLED
    assert OutboxEvent.objects.count() == 3
