"""Fixtures for all tests: a database of this run's own, fresh virtual hosts on RabbitMQ, and a browser.

Where a server is missing, its tests skip loudly; with ``CI=true`` they fail.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import django
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from selenium import webdriver

from tests import leftovers, progress, servers, soaking
from tests.soaking import soaked

__all__ = ["soaked"]

# Before Django reads its settings: they come from this environment.
servers.choose_environment()
django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import TransactionTestCase  # noqa: E402

from microworkflows import holds  # noqa: E402

# A password hash that is safe takes half a second: too long for every test that logs in.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# No test fails because the machine is slow.
hypothesis_settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
hypothesis_settings.load_profile("patient")

NEEDS = {"postgres": servers.postgres_url, "rabbitmq": servers.rabbitmq, "browser": servers.chromium}
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

_missing: dict[str, list[str]] = {}


# Database


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Name the test database after this run (a hook of pytest-django)."""
    connection.settings_dict["TEST"]["NAME"] = servers.database_name(connection.vendor)


@pytest.fixture(autouse=True)
def holds_of_this_test() -> None:
    """Forget what is paused: a process reads it once a second, and tests share one."""
    holds.forget()


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """Return the URL of the test database, for processes that a test starts."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    login = quote(database["USER"], safe="")
    if database["PASSWORD"]:
        login += ":" + quote(database["PASSWORD"], safe="")
    return f"postgresql://{login}@{database['HOST']}:{database['PORT'] or 5432}/{database['NAME']}"


def empty_touched_tables(case: TransactionTestCase) -> None:
    """Empty the tables that a test wrote to; Django would empty all, and make the permissions anew: 20 times the work."""
    kept = {"django_migrations", "django_content_type", "auth_permission"}
    tables = set(connection.introspection.django_table_names(only_existing=True)) - kept
    names = {table: connection.ops.quote_name(table) for table in sorted(tables)}
    counted = (f"SELECT '{table}', count(*) FROM {name} HAVING count(*) > 0" for table, name in names.items())
    # In one transaction, because foreign keys are looked at when it ends.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counted))
        for table, rows in cursor.fetchall():
            # Many dead rows would slow the next tests down; a new file is slower than a few.
            if rows > 100 and connection.vendor == "postgresql":
                cursor.execute(f"TRUNCATE {names[table]} CASCADE")
            else:
                cursor.execute(f"DELETE FROM {names[table]}")


TransactionTestCase._fixture_teardown = empty_touched_tables  # type: ignore[attr-defined]


# Broker


@pytest.fixture(scope="session")
def rabbitmq_vhost(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the broker URL of a virtual host that the whole run shares."""
    yield from vhost(request)


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the broker URL of an empty virtual host that is this test's alone (it takes about a second)."""
    yield from vhost(request)


def vhost(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the broker URL of a new virtual host, for a fixture to yield from."""
    try:
        server = servers.rabbitmq()
    except servers.MissingServerError as error:
        go_without(error, request.config)
    url = server.make_vhost()
    yield url
    server.delete_vhost(url)


# Browser


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    """Yield a headless Chromium with an empty profile."""
    try:
        binary, driver = servers.chromium()
    except servers.MissingServerError as error:
        go_without(error, request.config)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    # No sandbox, because CI runs as root. No background networking, because tests stay on this machine.
    flags = "headless=new no-sandbox disable-dev-shm-usage disable-gpu disable-quic no-first-run"
    flags += " disable-background-networking disable-component-update disable-sync window-size=1400,1000"
    for flag in flags.split():
        options.add_argument(f"--{flag}")
    environment = {**os.environ, "TMPDIR": str(servers.SCRATCH)}  # profiles go away with this run's files
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver, env=environment))
    yield chrome
    chrome.quit()


# Prometheus


@pytest.fixture
def promtool(request: pytest.FixtureRequest) -> str:
    """Return the path of promtool."""
    try:
        return servers.promtool()
    except servers.MissingServerError as error:
        go_without(error, request.config)


# Missing servers


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test whose marker names a server that is not there."""
    for marker, find in NEEDS.items():
        if item.get_closest_marker(marker):
            try:
                find()
            except servers.MissingServerError as error:
                go_without(error, item.config)


def go_without(error: servers.MissingServerError, config: pytest.Config) -> NoReturn:
    """Skip the test that runs, for want of a server, and count it for the summary; with ``CI=true`` fail it."""
    _note_missing(error.server, [str(error)], config)
    if IN_CI:
        pytest.fail(f"{error}, and CI=true lets no test skip", pytrace=False)
    pytest.skip(str(error))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that sums up which servers were missing, where the tests run in several."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["missing"] = _missing


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let each process of pytest-xdist choose an environment of its own, before it reads settings: else they share a broker."""
    del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take from a process of pytest-xdist which servers were missing to its tests."""
    for server, reasons in getattr(node, "workeroutput", {}).get("missing", {}).items():
        _note_missing(server, reasons, node.config)


def _note_missing(server: str, reasons: list[str], config: pytest.Config) -> None:
    _missing.setdefault(server, []).extend(reasons)
    if coverage := config.pluginmanager.getplugin("_cov"):
        coverage.options.cov_fail_under = 0  # the limit is for runs in which every test ran


def pytest_report_header() -> str:
    """Say which database this run uses."""
    return f"database: {urlsplit(os.environ['DATABASE_URL']).scheme}, named {servers.RUN} for this run"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests did not run for want of a server, and how to start it."""
    if _missing:
        terminalreporter.section("SERVERS MISSING", yellow=True, bold=True)
    for server, reasons in _missing.items():
        outcome = "failed" if IN_CI else "skipped"
        terminalreporter.write_line(f"{len(reasons)} {outcome}: {reasons[0]}", yellow=True)
        terminalreporter.write_line(f"To run them, {servers.HOW_TO_START[server]}", yellow=True)


def pytest_configure(config: pytest.Config) -> None:
    """Remove what killed runs left; let a run that is told to end (SIGTERM) still remove its own things."""
    if not hasattr(config, "workerinput"):  # the process that sums up, or the only one
        leftovers.remove()
        config.pluginmanager.register(progress.Plugin(config))
        config.pluginmanager.register(soaking.Plugin())
    run = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != run:  # a process that a test forked
            os._exit(128 + number)
        pytest.exit("ended by SIGTERM", returncode=128 + number)

    signal.signal(signal.SIGTERM, end)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: then the processes that run the tests end at about the same time."""
    progress.longest_first(items)


def pytest_unconfigure() -> None:
    """Remove this run's files."""
    servers.remove_scratch()
