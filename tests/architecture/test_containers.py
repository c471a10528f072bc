"""docker-compose.yml and Dockerfile: well formed, one worker per app, and every command in them runs.

No container is started: the commands run here, as they stand in the files, on this run's PostgreSQL and RabbitMQ.
The four services of the profile `services` run in tests/acceptance/test_services.py.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from kombu import Queue

from microworkflows import flows, registry, topology
from microworkflows.checks import surroundings
from project.service import CONTEXTS
from tests.architecture.files import ROOT
from tests.integration.support.waiting import eventually

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
DEMANDED = re.findall(r"\$\{(\w+:\?[^}]*)\}", TEXT)
"""Variables without which Compose starts nothing and says the text behind the question mark."""
ALL: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVICES = {name: service for name, service in ALL.items() if "profiles" not in service}
"""What starts without a profile: the shop in one project."""
PROFILE = {name: service for name, service in ALL.items() if service.get("profiles") == ["services"]}
"""The shop as four services."""
WORKERS = {name: service for name, service in SERVICES.items() if service.get("command", [""])[0] == "celery"}
ONE_SHOT = {"migrate", *(f"{context}-migrate" for context in CONTEXTS)}
OWN = [each.queue for each in flows.own_queues()]
"""Queues of the kit's guests."""
BROKER: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "docker/broker.json").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
BIN = Path(sys.executable).parent


# The files


def test_there_is_one_worker_for_every_context() -> None:
    assert list(WORKERS) == ["orders", "payments", "inventory", "shipping"]
    assert set(WORKERS) == set(registry.contexts())
    for name, service in WORKERS.items():
        assert shlex.join(service["command"]) == f"celery -A project worker -Q {name} -n {name}@%h"


def test_every_lasting_service_has_a_health_check_and_a_restart_policy() -> None:
    for name in ALL.keys() - ONE_SHOT:
        assert ALL[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert ALL[name]["restart"] == "unless-stopped"


def test_services_wait_for_what_they_need() -> None:
    for name, service in ALL.items():
        for needed, condition in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert condition == {"condition": expected}, (name, needed)
    for name in ("web", *WORKERS):
        assert set(SERVICES[name]["depends_on"]) == {"postgres", "rabbitmq", "migrate"}


def test_every_variable_but_secrets_has_a_default_and_every_volume_is_named() -> None:
    variables = re.findall(r"(?<!\$)\$\{([^}]*)\}", TEXT)
    mounts = [mount for service in ALL.values() for mount in service.get("volumes", [])]

    assert variables
    assert [variable for variable in variables if ":-" not in variable and variable not in DEMANDED] == []
    assert {mount.split(":")[0] for mount in mounts} == set(COMPOSE["volumes"])


def test_settings_read_every_variable_that_the_containers_get() -> None:
    settings = "".join((ROOT / "project" / name).read_text() for name in ("settings.py", "service.py"))

    for name in {**SERVICES["web"]["environment"], **PROFILE["orders-web"]["environment"]}:
        assert f'"{name}"' in settings


def test_no_secret_has_a_default_and_compose_says_where_it_comes_from() -> None:
    secrets = set(re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)", TEXT))

    assert len(secrets) == 3 + 2 * len(CONTEXTS)
    assert set(DEMANDED) == {f"{name}:?is missing, so run docker/secrets.sh" for name in secrets}
    assert TEXT.index("docker/secrets.sh") < TEXT.index("docker compose up"), "said first"


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    for name in ("docker-compose.yml", "docker/secrets.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".env").write_text("PORT=8001\nPOSTGRES_PASSWORD=my-own\nSECRET_KEY=")

    written = []
    for _ in range(2):
        subprocess.run([tmp_path / "docker/secrets.sh"], check=True, cwd="/")
        written.append((tmp_path / ".env").read_text())

    made = dict(line.split("=", 1) for line in written[0].splitlines())
    assert made.keys() == {"PORT", *(variable.partition(":")[0] for variable in DEMANDED)}
    assert (made.pop("PORT"), made.pop("POSTGRES_PASSWORD")) == ("8001", "my-own")
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in made.values())
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert written[0] == written[1]


# The profile `services`


def test_profile_has_four_services_with_a_database_each_and_one_broker() -> None:
    parts = {f"{context}-{part}" for context in CONTEXTS for part in ("db", "migrate", "worker", "web")}

    assert PROFILE.keys() == {"broker", *parts}
    assert ALL.keys() == SERVICES.keys() | PROFILE.keys()


def test_neither_half_needs_the_other() -> None:
    """Compose refuses what needs something of a profile that is off, and would start all that has no profile."""
    for half in (SERVICES, PROFILE):
        for name, service in half.items():
            assert service.get("depends_on", {}).keys() <= half.keys(), name

    for kind in ("ports", "volumes"):
        taken = [one for service in ALL.values() for one in service.get(kind, [])]
        assert len(taken) == len(set(taken)), kind


@pytest.mark.parametrize("context", CONTEXTS)
def test_service_has_only_its_own_database_and_its_own_user(context: str) -> None:
    for part in ("migrate", "worker", "web"):
        environment = PROFILE[f"{context}-{part}"]["environment"]
        password = f"${{{context.upper()}_PASSWORD:?is missing, so run docker/secrets.sh}}"

        assert environment["SERVICE"] == context
        assert environment["BROKER_USERS"] == ",".join(f"{name}={name}" for name in CONTEXTS)
        assert environment["DATABASE_URL"] == f"postgresql://{context}:{password}@{context}-db:5432/{context}"
        assert environment["BROKER_URL"] == f"amqp://{context}:{password}@broker:5672/shop"
        assert PROFILE[f"{context}-db"]["environment"] == {
            "POSTGRES_USER": context,
            "POSTGRES_PASSWORD": password,
        }
        assert f'{{"name": "{context}", "password": "{password}", "tags": []}}' in users_of_the_broker()
        assert context.upper() in environment["SECRET_KEY"]


@pytest.mark.parametrize("context", CONTEXTS)
def test_service_runs_what_the_one_project_runs(context: str) -> None:
    assert PROFILE[f"{context}-migrate"]["command"] == SERVICES["migrate"]["command"]
    assert PROFILE[f"{context}-worker"]["command"] == WORKERS[context]["command"]
    assert "command" not in PROFILE[f"{context}-web"]
    assert PROFILE[f"{context}-web"]["healthcheck"] == SERVICES["web"]["healthcheck"]
    assert shlex.join(PROFILE[f"{context}-worker"]["healthcheck"]["test"]).replace("$$SERVICE", context) == (
        shlex.join(WORKERS[context]["healthcheck"]["test"])
    )


def test_documents_say_how_to_run_each_service_and_where_it_is() -> None:
    page = (ROOT / "docs/howto/services.md").read_text()

    for context in CONTEXTS:
        port = re.search(r":-(\d+)\}:8000", PROFILE[f"{context}-web"]["ports"][0])
        assert port
        command = shlex.join(WORKERS[context]["command"])
        assert f"| `SERVICE={context}` | `{command}` | http://localhost:{port[1]} |" in page


def test_naming_the_web_servers_starts_all_of_the_profile() -> None:
    started, ahead = set(), [f"{context}-web" for context in CONTEXTS]
    while ahead:
        started.add(name := ahead.pop())
        ahead += PROFILE[name].get("depends_on", {}).keys() - started

    command = "docker compose up --build --detach --wait " + " ".join(
        f"{context}-web" for context in CONTEXTS
    )
    assert started == PROFILE.keys()
    assert command in (ROOT / "docker-compose.yml").read_text()
    assert command in (ROOT / "docs/howto/services.md").read_text()


def test_broker_is_given_its_users_and_the_file_that_says_what_they_may_do() -> None:
    given = {config["source"]: config["target"] for config in PROFILE["broker"]["configs"]}
    folder = COMPOSE["configs"]["broker-conf"]["content"].removeprefix("load_definitions = ")

    assert given.keys() == COMPOSE["configs"].keys()
    assert given["broker-users"] == f"{folder}/1-users.json"
    assert given["broker-shop"] == f"{folder}/2-shop.json"
    assert COMPOSE["configs"]["broker-shop"] == {"file": "docker/broker.json"}
    users = json.loads(re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", users_of_the_broker()))["users"]
    assert [user["name"] for user in users] == list(CONTEXTS)


def users_of_the_broker() -> str:
    users: str = COMPOSE["configs"]["broker-users"]["content"]
    return users


# What the services may do at the broker


def test_file_of_the_brokers_definitions_is_fresh() -> None:
    call_command("broker_definitions", vhost="shop", check=ROOT / "docker/broker.json", stdout=StringIO())


def test_broker_has_the_queues_and_bindings_that_the_workers_declare() -> None:
    exchange = topology.exchange()
    queues = [make(context) for context in CONTEXTS for make in (topology.dead_letters, topology.queue)]
    bindings = {(queue.name, key) for queue in queues for key in keys(queue)}

    assert [(one["name"], one["type"], one["durable"], one["arguments"]) for one in BROKER["exchanges"]] == [
        (made.name, made.type, made.durable, made.arguments or {})
        for made in (exchange, *map(topology.owner, topology.queues()), *(each.exchange for each in OWN))
    ]
    assert {one["name"]: one["arguments"] for one in BROKER["queues"]} == {
        queue.name: queue.queue_arguments for queue in (*queues, *OWN)
    }
    assert {(one["destination"], one["routing_key"]) for one in BROKER["bindings"]} == {
        *bindings,
        *((queue.name, queue.routing_key) for queue in OWN),
    }


def keys(queue: Queue) -> set[str]:
    return {bound.routing_key for bound in queue.bindings}


@pytest.mark.parametrize("context", CONTEXTS)
def test_user_may_touch_what_bears_its_services_name_and_configure_nothing_shared(context: str) -> None:
    exchange, dead, owner = topology.exchange().name, f"{context}.dead", f"{context}.owner"
    own = [
        *(f"{context}.celeryev", f"{context}.celeryev.4cbd2a22-5a5c-4b6a-a3a5-7a3c05f2a2ee"),
        *(f"{context}.pidbox", f"reply.{context}.pidbox", f"{context}@host.example.{context}.pidbox"),
        f"751b3cc8-4f76-3299-bb74-b00c8ad246f6.reply.{context}.pidbox",
    ]
    anothers = [
        *("amq.default", "amq.topic", "celery", "celeryev", "celery.pidbox", f"{context}2", f"my{context}"),
        *(
            name.replace(context, other)
            for other in set(CONTEXTS) - {context}
            for name in [*own, context, dead, owner]
        ),
    ]

    (may,) = [one for one in BROKER["permissions"] if one["user"] == context]

    every = [*own, *anothers, exchange, context, dead, owner]
    for right, more in {
        "configure": [owner],
        "write": [exchange, context, dead],
        "read": [exchange, context, dead, owner],
    }.items():
        assert [name for name in every if re.search(may[right], name)] == [
            name for name in every if name in {*own, *more}
        ]


@pytest.mark.parametrize("context", CONTEXTS)
def test_user_may_announce_its_own_events_and_hear_what_it_listens_to(context: str) -> None:
    announced = {event for event in registry.announced() if event.startswith(f"{context}.")}
    heard = {*registry.subscriptions(context), context, f"{context}.dead"}
    every = {*registry.announced(), *CONTEXTS, *(f"{one}.dead" for one in CONTEXTS), "#", "*.*.v1"}

    (may,) = [one for one in BROKER["topic_permissions"] if one["user"] == context]

    assert may["exchange"] == topology.exchange().name
    assert {key for key in every if re.search(may["write"], key)} == {*announced, context, f"{context}.dead"}
    assert {key for key in every if re.search(may["read"], key)} == heard


# Both


def test_compose_itself_accepts_the_file() -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], check=False).returncode:
        pytest.skip("docker compose is not installed here: the tests above read the file without it")
    secrets = {variable.partition(":")[0]: "given" for variable in DEMANDED}
    for profile in ([], ["--profile", "services"]):
        command = ["docker", "compose", *profile, "config", "--quiet"]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, **secrets})
        refused = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        assert refused.returncode
        assert "docker/secrets.sh" in refused.stderr


def test_image_copies_files_that_exist_and_does_not_run_as_root() -> None:
    ignored = (ROOT / ".dockerignore").read_text()

    copied = re.findall(r"^COPY (?!--from=packages)(\S+) ", DOCKERFILE, re.MULTILINE)

    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}\n" in ignored
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)[-1] not in {"root", "0"}
    assert "--no-deps --require-hashes --requirement requirements/app.lock" in DOCKERFILE


def test_image_names_one_release_of_the_newest_python_that_is_tested() -> None:
    base = re.search(r"^ARG PYTHON=python:(\d+\.\d+)\.\d+-slim-trixie$", DOCKERFILE, re.MULTILINE)

    assert base
    assert base[1] == surroundings.TESTED["Python"][1]
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]


def test_image_holds_what_runs_in_it_and_no_build_tools() -> None:
    app, demo = (
        set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("app.lock", "demo.lock")
    )
    without = "import sys; sys.modules |= dict.fromkeys(sys.argv[1:]); import manage; "
    environment = {"PATH": os.environ["PATH"], "SECRET_KEY": "unused", "DATABASE_URL": "sqlite://:memory:"}

    assert {"hatchling", "rich"} <= demo - app
    assert not app & {"build", "pip", "pytest", "setuptools", "uv", "wheel"}
    run = "sys.argv = ['manage.py', 'check']; manage.main(); import project.wsgi, project.celery"
    subprocess.run(
        [sys.executable, "-c", without + run, "hatchling", "rich"], cwd=ROOT, env=environment, check=True
    )


@pytest.mark.slow
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


@pytest.mark.slow
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
            command = [*service["command"], *more_in_kubernetes(name, tmp_path)]
            running.enter_context(started(command, environment, tmp_path / f"{name}.log"))

        wait_until_healthy(web_health, environment, tmp_path / "web.log")
        for name in WORKERS:
            wait_until_healthy(health_check(name), environment, tmp_path / f"{name}.log")
        wait_until_healthy(kubernetes_liveness("orders", tmp_path), environment, tmp_path / "orders.log")
        (tmp_path / "orders.alive").unlink()  # it comes again, since the worker lives
        wait_until_healthy(kubernetes_liveness("orders", tmp_path), environment, tmp_path / "orders.log")


def more_in_kubernetes(worker: str, folder: Path) -> list[str]:
    """Return the options that a worker has in Kubernetes alone, with its sign of life in a folder."""
    container = kubernetes_worker()
    return [part.replace("/tmp/alive", str(folder / f"{worker}.alive")) for part in container["args"]]


def kubernetes_liveness(worker: str, folder: Path) -> list[str]:
    """Return the probe that tells Kubernetes whether a worker lives."""
    probe = kubernetes_worker()["livenessProbe"]["exec"]["command"]
    return [part.replace("/tmp/alive", str(folder / f"{worker}.alive")) for part in probe]


def kubernetes_worker() -> dict[str, Any]:
    text = (ROOT / "deploy/kubernetes/base/worker/worker.yaml").read_text()
    container: dict[str, Any] = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]["containers"][0]
    return container


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
        process.wait()


def wait_until_healthy(check: list[str], environment: dict[str, str], log: Path) -> None:
    def healthy() -> bool:
        return (
            subprocess.run(check, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0
        )

    try:
        eventually(healthy, timeout=60, every=0.2, what=f"the success of {check}")
    except AssertionError as error:
        error.add_note(log.read_text())
        raise


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
