"""docker-compose.yml and Dockerfile: well formed, one worker per app, and every command in them runs.

No container is started: the commands run here, as they stand in the files, on this run's PostgreSQL and RabbitMQ.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from microworkflows import registry
from tests.architecture.files import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = {name: service for name, service in SERVICES.items() if service.get("command", [""])[0] == "celery"}
ONE_SHOT = {"migrate"}
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
BIN = Path(sys.executable).parent


# The files


def test_there_is_one_worker_for_every_context() -> None:
    assert list(WORKERS) == ["orders", "payments", "inventory", "shipping"]
    assert set(WORKERS) == set(registry.contexts())
    for name, service in WORKERS.items():
        assert shlex.join(service["command"]) == f"celery -A project worker -Q {name} -n {name}@%h"


def test_every_lasting_service_has_a_health_check_and_a_restart_policy() -> None:
    for name in SERVICES.keys() - ONE_SHOT:
        assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_services_wait_for_what_they_need() -> None:
    for name, service in SERVICES.items():
        for needed, condition in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert condition == {"condition": expected}, (name, needed)
    for name in ("web", *WORKERS):
        assert set(SERVICES[name]["depends_on"]) == {"postgres", "rabbitmq", "migrate"}


def test_every_variable_has_a_default_and_every_volume_is_named() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    variables = re.findall(r"(?<!\$)\$\{([^}]*)\}", text)
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]

    assert variables
    assert [variable for variable in variables if ":-" not in variable] == []
    assert {mount.split(":")[0] for mount in mounts} == set(COMPOSE["volumes"])


def test_settings_read_every_variable_that_the_containers_get() -> None:
    settings = (ROOT / "project/settings.py").read_text()

    for name in SERVICES["web"]["environment"]:
        assert f'"{name}"' in settings


def test_compose_itself_accepts_the_file() -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], check=False).returncode:
        pytest.skip("docker compose is not installed here: the tests above read the file without it")
    subprocess.run(["docker", "compose", "config", "--quiet"], cwd=ROOT, check=True)


def test_image_copies_files_that_exist_and_does_not_run_as_root() -> None:
    ignored = (ROOT / ".dockerignore").read_text()

    copied = re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE)

    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}\n" in ignored
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1] not in {"root", "0"}
    assert "--require-hashes --requirement requirements/app.lock" in DOCKERFILE


def test_image_collects_static_files_without_a_real_secret_and_database() -> None:
    step = re.search(r"SECRET_KEY=unused .* python (manage\.py collectstatic --noinput)", DOCKERFILE)

    assert step
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "SECRET_KEY": "unused",
        "DATABASE_URL": "sqlite://:memory:",
    }
    run = ["python", *step[1].split(), "--dry-run"]
    output = subprocess.run(run, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    assert "static files" in output


# The commands, run


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.acceptance
def test_every_command_runs_and_every_health_check_finds_it_healthy(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DATABASE_URL": database_url,
        "BROKER_URL": broker_url,
        "HOSTNAME": socket.gethostname(),  # Docker sets it in every container
    }
    port = str(free_port())
    web = [part.replace(":8000", f":{port}") for part in image_command()]
    web_health = [part.replace(":8000", f":{port}") for part in health_check("web")]

    subprocess.run(SERVICES["migrate"]["command"], cwd=ROOT, env=environment, check=True, capture_output=True)
    with ExitStack() as running:
        running.enter_context(started(web, environment, tmp_path / "web.log"))
        for name, service in WORKERS.items():
            running.enter_context(started(service["command"], environment, tmp_path / f"{name}.log"))

        wait_until_healthy(web_health, environment, tmp_path / "web.log")
        for name in WORKERS:
            wait_until_healthy(health_check(name), environment, tmp_path / f"{name}.log")


def image_command() -> list[str]:
    """Return the command that the image runs where the compose file names none: the web server."""
    assert "command" not in SERVICES["web"]
    command = re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert command
    return [str(part) for part in json.loads(command[1])]


def health_check(service: str) -> list[str]:
    kind, *command = SERVICES[service]["healthcheck"]["test"]
    command = [part.replace("$$", "$") for part in command]  # as the compose file escapes it
    return ["sh", "-c", *command] if kind == "CMD-SHELL" else command


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    assert shutil.which(command[0], path=environment["PATH"])
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def wait_until_healthy(check: list[str], environment: dict[str, str], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        result = subprocess.run(check, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return
        assert time.monotonic() < deadline, f"{check}:\n{result.stdout}{result.stderr}\n{log.read_text()}"
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
