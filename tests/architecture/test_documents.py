"""The documents say what is: their links lead somewhere, their code is the project's, their commands run."""

import ast
import importlib
import inspect
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands

from docs._sphinx import commands, contents, metrics
from microworkflows import conf
from microworkflows.cutover.conf import CutoverSettings
from microworkflows.journal.conf import JournalSettings
from microworkflows.metrics.conf import MetricsSettings
from tests.architecture.files import ROOT
from tests.integration.support.waiting import eventually

KIT = ROOT / "apps/microworkflows"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "migrations_guide").glob("*.md")),
    ROOT / "migrations_guide/oscar/README.md",
]
README, GUARANTEES = ((ROOT / name).read_text() for name in ("README.md", "docs/explanation/guarantees.md"))
API, SETTINGS, COMMANDS, CHECKS, LOGGING = (
    (ROOT / f"docs/reference/{name}.md").read_text()
    for name in ("api", "settings", "commands", "checks", "logging")
)
HOW_TO = [
    path
    for path in PAGES
    if ROOT / "docs" in path.parents
    and path.parent != ROOT / "docs/tutorial"
    and path.name != "compatibility.md"
]
"""The tutorial runs in tests/acceptance/test_tutorial.py, the guide's stages in tests/guide; the matrix takes hours."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def _shell(*pages: Path) -> list[str]:
    text = "".join(page.read_text() for page in pages)
    blocks = (block.replace("\\\n", " ") for block in _blocks(text, "sh"))
    return [line.partition("  #")[0] for block in blocks for line in block.strip().splitlines()]


def _table(text: str, heading: str) -> set[str]:
    """Return the code in the first column of the tables between this heading and the next."""
    _, found, section = f"\n{text}".partition(f"\n{heading}\n")
    assert found, heading
    return set(re.findall(r"^\| `([^`]+)`", re.split(r"^#+ ", section, flags=re.MULTILINE)[0], re.MULTILINE))


# Links


@each_page
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)

    for link in re.findall(r"\]\(([^):]+)\)", text):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def _described(section: type[conf.Section]) -> dict[str, str]:
    """Return what the line below each setting says of it."""
    (body,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(body, ast.ClassDef)
    return {
        setting.target.id: said.value.value
        for setting, said in itertools.pairwise(body.body)
        if isinstance(setting, ast.AnnAssign) and isinstance(setting.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
        if isinstance(said.value.value, str)
    }


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_tables_of_contents_lead_to_every_page() -> None:
    listed = {
        ROOT / f"{entry.page}.md"
        for name in (contents.INDEX, *contents.FOLDERS)
        for entry in contents.entries(name, (ROOT / f"{name}.md").read_text())
    }

    assert set(PAGES) - listed == {ROOT / f"{contents.INDEX}.md"}


def test_index_says_of_each_page_what_is_there() -> None:
    entries = list(contents.entries(contents.INDEX, (ROOT / f"{contents.INDEX}.md").read_text()))

    assert [entry.title for entry in entries if not entry.says] == []


def test_generated_parts_of_the_documents_are_fresh() -> None:
    assert contents.llms(base="docs") == (ROOT / "docs/llms.txt").read_text(), "run make docs"
    assert commands.written(COMMANDS) == COMMANDS, "run make docs"
    page = (ROOT / "docs/reference/metrics.md").read_text()
    assert metrics.written(page) == page, "run make docs"


# Words and samples


def test_readme_has_at_most_600_words_beside_code_and_generated_tables() -> None:
    prose = re.sub(r"```.*?```|<!-- headlines.*?<!-- end of headlines -->", "", README, flags=re.DOTALL)

    assert len(prose.split()) <= 600


@each_page
def test_code_samples_are_excerpts_of_the_files_that_they_name(page: Path) -> None:
    for sample in _blocks(page.read_text(), "python"):
        heading, _, excerpt = sample.partition("\n")
        source = ROOT / heading.removeprefix("# ")
        if heading.startswith(("# apps/", "# tests/projects/")) or page.name == "README.md":
            assert excerpt in source.read_text() or textwrap.indent(excerpt, "    ") in source.read_text()


# What the reference lists


@pytest.mark.parametrize("module", ["", ".worker", ".testing", ".signals", ".admin", ".bridging", ".cutover"])
def test_reference_lists_every_public_name(module: str) -> None:
    name = f"microworkflows{module}"

    assert _table(API, f"## `{name}`") == set(importlib.import_module(name).__all__)


def test_reference_describes_every_error() -> None:
    own = re.findall(r"^class (\w+)\(", (KIT / "errors.py").read_text(), re.MULTILINE)

    assert set(own) <= set(re.findall(r"^\.\. autoexception:: [\w.]+\.(\w+)$", API, re.MULTILINE))


def test_reference_lists_the_settings_of_the_kit() -> None:
    rows = [
        f"| `{name.upper()}` | {'' if field.default == '' else f'`{field.default}` '}| {described[name]} |"
        for section in (conf.Settings, CutoverSettings, JournalSettings, MetricsSettings)
        for described in [_described(section)]
        for name, field in section.model_fields.items()
    ]
    table = re.search(r"<!-- settings.*?-->\n(.*?)\n<!-- end of settings -->", SETTINGS, flags=re.DOTALL)

    assert table is not None
    assert table[1].splitlines() == ["| `MICROWORKFLOWS` | default | |", "| --- | --- | --- |", *rows]


def test_reference_lists_the_environment_that_the_settings_read() -> None:
    settings = "".join((ROOT / "project" / name).read_text() for name in ("settings.py", "service.py"))
    read = re.findall(r'(?:_text|_flag|_number|_names|_pairs|environ\.get)\("([A-Z_]+)"', settings)

    assert _table(SETTINGS, "## Environment") == set(read)


def test_reference_lists_every_check() -> None:
    ids = re.findall(r'id="(microworkflows\.[EW]\d{3})"', "".join(map(Path.read_text, KIT.rglob("*.py"))))

    assert set(re.findall(r"^\| `([^`]+)`", CHECKS, re.MULTILINE)) == set(ids)


def test_each_check_has_its_meaning_and_its_remedy() -> None:
    rows = re.findall(r"^\| `microworkflows\.[EW]\d{3}` \| .+ \| .+ \|$", CHECKS, re.MULTILINE)

    assert len(rows) == CHECKS.count("\n| `microworkflows.")


def test_reference_lists_the_permissions_that_the_admin_asks_for() -> None:
    page = (ROOT / "docs/reference/permissions.md").read_text()
    listed = set(re.findall(r"^\| `(microworkflows\w*\.\w+)` \|", page, re.MULTILINE))
    models = [
        model._meta
        for app in (
            "microworkflows",
            "microworkflows_cutover",
            "microworkflows_journal",
            "microworkflows_problems",
        )
        for model in apps.get_app_config(app).get_models()
    ]
    own = {f"{model.app_label}.{name}" for model in models for name, _ in model.permissions}
    made = own | {
        f"{model.app_label}.{action}_{model.model_name}"
        for model in models
        for action in model.default_permissions
    }
    code = "".join(path.read_text() for path in KIT.rglob("*.py") if "migrations" not in path.parts)
    asked = made.intersection(re.findall(r'"(microworkflows\w*\.\w+)"', code))

    assert own | asked <= listed <= made


def test_reference_lists_every_command() -> None:
    names = {path.stem for path in KIT.rglob("management/commands/*.py")} - {"__init__"}
    listed = _table(COMMANDS, "# Commands")

    assert {command.partition("manage.py ")[2].split()[0] for command in listed} == names
    assert names <= get_commands().keys()


def test_log_lines_are_those_of_the_kit() -> None:
    listed = re.findall(r"^\| `(.+?)` \|", LOGGING, flags=re.MULTILINE)

    lines = {line for line in listed if " " in line}

    assert lines == {line for path in KIT.rglob("*.py") for line in _log_lines(path)}


_LOGGING = {f"logger.{method}" for method in ("debug", "info", "warning", "error", "exception", "log")}


def _log_lines(path: Path) -> Iterator[str]:
    """Yield the messages that a module logs, with an ellipsis for each value."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _LOGGING:
            message = next(each.value for each in node.args if isinstance(each, ast.Constant))
            yield re.sub(r"%[.\d]*[a-z]", "…", str(message))


def test_flow_map_is_fresh(tmp_path: Path) -> None:
    _run(["manage.py", "flowmap", "--check", "docs/reference/flow.md"], tmp_path)


# Guarantees


def test_each_guarantee_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (R\d+) \| .+ \| (.+) \|$", GUARANTEES, flags=re.MULTILINE)

    assert [number for number, _ in rows] == [f"R{number + 1}" for number in range(len(rows))]
    assert len(rows) >= 20
    for number, named in rows:
        tests = re.findall(r"`(tests/\S+?\.py)::(\w+)`", named)
        assert tests, number
        assert [f"{path}::{name}" for path, name in tests if name not in _tests(path)] == [], number


def test_each_thing_that_no_service_can_do_names_tests_that_exist() -> None:
    _, _, section = (
        (ROOT / "SECURITY.md").read_text().partition("\n## What a compromised service cannot do\n")
    )
    rows = re.findall(r"^\| (?!it cannot|---)(.+) \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)

    assert len(rows) >= 10
    for what, named in rows:
        tests = re.findall(r"`(tests/\S+?\.py)::(\w+)`", named)
        assert tests, what
        assert [f"{path}::{name}" for path, name in tests if name not in _tests(path)] == [], what


def _tests(path: str) -> set[str]:
    source = ROOT / path
    nodes = ast.parse(source.read_text()).body if source.exists() else []
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


# Commands

TESTED_ELSEWHERE = {
    "make demo": "tests/acceptance/test_demo.py",
    "python manage.py journey A-000123": "tests/unit/test_journey_command.py",  # it needs such an order
    "rabbitmqctl import_definitions docker/broker.json": "tests/acceptance/services.py",
    **dict.fromkeys(
        re.findall(
            r"^rabbitmqctl set_policy .*$", (ROOT / "docs/howto/queue-limits.md").read_text(), re.MULTILINE
        ),
        "tests/integration/test_limits.py",
    ),
    **dict.fromkeys(_shell(ROOT / "docs/howto/kubernetes.md"), "tests/architecture/test_deployment.py"),
    "gunicorn project.wsgi --bind=127.0.0.1:8002 --threads=4 --no-control-socket": "tests/acceptance/test_services.py",
    "celery -A inn worker -Q celery": "tests/integration/test_own_tasks.py",
    "celery -A inn worker -Q rooms,bills": "tests/integration/test_worker.py",
    "celery -A inn.celery:events_app worker -Q rooms,bills": "tests/integration/test_two_apps.py",
    "celery -A inn.celery:app worker": "tests/integration/test_two_apps.py",
    "python manage.py startcontext payments": "tests/integration/test_startcontext.py",
    "python manage.py dev": "tests/integration/test_dev.py",
    "python manage.py drift": "tests/unit/journal/test_drift.py",
    'python manage.py drift --allow "inventory.note_order -> inventory.out_of_stock.v1"': (
        "tests/unit/journal/test_drift.py"
    ),
    "python manage.py ocel --since 2026-01-01 --output log.json": "tests/unit/journal/test_ocel.py",
    "pytest --microworkflows-drift": "tests/unit/journal/test_drift.py",
    **dict.fromkeys(
        ("python manage.py contracts", "python manage.py contracts --accept orders.order_accepted.v1"),
        "tests/unit/test_contracts.py",
    ),
    "python manage.py contracts --check --against ../payments/contracts": "tests/unit/test_contracts.py",
    "python manage.py asyncapi --output asyncapi.json": "tests/unit/test_asyncapi.py",
    **dict.fromkeys(_shell(ROOT / "docs/howto/bootstrap.md"), "tests/architecture/test_samples.py"),
    **dict.fromkeys(_shell(ROOT / "docs/howto/late-consumers.md"), "tests/unit/test_feeding.py"),
    **dict.fromkeys(_shell(ROOT / "docs/howto/foreign-keys.md"), "tests/unit/bridging/test_loosening.py"),
    **dict.fromkeys(_shell(ROOT / "docs/howto/reconcile.md"), "tests/architecture/test_samples.py"),
    **dict.fromkeys(
        _shell(ROOT / "docs/howto/read-models.md"), "tests/integration/bridging/test_read_models.py"
    ),
    **dict.fromkeys(
        _shell(ROOT / "docs/howto/translate.md"), "tests/unit/shop/test_translated_everywhere.py"
    ),
    **dict.fromkeys(_shell(ROOT / "docs/howto/xray.md"), "tests/xray/test_howto.py"),
    **dict.fromkeys(_shell(ROOT / "docs/howto/evidence.md"), "tests/projects/test_kiosk.py"),
    # Nothing there is about these orders; the broker may be away.
    **dict.fromkeys(_shell(ROOT / "docs/howto/personal-data.md"), "tests/unit/test_erasing.py"),
    'python manage.py erase --subject orders.order:42 --why "her request"': "tests/unit/test_erasing.py",
    **dict.fromkeys(
        (
            "python manage.py topology --definitions rabbitmq.json --plan",
            'python manage.py dismiss --microworkflow payments.take_deposit --waiting --why "nobody takes deposits any more"',
            'python manage.py dismiss --microworkflow payments --why "came after the consumer was removed"',
        ),
        "tests/unit/test_topology_command.py",
    ),
    "make bench": "tests/acceptance/test_bench.py",
    "make bench QUICK=1": "tests/acceptance/test_bench.py",
    "make bench ONLY=relay,hop": "tests/acceptance/test_bench.py",
    "make bench ONLY=hop RENEW=1": "tests/unit/benchmarks/test_report.py",
}
"""Commands that another test runs, on names and servers of its own."""
NOT_RUN = {
    "make test": "it is what runs this",
    "export DATABASE_URL=postgres://user:password@localhost/shop BROKER_URL=amqp://user:password@localhost// SECRET_KEY=…": (
        "it sets what the commands after it get from the tests"
    ),
    "export SERVICE=payments DATABASE_URL=postgres://user:password@localhost/payments BROKER_URL=amqp://payments:password@localhost/shop SECRET_KEY=…": (
        "it sets what the commands after it get from the tests"
    ),
    "python manage.py migrate": "it is run here before all others",
    "celery -A project worker -Q payments -n payments@%h": "it is run below, where it can be stopped",
    "python manage.py relay": "it is run below, where it can be stopped",
    "python manage.py flowmap --output docs/reference/flow.md": "it would write; --check is run instead",
}
"""Commands that are not run as they stand, with the reason."""
_SHOWN = {
    *map(str.rstrip, _shell(*HOW_TO)),
    *re.findall(
        r"`(python manage\.py [^`]+)`", "".join(page.read_text() for page in [ROOT / "README.md", *HOW_TO])
    ),
}
RUN_HERE = sorted(_SHOWN - TESTED_ELSEWHERE.keys() - NOT_RUN.keys())


def test_documents_show_commands_that_tests_run() -> None:
    assert set(_shell(ROOT / "README.md")) <= {**TESTED_ELSEWHERE, **NOT_RUN}.keys()
    assert [path for path in TESTED_ELSEWHERE.values() if not (ROOT / path).exists()] == []
    assert [line for line in RUN_HERE if not line.startswith("python manage.py ")] == []


def test_contributing_names_targets_and_tests_that_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)

    for line in _shell(ROOT / "CONTRIBUTING.md"):
        command, named = line.split()[:2]
        path, _, test = named.partition("::")
        if command == "make":
            assert named in targets, line
        else:
            assert command == ".venv/bin/pytest", line
            assert (ROOT / path).exists(), line
            assert not test or test in _tests(path), line


def test_compatibility_names_sessions_and_scripts_that_exist() -> None:
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), flags=re.MULTILINE)

    named = [line.split() for line in _shell(ROOT / "docs/reference/compatibility.md")]

    assert {words[2] for words in named if words[0] == "nox"} <= set(sessions)
    assert all((ROOT / words[0]).exists() for words in named if words[0].startswith("tests/"))
    assert {words[0] for words in named} == {"nox", "make", "apt-get", "tests/matrix/trixie.sh"}


ONE_AFTER_ANOTHER = """
import django, shlex, sys
from django.core.management import execute_from_command_line
django.setup()
for command in sys.argv[1:]:
    execute_from_command_line(shlex.split(command)[1:])
"""


@pytest.mark.slow
@pytest.mark.acceptance
def test_commands_of_the_documents_run(tmp_path: Path) -> None:
    _run(["-c", ONE_AFTER_ANOTHER, "python manage.py migrate", *RUN_HERE], tmp_path)

    assert {f"python manage.py {name}" for name in ("parked", "replay --context payments")} <= {*RUN_HERE}


@pytest.mark.slow
@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("command", "ready"),
    [
        (["-m", "celery", *shlex.split("-A project worker -Q payments -n payments@%h")], " ready."),
        (["manage.py", "relay"], "relay payments: leads"),
    ],
    ids=["worker", "relay"],
)
def test_long_running_commands_of_the_documents_start_and_stop(
    tmp_path: Path, command: list[str], ready: str
) -> None:
    _run(["manage.py", "migrate"], tmp_path)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=_embedded(tmp_path),
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_for(ready, log, process)
        process.send_signal(signal.SIGTERM)

        assert process.wait() == 0
    finally:
        process.kill()


def _embedded(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "BROKER_URL": f"embedded://{folder / 'broker'}",
    }


def _wait_for(text: str, log: Path, process: "subprocess.Popen[bytes]") -> None:
    def said() -> bool:
        assert process.poll() is None or text in log.read_text(), log.read_text()
        return text in log.read_text()

    eventually(said, what=f"{text!r} in {log}")


def _run(command: list[str], folder: Path) -> None:
    finished = subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=ROOT,
        env=_embedded(folder),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, f"{command}: {finished.stdout}{finished.stderr}"
