"""The page /metrics: formats, access, and what it says when a part of the system is away."""

import logging
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.checks import run_checks
from django.db import OperationalError, connections, transaction
from django.test import Client
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format
from pytest_django import Settings

from microworkflows import outbox, registry
from microworkflows.metrics import bounded, checks, database, scrape
from microworkflows.metrics.catalog import METRICS, OLDEST_PENDING, SCRAPE_ERROR
from microworkflows.metrics.samples import Sample

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let each test begin with nothing told."""
    scrape._told.clear()
    yield
    scrape._told.clear()


def errors(page: str) -> dict[str, str]:
    return dict(re.findall(r'^microworkflows_scrape_error\{part="(\w+)"\} (\S+)$', page, re.MULTILINE))


def test_promtool_accepts_the_page(client: Client, post: SimpleNamespace, promtool: str) -> None:
    page = client.get("/metrics").content

    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_page_shows_the_metrics_of_the_catalogue_and_no_others(client: Client, post: SimpleNamespace) -> None:
    page = client.get("/metrics").content.decode()

    shown = {sample.name for family in text_format(page) for sample in family.samples}

    known = {name for metric in METRICS for name in metric.samples}
    assert shown <= known
    assert {"microworkflows_outbox_events", "microworkflows_hop_seconds_bucket"} <= shown
    assert errors(page) == dict.fromkeys([*scrape.IN_DATABASE, *scrape.AT_BROKER], "0.0")


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("", "text/plain; version=0.0.4", "\n"),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0",
            "# EOF\n",
        ),
    ],
)
def test_format_is_the_one_that_the_request_accepts(
    client: Client, post: SimpleNamespace, accept: str, content_type: str, end: str
) -> None:
    response = client.get("/metrics", headers={"Accept": accept})

    assert response.headers["Content-Type"].startswith(content_type)
    assert response.content.decode().endswith(end)
    assert "no-store" in response.headers["Cache-Control"]
    assert list((openmetrics if accept else text_format)(response.content.decode()))


def test_page_with_a_token_is_shown_to_whoever_has_it(
    client: Client, post: SimpleNamespace, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"METRICS_TOKEN": "s3cret"}

    refused = [client.get("/metrics"), client.get("/metrics", headers={"Authorization": "Bearer no"})]
    shown = client.get("/metrics", headers={"Authorization": "Bearer s3cret"})

    assert [response.status_code for response in refused] == [401, 401]
    assert refused[0].headers["WWW-Authenticate"] == "Bearer"
    assert shown.status_code == 200
    assert client.post("/metrics").status_code == 405


def test_database_that_is_away_leaves_what_the_broker_tells(
    client: Client, post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: object) -> None:
        raise OperationalError("connection to server at db.example refused")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", refuse)
    with caplog.at_level(logging.INFO):
        page, again = (client.get("/metrics").content.decode() for _ in range(2))
        monkeypatch.undo()
        mended = client.get("/metrics").content.decode()

    for each in (page, again):
        assert errors(each) == {**dict.fromkeys(scrape.IN_DATABASE, "1.0"), "broker": "0.0"}
        assert "outbox" not in each.replace('part="outbox"', "")
    assert set(errors(mended).values()) == {"0.0"}
    told = [
        record.getMessage() for record in caplog.records if record.name == "microworkflows.metrics.scrape"
    ]
    assert len([line for line in told if "cannot be read" in line and "db.example" in line]) == len(
        scrape.IN_DATABASE
    )
    assert len([line for line in told if "can be read again" in line]) == len(scrape.IN_DATABASE)


def test_broker_that_is_away_makes_its_numbers_absent_and_never_zero(
    client: Client, post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, name: str) -> None:
        raise ConnectionRefusedError("mq.example")

    monkeypatch.setattr("microworkflows.loads.Loads.of", refuse)

    page = client.get("/metrics").content.decode()

    assert errors(page)["broker"] == "1.0"
    assert "microworkflows_dead_letters" not in page
    assert "microworkflows_queue_messages" not in page
    assert "microworkflows_outbox_events{" in page


def test_part_that_fails_midway_keeps_what_it_told_and_costs_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks() -> Iterator[Sample]:
        yield Sample(OLDEST_PENDING, ("desk",), 7)
        raise OperationalError("statement timeout")

    monkeypatch.setattr(scrape, "IN_DATABASE", {"outbox": breaks, "inbox": list})
    monkeypatch.setattr(scrape, "AT_BROKER", {})

    found = list(scrape.scrape())

    assert Sample(OLDEST_PENDING, ("desk",), 7) in found
    assert Sample(SCRAPE_ERROR, ("outbox",), 1) in found
    assert Sample(SCRAPE_ERROR, ("inbox",), 0) in found


def test_scrape_ends_in_time_while_the_broker_hangs_and_begins_no_second_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on, looks = threading.Event(), []

    def hangs() -> Iterator[Sample]:
        looks.append(1)
        goes_on.wait(60)
        yield from ()

    monkeypatch.setattr(scrape, "AT_BROKER", {"broker": hangs})
    monkeypatch.setattr(scrape, "IN_DATABASE", {})
    try:
        for _ in range(3):
            assert Sample(SCRAPE_ERROR, ("broker",), 1) in list(scrape.scrape(seconds=0.1))
        assert looks == [1]
    finally:
        goes_on.set()
        with bounded._locks["broker"]:
            pass
    assert Sample(SCRAPE_ERROR, ("broker",), 0) in list(scrape.scrape())


@pytest.mark.postgres
def test_statement_that_takes_long_ends_and_its_part_is_unknown(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> Iterator[Sample]:
        with database.limited(), connections[database.alias()].cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")
        yield from ()

    monkeypatch.setattr(database, "STATEMENT_SECONDS", 0.1)
    monkeypatch.setattr(scrape, "IN_DATABASE", {"outbox": slow, "inbox": list})
    monkeypatch.setattr(scrape, "AT_BROKER", {})

    found = list(scrape.scrape())

    assert Sample(SCRAPE_ERROR, ("outbox",), 1) in found
    assert Sample(SCRAPE_ERROR, ("inbox",), 0) in found


def test_scrape_takes_two_queries_for_each_context_and_sixteen_for_all(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction.atomic():
        outbox.record(post.LetterWritten(letter_id=uuid4()))
    queries: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        queries.append(sql)
        return execute(sql, *rest)

    list(scrape.scrape())  # the first one begins the tallies
    ensure = database.opened

    @contextmanager
    def opened(name: str) -> Iterator[Any]:
        with ensure(name) as connection, connection.execute_wrapper(note):
            yield connection

    monkeypatch.setattr(database, "opened", opened)
    list(scrape.scrape())

    statements = [sql for sql in queries if not sql.startswith(("SET LOCAL", "BEGIN"))]
    assert 10 <= len(statements) <= 2 * len(registry.contexts()) + 16, statements


def test_checks_name_a_missing_library_and_totals_in_another_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [
        each.id for each in run_checks() if each.id in {"microworkflows.E070", "microworkflows.E071"}
    ] == []

    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    monkeypatch.setattr("django.db.router.db_for_write", lambda model: model.__name__)

    found = [*checks.check_client(), *checks.check_database()]

    assert [each.id for each in found] == ["microworkflows.E070", "microworkflows.E071"]
