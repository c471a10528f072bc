"""The journal in other arrangements: filled from another service's database, in a database of its own, without time zones."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import psycopg
import pytest

from microworkflows.journal import broker as journals_broker
from microworkflows.journal.models import Attempt, Delivery, Flow
from microworkflows.models import InboxEvent
from project.processes.servers import database as new_database
from tests import servers
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgres, pytest.mark.slow]

JOURNAL = ["microworkflows.journal"]
READABLE = "published, received, microworkflows_history, microworkflows_heartbeat"


@pytest.fixture
def journaling(launch: Launcher, broker: Broker) -> Launcher:
    """Return a launcher of processes that report, and whose notices find an empty queue."""
    launch._settings["GUESTS"] = JOURNAL
    with broker.channel() as channel:
        channel.queue_delete(journals_broker.queue().name)
        channel.exchange_delete(journals_broker.queue().name)
    return launch


@pytest.fixture
def second() -> Iterator[str]:
    """Yield the URL of another, empty database."""
    with new_database(servers.postgres_url(), f"{servers.RUN}_second") as url:
        yield url


@pytest.fixture
def reader(database: str) -> Iterator[str]:
    """Yield the URL by which a role that may read four tables comes into the run's database."""
    role = f"{servers.RUN}_reader"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
        connection.execute(f"GRANT SELECT ON {READABLE} TO {role}".encode())
        yield (
            urlsplit(database)
            ._replace(netloc=f"{role}@{urlsplit(database).netloc.rpartition('@')[2]}")
            .geturl()
        )
        connection.execute(f"DROP OWNED BY {role}".encode())
        connection.execute(f"DROP ROLE {role}".encode())


def test_journal_is_filled_from_another_services_database(
    journaling: Launcher, second: str, reader: str
) -> None:
    journaling.worker("probe,echo", MICROWORKFLOWS={"JOURNAL_COLLECTOR": "none", "MAX_ATTEMPTS": 2})
    ask(3, behaviour="emit")
    ask(1, behaviour="fail")
    eventually(
        lambda: len(effects("echo.conclude")) == 3 and InboxEvent.objects.parked().exists(), what="all"
    )
    collects: dict[str, Any] = {
        "DATABASES": {"default": _settings(second), "probes": _settings(reader)},
        "MICROWORKFLOWS": {"JOURNAL_SOURCES": ["probes"]},
    }
    journaling.run("migrate", "--verbosity", "0", **collects)

    said = journaling.run("journal_collect", "--fill", **collects)

    assert "probes: " in said
    assert _rows(second, "SELECT count(*) FROM microworkflows_journal_flow") == [(4,)]
    attempts = "SELECT number, ending FROM microworkflows_journal_attempt ORDER BY ended_at"
    assert _rows(second, attempts) == [(1, "failed"), (2, "parked")]
    emitters = "SELECT DISTINCT emitted_by FROM microworkflows_journal_event WHERE type = 'probe.answered.v1'"
    assert _rows(second, emitters) == [("probe.answer",)]
    assert not Flow.objects.exists()


def test_journal_has_a_database_of_its_own(journaling: Launcher, database: str, second: str) -> None:
    apart: dict[str, Any] = {
        "DATABASES": {"default": _settings(database), "journal": _settings(second)},
        "DATABASE_ROUTERS": ["microworkflows.journal.routers.JournalRouter"],
    }
    journaling.run("migrate", "--database", "journal", "--verbosity", "0", **apart)
    journaling.worker("probe,echo", **apart)

    ask(3, behaviour="emit")

    done = f"SELECT count(*) FROM microworkflows_journal_flow WHERE state = {Flow.State.DONE.value}"
    eventually(lambda: _rows(second, done) == [(3,)], what="three flows that are done in its own database")
    assert not Flow.objects.exists()
    assert "done" in journaling.run("journey", str(_rows(second, FLOW)[0][0]), **apart)


def test_journal_of_a_project_whose_times_have_no_zone(journaling: Launcher) -> None:
    zone = "America/New_York"
    without: dict[str, Any] = {"USE_TZ": False, "TIME_ZONE": zone, "MICROWORKFLOWS": {"MAX_ATTEMPTS": 2}}
    began = datetime.now(UTC) - timedelta(seconds=1)
    journaling.worker("probe,echo", **without)

    ask(2, behaviour="emit")
    ask(1, behaviour="fail")

    eventually(
        lambda: Flow.objects.filter(state=Flow.State.DONE).count() == 2, what="two flows that are done"
    )
    eventually(lambda: Flow.objects.filter(state=Flow.State.FAILED).count() == 1, what="one that failed")
    ended = datetime.now(UTC)
    times = [
        *Flow.objects.values_list("began_at", flat=True),
        *Attempt.objects.values_list("ended_at", flat=True),
    ]
    times += Delivery.objects.values_list("received_at", flat=True)
    assert all(began < time < ended for time in times)
    told = (Flow.objects.count(), Delivery.objects.count(), Attempt.objects.count())
    since = f"{began.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M:%S}"
    assert "rows since" in journaling.run("journal_collect", "--fill", "--since", since, **without)
    assert (Flow.objects.count(), Delivery.objects.count(), Attempt.objects.count()) == told


FLOW = "SELECT correlation_id FROM microworkflows_journal_flow LIMIT 1"


def _settings(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname or "",
        "PORT": parts.port or 5432,
    }


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()
