"""The project: its settings come from the environment and refuse what is unsafe; /healthz tells the truth."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.architecture.files import ROOT

PRINT = """
import json
from django.conf import settings
names = "SECRET_KEY DEBUG ALLOWED_HOSTS BROKER_URL CELERY_WORKER_ENABLE_REMOTE_CONTROL CELERY_WORKER_CONCURRENCY".split()
database = {key: settings.DATABASES["default"].get(key) for key in ("ENGINE", "HOST", "OPTIONS")}
print(json.dumps({name: getattr(settings, name) for name in names} | {"database": database}))
"""


def read_settings(**environment: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "project.settings", **environment}
    command = [sys.executable, "-c", PRINT]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def settings_with(**environment: str) -> dict[str, Any]:
    result = read_settings(**environment)
    assert result.returncode == 0, result.stderr
    settings: dict[str, Any] = json.loads(result.stdout)
    return settings


def test_without_any_server_the_shop_runs_on_files_in_var() -> None:
    settings = settings_with(SECRET_KEY="s")

    assert settings["DEBUG"] is False
    assert settings["BROKER_URL"] == f"embedded://{ROOT}/var/broker"
    assert settings["CELERY_WORKER_ENABLE_REMOTE_CONTROL"] is False
    assert settings["database"]["ENGINE"] == "django.db.backends.sqlite3"
    assert settings["database"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_embedded_default_makes_itself_a_secret_key_once(tmp_path: Path) -> None:
    first, second = (settings_with(VAR_DIR=str(tmp_path))["SECRET_KEY"] for _ in range(2))

    assert first == second
    assert len(first) > 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_urls_choose_the_servers_and_empty_variables_count_as_unset() -> None:
    settings = settings_with(
        SECRET_KEY="s",
        DATABASE_URL="postgresql://u:p@db.example:5432/shop",
        BROKER_URL="amqp://u:p@mq.example//",
        ALLOWED_HOSTS="",
        WORKER_CONCURRENCY="4",
    )

    assert settings["database"]["ENGINE"] == "django.db.backends.postgresql"
    assert settings["database"]["HOST"] == "db.example"
    assert settings["BROKER_URL"] == "amqp://u:p@mq.example//"
    assert settings["CELERY_WORKER_ENABLE_REMOTE_CONTROL"] is True
    assert settings["CELERY_WORKER_CONCURRENCY"] == 4
    assert settings["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DATABASE_URL": "postgresql://db.example/shop"}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": "s", "DEBUG": "maybe"}, "DEBUG is 'maybe'; set it to 1 or 0."),
        ({"SECRET_KEY": "s", "WORKER_CONCURRENCY": "many"}, "WORKER_CONCURRENCY is 'many'"),
        ({"SECRET_KEY": "s", "LOG_LEVEL": "loud"}, "LOG_LEVEL is 'LOUD'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_and_say_why(
    environment: dict[str, str], said: str
) -> None:
    result = read_settings(**environment)

    assert result.returncode != 0
    assert said in result.stderr


@pytest.mark.django_db
def test_health_is_good_while_the_database_answers(client: Client) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.content) == (200, b"ok\n")


def test_health_names_a_database_that_does_not_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OperationalError("connection to server at db.example refused")

    monkeypatch.setattr(connection, "cursor", refuse)

    response = client.get("/healthz")

    assert response.status_code == 503
    assert b"does not answer: OperationalError" in response.content
    assert b"db.example" not in response.content  # whoever asks learns no address


def test_root_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"
