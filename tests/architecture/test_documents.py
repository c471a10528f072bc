"""The documents say what is: their links lead somewhere, their code is the project's, their commands run."""

import ast
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest

from microworkflows import conf
from tests.architecture.files import ROOT
from tests.integration.support.waiting import eventually


def _python(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()
SHELL = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.strip().splitlines()
]
INLINE = re.findall(r"`python (manage\.py [^`]+)`", "".join(path.read_text() for path in DOCUMENTS))
"""Commands in running text, such as the table of what an operator does by hand."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("sample", _python(README), ids=lambda sample: sample.splitlines()[0])
def test_every_code_sample_of_the_readme_is_an_excerpt_of_the_file_that_it_names(sample: str) -> None:
    named, _, excerpt = sample.partition("\n")
    source = (ROOT / named.removeprefix("# ")).read_text()

    assert excerpt in source or textwrap.indent(excerpt, "    ") in source


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_code_sample_is_python(document: Path) -> None:
    for block in _python(document.read_text()):
        ast.parse(block)


def test_settings_in_the_readme_are_those_of_the_kit() -> None:
    class_body = next(
        node for node in ast.parse(Path(conf.__file__).read_text()).body if isinstance(node, ast.ClassDef)
    ).body
    said = {
        assigned.target.id: str(meaning.value.value)
        for assigned, meaning in itertools.pairwise(class_body)
        if isinstance(assigned, ast.AnnAssign)
        and isinstance(assigned.target, ast.Name)
        and isinstance(meaning, ast.Expr)
        and isinstance(meaning.value, ast.Constant)
    }
    rows = [
        f"| `{field.name.upper()}` | `{field.default}` | {said[field.name]} |"
        for field in fields(conf.Settings)
    ]
    table = re.search(r"<!-- settings.*?-->\n(.*?)\n<!-- end of settings -->", README, flags=re.DOTALL)

    assert table is not None
    assert table[1].splitlines() == ["| `MICROWORKFLOWS` | default | |", "| --- | --- | --- |", *rows]


def test_flow_map_is_fresh(tmp_path: Path) -> None:
    _run(["manage.py", "flowmap", "--check", "docs/flow.md"], tmp_path)


def test_readme_shows_the_commands_that_the_tests_run() -> None:
    assert SHELL == [
        "make demo",  # tests/acceptance/test_demo.py
        "make test",  # what runs this
        "export DATABASE_URL=postgres://user:password@localhost/shop BROKER_URL=amqp://user:password@localhost// SECRET_KEY=…",
        "python manage.py migrate",  # here
        "celery -A project worker -Q payments -n payments@%h",  # here
        # All of these: tests/acceptance/test_services.py
        "export SERVICE=payments DATABASE_URL=postgres://user:password@localhost/payments BROKER_URL=amqp://payments:password@localhost/shop SECRET_KEY=…",
        "python manage.py migrate",
        "celery -A project worker -Q payments -n payments@%h",
        "gunicorn project.wsgi --bind=127.0.0.1:8002 --no-control-socket",
    ]


@pytest.mark.slow
@pytest.mark.acceptance
def test_commands_of_the_documents_run(tmp_path: Path) -> None:
    _run(["manage.py", "migrate"], tmp_path)

    for command in sorted(set(INLINE) - {"manage.py relay", "manage.py flowmap --output docs/flow.md"}):
        _run(shlex.split(command), tmp_path)
    assert {"manage.py parked", "manage.py replay --context payments", "manage.py purge_events"} <= set(
        INLINE
    )


@pytest.mark.slow
@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("command", "ready"),
    [
        (["-m", "celery", *shlex.split(SHELL[4])[1:]], " ready."),
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
