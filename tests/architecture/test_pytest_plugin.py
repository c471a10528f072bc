"""The plugin that pytest loads wherever the kit is installed: it is in nobody's way, and the kit's own tests use it."""

import os
import subprocess
import sys
from pathlib import Path

OWN_FIXTURE = """
import pytest

@pytest.fixture
def flow():
    return "the project's own"
"""
TESTS = """
import sys

def test_nothing_of_the_kit_is_imported():
    assert not {"django", "pydantic", "microworkflows"} & set(sys.modules)

def test_own_fixture_of_the_name_comes_first(flow):
    assert flow == "the project's own"
"""


def test_plugin_leaves_a_project_without_django_alone(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(OWN_FIXTURE)
    (tmp_path / "test_it.py").write_text(TESTS)
    environment = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-p", "microworkflows"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "plugins: django-microworkflows-" in run.stdout
    assert "2 passed" in run.stdout
