"""The project: its settings come from the environment and refuse what is unsafe."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from project.service import CONTEXTS
from tests.architecture.files import ROOT

PRINT = """
import json
from django.conf import settings
names = "SECRET_KEY DEBUG ALLOWED_HOSTS BROKER_URL CELERY_WORKER_ENABLE_REMOTE_CONTROL CELERY_WORKER_CONCURRENCY".split()
names += "SESSION_COOKIE_NAME CSRF_COOKIE_NAME".split()
database = {key: settings.DATABASES["default"].get(key) for key in ("ENGINE", "HOST", "NAME", "OPTIONS")}
print(json.dumps({name: getattr(settings, name) for name in names} | {"database": database}))
"""


def python(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "project.settings", **environment}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def read_settings(**environment: str) -> "subprocess.CompletedProcess[str]":
    return python("-c", PRINT, **environment)


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


def test_what_the_embedded_default_makes_is_private_to_its_user(tmp_path: Path) -> None:
    send = "from celery import current_app as app; from microworkflows import topology; "
    send += "connection = app.connection_for_write(); topology.declare(connection.channel()); "
    send += "connection.Producer().publish({}, exchange='microworkflows', routing_key='orders')"
    var = tmp_path / "var"
    for command in (["migrate", "-v0"], ["shell", "-v0", "-c", send]):
        result = python("manage.py", *command, VAR_DIR=str(var), DEBUG="1")
        assert result.returncode == 0, result.stdout + result.stderr

    modes = {path: path.stat().st_mode & 0o777 for path in [var, *var.rglob("*")]}

    assert [path for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)] == []
    assert {"db.sqlite3", "secret_key", "microworkflows.json"} <= {path.name for path in modes}
    assert len(list((var / "broker/queues/orders").glob("*-*.json"))) == 1


def test_folder_of_the_embedded_default_that_others_may_read_goes_on_working(tmp_path: Path) -> None:
    var = tmp_path / "var"
    for folder in (var, var / "broker", var / "broker/queues"):
        folder.mkdir()
        folder.chmod(0o755)

    result = python("manage.py", "migrate", "-v0", VAR_DIR=str(var), DEBUG="1")

    assert result.returncode == 0, result.stderr
    assert var.stat().st_mode & 0o777 == 0o755
    assert (var / "db.sqlite3").stat().st_mode & 0o777 == 0o600


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


def test_statements_of_postgresql_are_prepared_unless_a_pooler_would_lose_them() -> None:
    url = "postgresql://db.example/shop?sslmode=require"

    usual, pooled = (
        settings_with(SECRET_KEY="s", DATABASE_URL=url, PREPARE=each)["database"]["OPTIONS"]
        for each in ("", "0")
    )

    assert usual == {"sslmode": "require", "server_side_binding": True, "prepare_threshold": 5}
    assert pooled == {"sslmode": "require"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DATABASE_URL": "postgresql://db.example/shop"}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": "s", "DEBUG": "maybe"}, "DEBUG is 'maybe'; set it to 1 or 0."),
        ({"SECRET_KEY": "s", "WORKER_CONCURRENCY": "many"}, "WORKER_CONCURRENCY is 'many'"),
        ({"SECRET_KEY": "s", "LOG_LEVEL": "loud"}, "LOG_LEVEL is 'LOUD'"),
        ({"SECRET_KEY": "s", "BROKER_USERS": "orders,payments"}, "set it to pairs such as orders=user"),
        ({"SECRET_KEY": "s", "SERVICE": "ledger"}, "Set it to one of orders, payments, inventory, shipping"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_and_say_why(
    environment: dict[str, str], said: str
) -> None:
    result = read_settings(**environment)

    assert result.returncode != 0
    assert said in result.stderr


# One app as a service of its own

INSPECT = """
import json
import sys
import django
from django.core.management import call_command
django.setup()
call_command("check", fail_level="WARNING")
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
from django.apps import apps
from django.contrib.admin import site
from microworkflows import topology
from project.celery import app
print(json.dumps({
    "contexts": topology.queues(),
    "imported": sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])),
    "installed": [config.label for config in apps.get_app_configs()],
    "header": str(site.site_header),
    "control": app.control.mailbox.namespace,
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("service", CONTEXTS)
def test_service_has_its_own_app_and_the_kit_and_nothing_of_the_others(service: str, tmp_path: Path) -> None:
    result = python("-c", INSPECT, *CONTEXTS, SERVICE=service, VAR_DIR=str(tmp_path))

    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["contexts"] == found["imported"] == [service]
    assert {*CONTEXTS} & {*found["installed"]} == {service}
    assert {"microworkflows", "django_outbox_pattern", "admin"} <= {*found["installed"]}
    assert service in found["header"]
    assert found["control"] == service


def test_services_on_one_machine_share_the_broker_and_nothing_else(tmp_path: Path) -> None:
    found = [settings_with(VAR_DIR=str(tmp_path), SERVICE=service) for service in CONTEXTS]

    assert {one["BROKER_URL"] for one in found} == {f"embedded://{tmp_path}/broker"}
    for what in ("SECRET_KEY", "SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"):
        assert len({one[what] for one in found}) == len(CONTEXTS)
    assert [one["database"]["NAME"] for one in found] == [
        str(tmp_path / service / "db.sqlite3") for service in CONTEXTS
    ]


def test_demo_says_that_it_needs_the_whole_shop(tmp_path: Path) -> None:
    result = python("manage.py", "demo", SERVICE="payments", VAR_DIR=str(tmp_path), DEBUG="1")

    assert result.returncode == 2
    assert (
        "SERVICE is 'payments', so only that app is here, and the demo needs the whole shop" in result.stderr
    )


# The addresses


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", ["/live", "/ready", "/metrics"])
def test_pages_for_probes_and_prometheus_need_no_login(client: Client, page: str) -> None:
    assert client.get(page).status_code == 200


@pytest.mark.django_db  # the end of a request looks after the connections
def test_icon_that_browsers_ask_for_is_there(client: Client) -> None:
    response = client.get("/favicon.ico", follow=True)
    response.close()

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "image/svg+xml"


def test_root_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"
