"""Poolers between a project and PostgreSQL: PgBouncer, and psycopg's pool in Django."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.checks import run_checks
from django.db import OperationalError, connection, connections
from pytest_django import Settings

from microworkflows import isolation, poolers
from microworkflows.checks import surroundings
from microworkflows.cutover.splitting import databases
from microworkflows.errors import SharedSessionError
from microworkflows.relay import leadership, session
from microworkflows.worker import sessions
from tests.conftest import go_without
from tests.integration.conftest import StartRelay
from tests.integration.support import probing
from tests.integration.support.brokers import Broker
from tests.integration.support.pgbouncer import pgbouncer
from tests.integration.support.probing import ask
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually
from tests.servers import MissingServerError

pytestmark = [pytest.mark.postgres]

Pooler = Callable[..., dict[str, Any]]
Result = TypeVar("Result")

HERE = "default"


@pytest.fixture
def pooler(database: str, request: pytest.FixtureRequest) -> Iterator[Pooler]:
    """Yield what starts a pooler, ``pooler(mode, …)``, and returns where it listens."""
    with ExitStack() as running:

        def start(mode: str, **configuration: object) -> dict[str, Any]:
            try:
                url = running.enter_context(pgbouncer(database, mode=mode, **configuration))
            except MissingServerError as error:
                go_without(error, request.config)
            return {"HOST": "127.0.0.1", "PORT": urlsplit(url).port, "USER": "postgres", "PASSWORD": ""}

        yield start


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what changes an alias of ``DATABASES`` for the threads that are started from now on."""

    def configure(alias: str = HERE, **changed: Any) -> None:
        usual = connections.settings[HERE]
        monkeypatch.setitem(connections.settings, alias, {**usual, **changed})

    return configure


def in_thread(do: Callable[[], Result]) -> Result:
    """Do something in a new thread, whose connections are new."""

    def call() -> Result:
        try:
            return do()
        finally:
            for each in connections.all(initialized_only=True):
                poolers.end_session(each)

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(call).result()


def asked(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def opened_pools() -> dict[str, Any]:
    """Return Django's pools of this process, by alias."""
    untyped: Any = connection
    pools: dict[str, Any] = untyped._connection_pools
    return pools


@pytest.mark.parametrize(
    ("mode", "configuration", "is_shared"),
    [
        ("transaction", {}, True),
        ("transaction", {"default_pool_size": 1}, True),
        ("transaction", {"server_round_robin": 1, "min_pool_size": 2}, True),
        ("statement", {}, True),
        ("session", {}, False),
    ],
)
def test_pooler_that_shares_sessions_out_is_told_from_one_that_does_not(
    pooler: Pooler, mode: str, configuration: dict[str, Any], is_shared: bool
) -> None:
    with closing(connection.copy()) as direct, closing(connection.copy()) as pooled:
        pooled.settings_dict.update(pooler(mode, **configuration))

        assert not poolers.is_shared(direct)
        assert poolers.is_own(direct)
        assert not poolers.is_own(pooled)
        assert poolers.is_shared(pooled) == is_shared


def test_pooler_shows_under_load_that_it_shares_sessions_out(pooler: Pooler) -> None:
    pooled = {
        **pooler("transaction", server_round_robin=1),
        "OPTIONS": {},
    }  # it prepares nothing, which would be lost
    done = threading.Event()

    def work() -> None:
        with closing(connection.copy()) as own:
            own.settings_dict.update(pooled)
            while not done.is_set():
                with own.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(0.001)")

    workers = [threading.Thread(target=work) for _ in range(6)]
    try:
        for worker in workers:
            worker.start()
        with closing(connection.copy()) as own:
            own.settings_dict.update(pooled)
            assert all(poolers.is_shared(own) for _ in range(10))
    finally:
        done.set()
        for worker in workers:
            worker.join()


def test_nobody_can_tell_of_a_pooler_without_a_second_session(
    pooler: Pooler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poolers, "_SECONDS", 0.3)
    with closing(connection.copy()) as pooled:
        pooled.settings_dict.update(pooler("session", default_pool_size=1))

        with pytest.raises(OperationalError, match="nobody can tell"):
            poolers.is_shared(pooled)


@pytest.mark.rabbitmq
def test_relay_by_way_of_a_pooler_takes_no_lock_and_says_what_to_do(
    relay: StartRelay,
    broker: Broker,
    pooler: Pooler,
    configured: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    configured(**pooler("transaction"))

    running = relay(broker.url)

    eventually(lambda: not running.is_alive, what="the end of the relay")
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "relay probe: does not relay" in line.getMessage()
    assert "DIRECT_DATABASE" in line.getMessage()
    assert not asked(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )


@pytest.mark.parametrize("elsewhere", ["another database", "another schema"])
@pytest.mark.rabbitmq
def test_relay_whose_direct_way_leads_elsewhere_does_not_relay(
    relay: StartRelay,
    broker: Broker,
    configured: Callable[..., None],
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    elsewhere: str,
) -> None:
    settings.MICROWORKFLOWS = {"DIRECT_DATABASE": "direct"}
    away = {"NAME": "postgres"} if elsewhere == "another database" else {}
    configured("direct", OPTIONS={"options": "-c search_path=pg_catalog"}, **away)

    running = relay(broker.url)

    eventually(lambda: not running.is_alive, what="the end of the relay")
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "the table published there is not the one that events are recorded in" in line.getMessage()


def test_lock_that_a_pooler_took_elsewhere_is_noticed(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "_SIGN_SECONDS", 0.0)
    with closing(connection.copy()) as own:
        lock: Any = leadership.leadership(own, "probe")
        assert lock.acquire()
        assert lock.acquire()

        lock._backend += 1  # as after a pooler has given the session to others, unseen

        with pytest.raises(SharedSessionError):
            lock.acquire()


def test_move_by_way_of_a_pooler_is_refused(pooler: Pooler) -> None:
    with closing(connection.copy()) as pooled:
        pooled.settings_dict.update(pooler("transaction"))

        with pytest.raises(SharedSessionError), databases.only_mover(pooled, "payments"):
            raise AssertionError("the lock holds nobody off")


def test_checks_tell_of_a_pooler_and_of_what_it_needs(
    pooler: Pooler, configured: Callable[..., None], settings: Settings
) -> None:
    def found() -> set[str | None]:
        of_databases = {"E062", "W065", "W066", "E063", "E064"}
        messages = in_thread(lambda: run_checks(tags=[surroundings.TAG], databases=[HERE]))
        return {message.id for message in messages if message.id and message.id[-4:] in of_databases}

    direct = dict(connections.settings[HERE])
    assert found() == set()

    configured(**pooler("transaction"))
    assert found() == {"microworkflows.W065", "microworkflows.W066", "microworkflows.E062"}

    configured(OPTIONS={**direct["OPTIONS"], "prepare_threshold": None})
    assert found() == {"microworkflows.W065", "microworkflows.W066"}

    configured(DISABLE_SERVER_SIDE_CURSORS=True)
    assert found() == {"microworkflows.W065"}

    settings.MICROWORKFLOWS = {"DIRECT_DATABASE": "direct"}
    assert found() == {"microworkflows.E063"}

    configured("direct", **{**direct, "NAME": "postgres"})
    assert found() == {"microworkflows.E064"}

    configured("direct", **direct)
    assert found() == set()


def test_relays_session_prepares_nothing_whatever_the_project_does(
    database: str, configured: Callable[..., None]
) -> None:
    configured(OPTIONS={**connections.settings[HERE]["OPTIONS"], "prepare_threshold": 1})

    def prepared(*, by_the_kit: bool) -> int:
        if by_the_kit:
            session.prepare(connection)
        for _ in range(5):
            asked("SELECT 1")
        return int(asked("SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1'"))

    assert in_thread(lambda: prepared(by_the_kit=False)) == 1
    assert in_thread(lambda: prepared(by_the_kit=True)) == 0


# psycopg's pool


@pytest.fixture
def pool(database: str, configured: Callable[..., None]) -> Iterator[None]:
    """Give Django a pool of a single session."""
    options = {**connections.settings[HERE]["OPTIONS"], "pool": {"min_size": 1, "max_size": 1, "timeout": 10}}
    configured(OPTIONS=options, CONN_MAX_AGE=0)
    yield
    if pools := opened_pools():
        pools.pop(HERE).close()


@pytest.mark.rabbitmq
def test_relays_of_many_contexts_do_not_wait_for_a_small_pool(
    relay: StartRelay, broker: Broker, pool: None
) -> None:
    for context in ("another", "echo", "probe"):
        relay(broker.url, context)
    ask(3)

    assert [message.number for message in broker.take("echo", 3)] == [0, 1, 2]
    in_use = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'relay, %'"
    eventually(lambda: asked(in_use) == 3, what="one session for each context")
    assert not opened_pools()


def test_tasks_of_the_kit_keep_a_session_of_their_own_and_leave_the_pool_as_it_is(pool: None) -> None:
    def work() -> tuple[set[int], int, str]:
        kept = set()
        for _ in range(2):
            with sessions.outside_the_pool():
                kept.add(asked("SELECT pg_backend_pid()"))
                asked("SELECT set_config('app.tenant', 'first', false)")
        assert not opened_pools()
        pooled = asked("SELECT pg_backend_pid()"), asked("SELECT current_setting('app.tenant', true)")
        poolers.end_session(sessions._own.connection)
        return kept, *pooled

    kept, pooled, tenant = in_thread(work)

    assert len(kept) == 1
    assert kept != {pooled}
    assert not tenant


def test_changed_session_is_not_given_back_to_the_pool(pool: None) -> None:
    def work() -> str:
        with isolation.session_ends_if_changed(connections[HERE]):
            asked("SELECT set_config('app.tenant', 'first', false)")
        return str(asked("SELECT current_setting('app.tenant', true)") or "")

    assert in_thread(work) == ""


# Both at once


@pytest.mark.slow
@pytest.mark.rabbitmq
def test_worker_and_relay_work_by_way_of_both_poolers_and_leave_nothing_in_their_sessions(
    launch: Launcher, broker: Broker, pooler: Pooler, tmp_path: Path
) -> None:
    size = 12
    pooled = pooler("transaction", default_pool_size=size)
    names = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    direct = {name: connection.settings_dict[name] for name in names}
    usual = {**direct, **pooled, "OPTIONS": {"pool": True}, "DISABLE_SERVER_SIDE_CURSORS": True}
    worker = launch.worker(
        "probe",
        DATABASES={"default": usual, "direct": direct},
        MICROWORKFLOWS={"DIRECT_DATABASE": "direct"},
    )
    worker.says("relay probe: leads")

    ask(30)
    ask(behaviour="fail", file=str(tmp_path / "failed"), times=1)

    eventually(lambda: len(probing.effects()) == 31, what="the effect of each event, the retried one's too")
    url = f"postgresql://postgres@127.0.0.1:{pooled['PORT']}/{direct['NAME']}"
    with ExitStack() as stack:
        left = set()
        for _ in range(size):  # each transaction has a session to itself
            session = stack.enter_context(psycopg.connect(url))
            query = "SELECT current_setting('synchronous_commit'), current_setting('tcp_user_timeout')"
            left.add(session.execute(query).fetchone())
    assert left == {("on", "0")}
    assert worker.output.count("does not relay") == 0
