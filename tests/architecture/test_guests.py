"""Guests of the core can be deleted as folders: the rest of the kit stays green without them, on SQLite.

The kit's unit tests run on SQLite here alone; ``make test-slow`` adds those of the shop and of the guests.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.files import ROOT, project_files

GUESTS = [
    Path(f"apps/microworkflows/{name}")
    for name in ("bridging", "cutover", "journal", "metrics", "problems", "telemetry")
]
"""Folders of the kit that nothing else needs."""

_THEIR_TESTS = [Path(f"tests/{kind}/{guest.name}") for guest in GUESTS for kind in ("unit", "integration")]
_COPIED = ("apps", "contracts", "project", "docs", "tests/unit", "tests/integration", "tests/fuzzing")
_LEFT_OUT = (*GUESTS, *_THEIR_TESTS, Path("tests/unit/benchmarks"), Path("tests/unit/processes"))
_SINGLE_FILES = {
    "manage.py",
    "pyproject.toml",
    "tests/architecture/__init__.py",
    "tests/architecture/files.py",
}


@pytest.fixture
def without_guests(tmp_path: Path) -> Path:
    """A copy of kit, shop and tests, less the guests, the tests of these, and the shop's lines that name one."""
    names = [f'"microworkflows.{guest.name}' for guest in GUESTS]
    for path in project_files():
        wanted = any(path.is_relative_to(folder) for folder in _COPIED) or path.parent == Path("tests")
        if (wanted or str(path) in _SINGLE_FILES) and not any(
            path.is_relative_to(left) for left in _LEFT_OUT
        ):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    for path in (tmp_path / "project").rglob("*.py"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not any(name in line for name in names)))
    return tmp_path


@pytest.mark.slow
def test_kit_is_green_without_the_guests(without_guests: Path) -> None:
    # The copy comes first on the path, so the kit of this checkout is out of reach.
    python_path = os.pathsep.join([str(without_guests), str(without_guests / "apps")])
    environment = {**os.environ, "PYTHONPATH": python_path, "TEST_DATABASE_URL": "sqlite://"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [
        *(sys.executable, "-m", "pytest", "tests/unit", "--ignore", "tests/unit/shop", "--quiet"),
        *("--ignore", "tests/unit/test_run_progress.py"),
        *("-m", "not postgres and not rabbitmq and not browser and not slow"),
    ]

    run = subprocess.run(
        command, cwd=without_guests, env=environment, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    (passed,) = re.findall(r"^(\d+) passed", run.stdout, flags=re.MULTILINE)
    assert int(passed) > 300
    listed = subprocess.run(
        [sys.executable, "-c", "import microworkflows; print(microworkflows.__file__)"],
        cwd=without_guests,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(listed.stdout.strip()).is_relative_to(without_guests)
