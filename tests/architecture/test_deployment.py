"""What people copy to deploy the shop: Kubernetes manifests, systemd units and a Procfile, each running what Compose runs.

The commands themselves run in test_containers.py. The manifests are held against the schemas of Kubernetes' API, and put together here
as kustomize does it, which is asked, too, where kubectl is installed.
"""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.db import connection
from django.urls import reverse

from microworkflows import registry
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.worker import relay_process
from tests.architecture.files import ROOT
from tests.architecture.test_containers import COMPOSE, DOCKERFILE, SERVICES, WORKERS, image_command

DEPLOY = ROOT / "deploy"
BASE, PRODUCTION = DEPLOY / "kubernetes/base", DEPLOY / "kubernetes/production"
API: dict[str, Any] = json.loads((ROOT / "tests/architecture/kubernetes/schemas.json").read_text())
UNITS = sorted((DEPLOY / "systemd").iterdir())
CONTEXTS = registry.contexts()
COMPONENT = "app.kubernetes.io/component"

Resource = dict[str, Any]


def built(folder: Path) -> list[Resource]:
    """Return what ``kustomize build`` makes of a folder, as far as ours use it: resources, prefixes and labels."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization.keys() <= {"apiVersion", "kind", "resources", "namePrefix", "labels"}
    found: list[Resource] = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        found += built(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    for resource in found:
        resource["metadata"]["name"] = kustomization.get("namePrefix", "") + resource["metadata"]["name"]
        for labels in kustomization.get("labels", []):
            assert labels["includeSelectors"]
            _label(resource, labels["pairs"])
    return found


def _label(node: Any, pairs: dict[str, str]) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "metadata":
                value.setdefault("labels", {}).update(pairs)
            elif key == "matchLabels":
                value.update(pairs)
            else:
                _label(value, pairs)
    elif isinstance(node, list):
        for each in node:
            _label(each, pairs)


RESOURCES = built(BASE)


def named(kind: str, name: str) -> Resource:
    (found,) = [each for each in RESOURCES if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(resource: Resource) -> Resource:
    """Return the template of a resource's pods."""
    template: Resource = resource["spec"].get("jobTemplate", resource)["spec"]["template"]
    return template


PODS = {
    each["metadata"]["name"]: pod(each)
    for each in RESOURCES
    if each["kind"] in {"Deployment", "Job", "CronJob"}
}
DEPLOYED = {each["metadata"]["name"]: each for each in RESOURCES if each["kind"] == "Deployment"}


def main(name: str) -> Resource:
    """Return the container of a pod."""
    (container,) = PODS[name]["spec"]["containers"]
    found: Resource = container
    return found


def command_of(container: Resource, labels: dict[str, str]) -> list[str]:
    """Return a container's command, with its own variables in place, as the kubelet starts it."""
    variables = {
        each["name"]: labels[each["valueFrom"]["fieldRef"]["fieldPath"].split("'")[1]]
        for each in container.get("env", [])
    }
    words = [*container.get("command", []), *container.get("args", [])]
    return [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], word) for word in words]


# Kubernetes


def problems(resource: Resource) -> list[str]:
    definition = API["kinds"]["{apiVersion} {kind}".format_map(resource)]
    schema = {"$ref": f"#/$defs/{definition}", "$defs": API["$defs"]}
    validator = jsonschema.Draft202012Validator(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(resource)]


def test_every_manifest_is_valid_by_the_schemas_of_kubernetes() -> None:
    found = {each["metadata"]["name"]: problems(each) for each in RESOURCES}

    assert {name: messages for name, messages in found.items() if messages} == {}
    assert {each["kind"] for each in RESOURCES} == {kind.split()[1] for kind in API["kinds"]}


def test_schemas_find_a_misspelt_field_a_wrong_type_and_a_missing_one() -> None:
    worker = json.loads(json.dumps(named("Deployment", "payments-worker")))
    worker["spec"]["template"]["spec"]["terminationGraceSeconds"] = 60
    worker["spec"]["replicas"] = "two"
    del worker["spec"]["selector"]

    found = " ".join(problems(worker))

    for said in ("terminationGraceSeconds", "'two' is not of type", "'selector' is a required property"):
        assert said in found


def test_every_file_of_the_manifests_is_used() -> None:
    used = {BASE, PRODUCTION}
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(path.read_text())
        used |= {path, *((path.parent / name).resolve() for name in kustomization["resources"])}

    files = {path for path in (DEPLOY / "kubernetes").rglob("*") if path.suffix == ".yaml"}

    assert {path for path in used if not path.exists()} == set()
    assert files <= used


def test_there_is_one_worker_with_a_disruption_budget_for_each_context() -> None:
    assert DEPLOYED.keys() == {"web", *(f"{context}-worker" for context in CONTEXTS)}
    for name, deployment in DEPLOYED.items():
        labels = pod(deployment)["metadata"]["labels"]
        (spread,) = pod(deployment)["spec"]["topologySpreadConstraints"]
        budget = named("PodDisruptionBudget", name)["spec"]

        assert deployment["spec"]["replicas"] > budget["maxUnavailable"], "or no node could be drained"
        for selector in (deployment["spec"]["selector"], spread["labelSelector"], budget["selector"]):
            chosen = [
                other
                for other, template in PODS.items()
                if selector["matchLabels"].items() <= template["metadata"]["labels"].items()
            ]
            assert chosen == [name], "no pods of others"
        assert labels[COMPONENT] == ("web" if name == "web" else "worker")
    assert named("Service", "web")["spec"]["selector"].items() <= PODS["web"]["metadata"]["labels"].items()


def test_kubernetes_runs_what_compose_runs() -> None:
    assert main("migrate")["command"] == SERVICES["migrate"]["command"]
    assert "command" not in main("web"), "as in Compose, the image's own"
    for context in CONTEXTS:
        container, labels = main(f"{context}-worker"), PODS[f"{context}-worker"]["metadata"]["labels"]
        command = command_of(container, labels)
        started = container["startupProbe"]["exec"]["command"][-1].replace("$CONTEXT", labels["context"])

        expected = WORKERS[context]["command"]
        assert command[: len(expected)] == expected
        assert started == f'exec python manage.py health worker "{context}" --here'
        assert WORKERS[context]["healthcheck"]["test"] == [
            "CMD-SHELL",
            f"python manage.py health worker {context} --here",
        ]
    for deployment in DEPLOYED.values():
        (first,) = pod(deployment)["spec"]["initContainers"]
        assert first["command"] == ["python", "manage.py", "migrate", "--check"]
    images = {
        each["image"]
        for template in PODS.values()
        for kind in ("initContainers", "containers")
        for each in template["spec"].get(kind, [])
    }
    assert images == {SERVICES["web"]["image"]}


def test_pods_get_every_variable_that_the_settings_demand_and_none_that_they_do_not_read() -> None:
    settings = "".join((ROOT / "project" / name).read_text() for name in ("settings.py", "service.py"))
    secrets = re.findall(
        r"^(\w+)=", (DEPLOY / "kubernetes/secrets.env.example").read_text(), flags=re.MULTILINE
    )
    given = [*secrets, *named("ConfigMap", "shop")["data"]]

    assert len(given) == len(set(given))
    assert {name for name in given if f'"{name}"' not in settings} == set()
    demanded = {name for name, value in SERVICES["web"]["environment"].items() if ":-" not in value}
    assert demanded == set(secrets)
    for name in PODS:
        assert [next(iter(each.values())) for each in main(name)["envFrom"]] == [{"name": "shop"}] * 2


def test_containers_have_few_rights_and_bounded_memory() -> None:
    user = re.search(r"useradd --system --uid (\d+)", DOCKERFILE)
    assert user
    for template in PODS.values():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == int(user[1])
        assert not spec["automountServiceAccountToken"]
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            context = container["securityContext"]
            assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"].keys() == {"memory"}


def test_worker_has_time_to_stop_and_room_for_its_processes() -> None:
    for context in CONTEXTS:
        spec, container = PODS[f"{context}-worker"]["spec"], main(f"{context}-worker")
        option = container["args"].index("--max-memory-per-child")
        pool = int(named("ConfigMap", "shop")["data"]["WORKER_CONCURRENCY"]) * int(
            container["args"][option + 1]
        )

        compose = COMPOSE["services"][context]["stop_grace_period"]
        assert f"{spec['terminationGracePeriodSeconds']}s" == compose
        assert spec["terminationGracePeriodSeconds"] >= 2 * relay_process._STOP_SECONDS
        assert pool + 2 * 150_000 <= 1024 * int(container["resources"]["limits"]["memory"].removesuffix("Mi"))


def test_probes_ask_under_a_name_that_the_settings_allow_and_no_probe_of_life_needs_a_server() -> None:
    (patch,) = yaml.safe_load((PRODUCTION / "kustomization.yaml").read_text())["patches"]
    allowed = [named("ConfigMap", "shop")["data"], yaml.safe_load(patch["patch"])["data"]]
    web = main("web")

    for probe in (web["readinessProbe"], web["livenessProbe"]):
        (header,) = probe["httpGet"]["httpHeaders"]
        assert header["name"] == "Host"
        assert all(header["value"] in data["ALLOWED_HOSTS"].split(",") for data in allowed)
    assert web["readinessProbe"]["httpGet"]["path"] == reverse("microworkflows-ready")
    assert web["livenessProbe"]["httpGet"]["path"] == reverse("microworkflows-live")
    for context in CONTEXTS:
        container = main(f"{context}-worker")
        file = container["args"][container["args"].index("--alive") + 1]
        assert container["livenessProbe"]["exec"]["command"][-1] == f'test -n "$(find {file} -mmin -1)"'


def test_overlay_changes_what_is_there() -> None:
    overlay = yaml.safe_load((PRODUCTION / "kustomization.yaml").read_text())

    assert {each["name"] for each in overlay["images"]} == {SERVICES["web"]["image"]}
    assert {each["name"] for each in overlay["replicas"]} <= DEPLOYED.keys()


def test_kustomize_builds_the_same() -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed here: the tests above put the manifests together without it")

    def build(folder: Path) -> list[Resource]:
        run = ["kubectl", "kustomize", str(folder)]
        output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        return sorted(yaml.safe_load_all(output), key=_identity)

    assert build(BASE) == sorted(RESOURCES, key=_identity)
    production = build(PRODUCTION)
    assert [problem for each in production for problem in problems(each)] == []
    assert {each["metadata"]["namespace"] for each in production} == {"shop"}


def _identity(resource: Resource) -> tuple[str, str]:
    return resource["kind"], resource["metadata"]["name"]


# systemd


def unit(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#")
    parsed.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    parsed.read_string(path.read_text())
    return parsed


def test_units_run_what_compose_runs() -> None:
    started = {path.name: unit(path)["Service"]["ExecStart"] for path in UNITS if path.suffix == ".service"}

    for context in CONTEXTS:
        command = started["shop-worker@.service"].replace("%i", context).replace("%%", "%")
        assert _without_folder(command) == WORKERS[context]["command"]
    assert _without_folder(started["shop-migrate.service"]) == SERVICES["migrate"]["command"]
    assert _without_folder(started["shop-web.service"]) == [
        word.replace("0.0.0.0", "127.0.0.1") for word in image_command()
    ]
    assert _without_folder(started["shop-purge.service"]) == ["python", "manage.py", "purge_events"]


def _without_folder(command: str) -> list[str]:
    program, *arguments = shlex.split(command)
    return [program.removeprefix("/srv/shop/.venv/bin/"), *arguments]


def test_worker_unit_lets_the_parent_stop_its_processes() -> None:
    service = unit(DEPLOY / "systemd/shop-worker@.service")["Service"]

    assert service["KillMode"] == "mixed"
    assert f"{service['TimeoutStopSec']}s" == COMPOSE["services"]["orders"]["stop_grace_period"]
    assert service["OOMPolicy"] == "continue"


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed here: the tests above read the units without it")
    for path in UNITS:
        text = path.read_text().replace("/srv/shop/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / path.name.replace("@.", "@orders.")).write_text(text)

    verify = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    verified = subprocess.run(verify, check=False, capture_output=True, text=True)

    assert (verified.returncode, verified.stderr) == (0, "")


# Procfile


def test_procfile_runs_what_compose_runs() -> None:
    lines = dict(
        line.split(": ", 1)
        for line in (DEPLOY / "Procfile").read_text().splitlines()
        if not line.startswith("#")
    )

    assert lines.pop("web") == shlex.join(image_command()).replace(":8000", ":$PORT")
    assert shlex.split(lines.pop("release")) == SERVICES["migrate"]["command"]
    assert {name: shlex.split(command) for name, command in lines.items()} == {
        name: service["command"] for name, service in WORKERS.items()
    }


# The pages


def test_page_names_units_labels_and_files_that_exist() -> None:
    page = (ROOT / "docs/howto/kubernetes.md").read_text()
    units = {path.name.replace(".service", "").partition("@")[0] for path in UNITS} | {"shop-purge.timer"}

    started = re.findall(r"^systemctl (?:start|enable --now) (.*)$", page, flags=re.MULTILINE)
    selected = re.findall(rf"{COMPONENT}(?:=| in \()([\w, ]+)", page)
    files = re.findall(r"`(deploy/[\w./-]+)`|-k (deploy/\S+)", page)

    assert {name.partition("@")[0] for names in started for name in names.split()} <= units
    assert {name for names in started for name in names.split() if "@" in name} == {
        f"shop-worker@{context}" for context in CONTEXTS
    }
    assert {name.strip() for names in selected for name in names.split(",")} <= {
        resource["metadata"]["labels"][COMPONENT] for resource in RESOURCES
    }
    assert all((ROOT / (one or other)).exists() for one, other in files)
    assert len(files) >= 5


@pytest.mark.postgres
@pytest.mark.django_db
def test_postgresql_accepts_the_statements_of_the_page() -> None:
    (statements,) = re.findall(
        r"```sql\n(.*?)```", (ROOT / "docs/howto/servers.md").read_text(), flags=re.DOTALL
    )

    with connection.cursor() as cursor:
        cursor.execute(statements)
        cursor.execute("SELECT relname FROM pg_class WHERE array_length(reloptions, 1) = 6 ORDER BY relname")
        changed = [name for (name,) in cursor.fetchall()]

    assert changed == sorted(model._meta.db_table for model in (OutboxEvent, InboxEvent))
