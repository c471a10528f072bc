"""Health of web, worker and relay, for probes."""

import json
import os
import platform
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.test import Client

from microworkflows import heartbeats, times
from microworkflows.heartbeats import Process
from microworkflows.metrics import bounded, health
from microworkflows.models import Heartbeat
from microworkflows.relay import leadership, session

pytestmark = pytest.mark.django_db(transaction=True)


def asked(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote."""
    output = StringIO()
    code: Any = 0
    try:
        call_command("health", *arguments, stdout=output)
    except SystemExit as end:
        code = end.code
    return code, output.getvalue().strip()


def beat(queue: str, *, host: str = "here", age: float = 0) -> Process:
    process = Process(worker=f"{queue}@{host}", host=host, pid=1, started_at=times.now())
    heartbeats.note(process, depths={queue: 0}, handling=0)
    seen = times.now() - timedelta(seconds=age)
    Heartbeat.objects.filter(worker=process.worker).update(seen_at=seen)
    return process


# Web


def test_web_is_ready_while_the_database_answers_though_the_broker_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("kombu.Connection.connect", refuse)
    monkeypatch.setattr("kombu.Connection.ensure_connection", refuse)

    for page in ("/live", "/ready"):
        response = client.get(page)
        assert (response.status_code, response.content) == (200, b"ok\n")


def test_web_is_not_ready_and_yet_live_while_the_database_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise OperationalError("connection to server at db.example refused")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", refuse)

    response = client.get("/ready")

    assert response.status_code == 503
    assert b"does not answer: OperationalError" in response.content
    assert b"db.example" not in response.content  # whoever asks learns no address
    assert client.get("/live").status_code == 200


def test_web_is_not_ready_until_the_migrations_are_applied(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ("microworkflows_metrics", "0001_initial") in health._last_migrations()
    monkeypatch.setattr(health, "_last_migrations", lambda: [("microworkflows", "9999_next")])

    response = client.get("/ready")

    assert (response.status_code, response.content) == (
        503,
        b"The database is not migrated: microworkflows.9999_next.\n",
    )


def test_web_is_not_ready_when_the_database_says_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "run", lambda works, seconds: None)

    response = client.get("/ready")

    assert (response.status_code, response.content) == (503, b"The database has not answered in 3 s.\n")


# Worker


def test_worker_that_beats_is_alive_and_one_that_is_silent_stopped_or_unseen_is_not(
    post: SimpleNamespace,
) -> None:
    assert asked("worker", "desk") == (1, "worker: desk: no worker was seen")
    process = beat("desk", age=3)
    code, said = asked("worker", "desk")
    assert code == 0
    assert said.startswith("worker: desk: desk@here is alive, seen ")
    assert asked("worker")[0] == 1  # nobody serves the others

    beat("desk", age=60)
    code, said = asked("worker", "desk")
    assert code == 1
    assert said.startswith("worker: desk: desk@here was last seen 6")
    heartbeats.note_stop(process)
    code, said = asked("worker", "desk")
    assert code == 1
    assert "desk@here was stopped" in said


def test_worker_of_another_machine_is_not_here(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "here")
    beat("desk", host="elsewhere")

    assert asked("worker", "desk")[0] == 0
    assert asked("worker", "desk", "--here") == (1, "worker: desk: no worker was seen")
    beat("desk", host="here")
    assert asked("worker", "desk", "--here")[0] == 0


def test_answer_is_given_as_json_too(post: SimpleNamespace) -> None:
    beat("desk")

    code, said = asked("worker", "desk", "--format", "json")

    found = json.loads(said)
    assert code == 0
    assert found["ok"] is True
    assert found["worker"]["desk"]["ok"] is True
    assert "is alive" in found["worker"]["desk"]["says"]


def test_unknown_context_is_refused_by_name(post: SimpleNamespace) -> None:
    with pytest.raises(
        CommandError, match=r"No such context: dsek\. Do you mean .desk.. Known are: archive, desk, letters"
    ):
        asked("worker", "dsek")


# Relay


def test_relay_that_leads_is_healthy_and_without_one_nobody_is(post: SimpleNamespace) -> None:
    assert asked("relay", "desk") == (1, "relay: desk: no relay leads")
    own = connections.create_connection("default")
    session.prepare(own)
    lock = leadership.leadership(own, "desk")
    try:
        assert lock.acquire()

        for here in ([], ["--here"]):
            code, said = asked("relay", "desk", *here)
            assert code == 0
            assert said.startswith(f"relay: desk: process {os.getpid()} on {os.uname().nodename}")
            assert said.endswith("leads")
    finally:
        lock.release()
        own.close()


@pytest.mark.postgres
def test_relay_that_stands_by_here_is_healthy_and_one_of_elsewhere_is_not_here(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [connections.create_connection("default") for _ in range(2)]
    locks = []
    try:
        for host, own in zip(("elsewhere", "here"), sessions, strict=True):
            session.prepare(own, name=f"{leadership.ROLE}process 7 on {host}")
            locks.append(leadership.leadership(own, "desk"))
            locks[-1].acquire()

        def here(host: str) -> tuple[int, str]:
            monkeypatch.setattr(platform, "node", lambda: host)
            return asked("relay", "desk", "--here")

        code, said = here("here")
        assert code == 0
        assert "process 7 on here" in said
        assert "stands by; process 7 on elsewhere" in said
        assert here("elsewhere")[0] == 0
        code, said = here("nowhere")
        assert code == 1
        assert said.startswith("relay: desk: none is here; process 7 on elsewhere")

        monkeypatch.setattr(health, "LEASE_SECONDS", -1.0)  # both are silent for too long
        assert asked("relay", "desk")[0] == 1
    finally:
        for own in sessions:
            own.close()


def test_database_that_is_away_is_unknown_and_neither_good_nor_bad(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", refuse)

    for kind in ("worker", "relay"):
        code, said = asked(kind, "desk")
        assert code == 3
        assert said == f"{kind}: unknown: the database does not answer: OperationalError: connection refused"
        assert json.loads(asked(kind, "desk", "--format", "json")[1])["ok"] is None


# When it is not installed


def test_without_the_app_nothing_of_it_is_imported() -> None:
    program = """
import sys, django
from django.conf import settings
from project import settings as shop
apps = [app for app in shop.INSTALLED_APPS if app != "microworkflows.metrics"]
settings.configure(**{name: getattr(shop, name) for name in dir(shop) if name.isupper()} | {"INSTALLED_APPS": apps})
django.setup()
import microworkflows.testing, microworkflows.worker.consumer, microworkflows.relay.loop, microworkflows.admin
print(sorted(name for name in sys.modules if name.startswith(("microworkflows.metrics", "prometheus_client"))))
from microworkflows import flows
print([guest for guest in flows._guests if "metrics" in type(guest).__module__])
"""
    environment = {**os.environ, "DEBUG": "1", "DJANGO_SETTINGS_MODULE": ""}
    root = Path(__file__).resolve().parents[3]

    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stdout) == (0, "[]\n[]\n"), run.stderr
