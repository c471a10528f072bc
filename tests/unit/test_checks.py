"""Each check, by its stable id; and that ``manage.py check`` runs them."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import django.db
import pytest
from celery import current_app
from django.core.checks import ERROR, WARNING, CheckMessage
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from kombu import Queue
from pytest_django import Settings

from microworkflows import DomainEvent, IncomingEvent, microworkflow
from microworkflows.checks import surroundings
from microworkflows.models import InboxEvent
from project.service import CONTEXTS
from tests.architecture.files import ROOT


def _ids(check: Callable[[], list[CheckMessage]]) -> list[str | None]:
    return [message.id for message in check()]


@pytest.mark.django_db
def test_the_shop_passes_every_check_without_a_warning() -> None:
    call_command("check", fail_level="WARNING", stderr=StringIO())


def test_manage_py_check_runs_the_checks(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPT": 1}

    with pytest.raises(SystemCheckError, match=r"microworkflows\.E001.*unknown settings: MAX_ATTEMPT"):
        call_command("check")


def test_e002_database_that_the_kit_does_not_know() -> None:
    connection = SimpleNamespace(vendor="mysql")

    with mock.patch.object(surroundings, "connections", {"default": connection}):
        assert _ids(surroundings.check_database) == ["microworkflows.E002"]


def test_e002_outbox_and_inbox_apart() -> None:
    with mock.patch.object(django.db.router, "db_for_write", lambda model: str(model is InboxEvent)):
        assert _ids(surroundings.check_database) == ["microworkflows.E002"]


def test_e004_models_of_a_context_apart_from_its_inbox() -> None:
    assert surroundings.check_models() == []

    with mock.patch.object(
        django.db.router, "db_for_write", lambda model: "bank" if model.__name__ == "Payment" else "default"
    ):
        (problem,) = surroundings.check_models()

    assert problem.id == "microworkflows.E004"
    assert (
        "The models of payments do not lie where its inbox does ('default'): Payment in 'bank'."
        in problem.msg
    )


@pytest.mark.parametrize(
    ("driver", "version", "expected"),
    [
        ("psycopg", "3.2.4", []),
        ("psycopg", "3.10.0.dev1", []),
        ("psycopg", "3.2.3", ["microworkflows.E003"]),
        ("psycopg2", "2.9.10 (dt dec pq3 ext lo64)", ["microworkflows.E003"]),
    ],
)
def test_e003_driver_that_loses_notifications(driver: str, version: str, expected: list[str]) -> None:
    database = SimpleNamespace(__name__=driver, __version__=version)
    connection = SimpleNamespace(vendor="postgresql", Database=database)

    with mock.patch.object(surroundings, "connections", {"default": connection}):
        assert _ids(surroundings.check_driver) == expected


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("worker_consumer", "celery.worker.consumer:Consumer", "microworkflows.E030"),
        ("broker_url", "redis://localhost", "microworkflows.E031"),
        ("broker_url", "embedded://", "microworkflows.E031"),
        ("broker_url", "embedded://folder", "microworkflows.E031"),
        ("broker_url", "embedded:////one;embedded:///two", "microworkflows.E031"),
        ("broker_url", "embedded:///srv/shop/broker", None),
        ("broker_url", ["amqp://one", "amqp://two"], None),
        ("broker_url", "amqp://one;amqp://two", None),
        ("broker_url", ["amqp://one", "redis://two"], "microworkflows.E031"),
        ("broker_url", None, None),
        ("task_always_eager", True, "microworkflows.E032"),
        ("task_time_limit", 60, "microworkflows.W033"),
    ],
)
def test_e030_to_w033_celery_set_up_so_that_events_would_be_lost(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: object, expected: str | None
) -> None:
    _set_celery(monkeypatch, setting, value)

    assert _ids(surroundings.check_celery) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("users", "broker", "expected"),
    [
        ({}, "amqp://localhost", []),
        ({"orders": "orders"}, "amqp://orders@localhost", ["microworkflows.E034"] * 3),
        ({name: name for name in CONTEXTS}, "amqp://orders@localhost", []),
        ({name: name for name in CONTEXTS}, "amqp://shop@localhost", ["microworkflows.W036"]),
        ({name: name for name in CONTEXTS}, "amqp://localhost", ["microworkflows.W036"]),
        ({name: name for name in CONTEXTS}, "embedded:///folder", ["microworkflows.W035"]),
    ],
)
def test_e034_to_w036_users_that_are_unknown_or_unheeded(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    users: dict[str, str],
    broker: str,
    expected: list[str],
) -> None:
    _set_celery(monkeypatch, "broker_url", broker)
    settings.MICROWORKFLOWS = {"USERS": users}

    assert _ids(surroundings.check_users) == expected


def _set_celery(monkeypatch: pytest.MonkeyPatch, setting: str, value: object) -> None:
    """Set it by both names: before 5.7, Celery reads the one that the settings have first."""
    changes: Any = current_app.conf.changes
    for name in (setting, f"CELERY_{setting.upper()}"):
        monkeypatch.setitem(changes, name, value)


# Before and after something is declared

UNSAFE = [
    ("worker_consumer", "celery.worker.consumer:Consumer"),
    ("broker_url", "redis://localhost"),
    ("task_always_eager", True),
]


@pytest.fixture(params=UNSAFE, ids=["E030", "E031", "E032"])
def unsafe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set Celery up so that events would be lost; return the id of the check that tells."""
    _set_celery(monkeypatch, *request.param)
    return f"microworkflows.E03{UNSAFE.index(request.param)}"


def test_unsafe_celery_is_a_warning_while_nothing_is_declared(empty_registry: None, unsafe: str) -> None:
    (problem,) = surroundings.check_celery()

    assert (problem.id, problem.level) == (unsafe, WARNING)


def test_unsafe_celery_is_an_error_once_an_event_is_announced(empty_registry: None, unsafe: str) -> None:
    class Composed(DomainEvent, type="letters.composed.v1"):
        pass

    (problem,) = surroundings.check_celery()

    assert (problem.id, problem.level) == (unsafe, ERROR)


def test_unsafe_celery_is_an_error_once_a_microworkflow_listens(empty_registry: None, unsafe: str) -> None:
    class Written(IncomingEvent, type="letters.written.v1"):
        pass

    microworkflow(on=Written, context="desk")(lambda event: None)

    (problem,) = surroundings.check_celery()

    assert (problem.id, problem.level) == (unsafe, ERROR)


def _worker(*queues: str) -> SimpleNamespace:
    """Return what Celery tells of a worker that starts and consumes these queues."""
    amqp = SimpleNamespace(queues=SimpleNamespace(consume_from=dict.fromkeys(queues)))
    return SimpleNamespace(app=SimpleNamespace(amqp=amqp, conf=current_app.conf, main="shop"))


def test_worker_of_a_context_does_not_start_and_says_why_and_what_to_do(unsafe: str) -> None:
    with pytest.raises(SystemExit, match=rf"(?s)Not started.*\({unsafe}\).*HINT: "):
        surroundings.guard_worker(_worker("celery", "orders"))


@pytest.mark.parametrize("model", ["Payment", "InboxEvent"], ids=["E004", "E002"])
def test_worker_whose_steps_would_not_commit_as_one_does_not_start(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery ignores what Django's checks find."""
    monkeypatch.setattr(
        django.db.router, "db_for_write", lambda asked: "bank" if asked.__name__ == model else "default"
    )

    with pytest.raises(SystemExit, match=r"(?s)done twice.*microworkflows\.E00[24]\).*"):
        surroundings.guard_worker(_worker("payments"))


def test_worker_of_other_queues_starts(unsafe: str) -> None:
    surroundings.guard_worker(_worker("celery"))


def test_worker_starts_where_the_check_is_silenced(unsafe: str, settings: Settings) -> None:
    settings.SILENCED_SYSTEM_CHECKS = [unsafe]

    surroundings.guard_worker(_worker("orders"))


def test_relay_does_not_start_even_if_it_skips_the_checks(unsafe: str) -> None:
    with pytest.raises(SystemCheckError, match=unsafe):
        call_command("relay", "orders", parent=-1, skip_checks=True)  # an orphan ends


@pytest.mark.acceptance
@pytest.mark.parametrize("broker", ["memory://", "embedded:///tmp"])
def test_real_worker_of_an_app_that_was_not_set_up_ends_before_it_takes_an_event(
    tmp_path: Path, broker: str
) -> None:
    url = broker.replace("/tmp", str(tmp_path / "broker"))
    (tmp_path / "plain.py").write_text(f"import celery; app = celery.Celery(broker={url!r})")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}"}

    worker = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "plain", "worker", "-Q", "orders", "-P", "solo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert worker.returncode == 1
    assert "microworkflows.E030" in worker.stderr
    assert " ready." not in worker.stderr


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ({}, []),
        ({"orders.tasks.*": {"queue": "mails"}, "other": {"routing_key": "orders"}}, []),
        ({"orders.tasks.*": {"queue": "orders"}}, ["microworkflows.E037"]),
        ({"orders.tasks.*": "payments"}, ["microworkflows.E037"]),
        ({"orders.tasks.*": {"queue": Queue("payments")}}, ["microworkflows.E037"]),
        (["a.router"], []),
    ],
)
def test_e037_own_task_that_goes_to_a_contexts_queue(
    monkeypatch: pytest.MonkeyPatch, routes: object, expected: list[str]
) -> None:
    _set_celery(monkeypatch, "task_routes", routes)

    assert _ids(surroundings.check_routes) == expected


# Versions


def test_what_is_installed_here_was_tested() -> None:
    assert _ids(surroundings.check_versions) == []


@pytest.mark.parametrize("version", ["5.4.9", "5.8.0rc1", "6.0"])
def test_w050_version_that_was_never_tested(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(
        surroundings, "_installed", {**INSTALLED, "celery": version, "billiard": "4.2"}.__getitem__
    )

    (problem,) = surroundings.check_versions()

    assert problem.id == "microworkflows.W050"
    assert f"celery {version} is installed; microworkflows was tested with 5.5 to 5.7." in problem.msg


@pytest.mark.parametrize("version", ["5.5", "5.5.0", "5.7.99"])
def test_every_release_of_a_tested_version_passes(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(
        surroundings, "_installed", {**INSTALLED, "celery": version, "billiard": "4.2"}.__getitem__
    )

    assert surroundings.check_versions() == []


@pytest.mark.parametrize(
    ("celery", "billiard", "expected"),
    [
        ("5.6.3", "4.2.4", []),
        ("5.7.0", "4.3.2", []),
        ("5.6.3", "4.3.0", ["microworkflows.W051"]),
    ],
)
def test_w051_celery_that_misreads_the_end_of_a_process(
    monkeypatch: pytest.MonkeyPatch, celery: str, billiard: str, expected: list[str]
) -> None:
    installed = {**INSTALLED, "celery": celery, "billiard": billiard}
    monkeypatch.setattr(surroundings, "_installed", installed.__getitem__)

    assert _ids(surroundings.check_versions) == expected


INSTALLED = {name: newest for name, (_, newest) in surroundings.TESTED.items()}


def test_wheel_is_bounded_by_what_was_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = {
        name: (".".join(lower.split(".")[:2]), upper)
        for name, lower, upper in (
            re.fullmatch(r"(\w+)>=([\d.]+),<([\d.]+)", needed).groups()  # type: ignore[union-attr]  # each has both
            for needed in project["dependencies"]
            if "<" in needed
        )
    }
    classified = {
        name: [text.rpartition(" ")[2] for text in project["classifiers"] if text.startswith(f"{kind} :: ")]
        for name, kind in (("Python", "Programming Language :: Python"), ("Django", "Framework :: Django"))
    }

    assert {name: (versions[0], versions[-1]) for name, versions in classified.items()} == {
        name: surroundings.TESTED[name] for name in classified
    }
    assert project["requires-python"] == f">={surroundings.TESTED['Python'][0]}"
    assert bounds == {
        name.lower(): (oldest, _next(newest))
        for name, (oldest, newest) in surroundings.TESTED.items()
        if name != "Python"
    }


@pytest.mark.parametrize("name", surroundings.TESTED)
def test_documented_versions_are_the_tested_ones(name: str) -> None:
    oldest, newest = map(re.escape, surroundings.TESTED[name])

    assert re.search(
        rf"^\| (?:py-)?{name} \| {oldest}(?:\.\d+)? to {newest} \|",
        (ROOT / "docs/reference/compatibility.md").read_text(),
        re.MULTILINE | re.IGNORECASE,
    )


def _next(version: str) -> str:
    major, minor = version.split(".")
    return f"{major}.{int(minor) + 1}"
