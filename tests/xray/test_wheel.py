"""The X-ray's own wheel: its package and no more, for the oldest and the newest Django, without the kit."""

import re
import shutil
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.architecture.files import ROOT, project_files
from tests.xray import processes
from tests.xray.handover import copied


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it from a copy, so that nothing is left behind here."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in project_files():
        if path.is_relative_to("xray"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / path)
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder,
        folder / "xray",
    ]
    run(*build, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to which nothing of this run's settings or paths is known."""
    process = processes.run(*command, cwd=cwd)
    assert process.returncode == 0, f"{command}:\n{process.stdout}\n{process.stderr}"
    return process.stdout


def test_wheel_contains_the_package_and_nothing_else(wheel: Path) -> None:
    package = {str(path.relative_to("xray")) for path in project_files() if path.is_relative_to("xray")}

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert packed == package - {"README.md", "pyproject.toml"}
    assert {"microworkflows_xray/py.typed", "microworkflows_xray/__main__.py"} <= packed


def test_wheel_says_what_it_runs_on_and_does_not_need_the_kit(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    (name,) = (each for each in files.namelist() if each.endswith(".dist-info/METADATA"))
    (entries,) = (each for each in files.namelist() if each.endswith(".dist-info/entry_points.txt"))

    about = message_from_string(files.read(name).decode())

    needed = {re.split(r"[<>=]", each)[0] for each in about.get_all("Requires-Dist", [])}
    assert about["Name"] == "microworkflows-xray"
    assert about["Requires-Python"] == ">=3.10"
    assert needed == {"django", "grimp", "networkx"}
    assert str(about.get_payload()).startswith("# microworkflows-xray\n")
    assert "xray = microworkflows_xray.__main__:main" in files.read(entries).decode()


def test_readme_of_the_wheel_has_at_most_300_words() -> None:
    assert len((ROOT / "xray/README.md").read_text().split()) <= 300


@pytest.mark.slow
@pytest.mark.parametrize(("version", "django"), [("3.10", "4.2"), ("3.13", "6.1")])
def test_wheel_works_with_the_oldest_and_the_newest(
    wheel: Path, version: str, django: str, tmp_path: Path
) -> None:
    """Here pip resolves what the wheel asks for, from the package index that it is configured with."""
    root = copied(tmp_path)
    run(_python(version), "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--no-compile", wheel, f"django=={django}.*", cwd=tmp_path)

    xray = tmp_path / "venv/bin/xray"
    run(xray, "look", cwd=root)
    seams = run(xray, "seams", "place_order", "--facts", "xray-facts.json", cwd=root)
    run(xray, "report", "--format", "html,md,json,sarif", "--facts", "xray-facts.json", cwd=root)
    run(xray, "guard", "--init", "--import-linter", ".importlinter", cwd=root)
    run(xray, "guard", cwd=root)
    run(xray, "scaffold", "place-update-stock", "--output", "new", cwd=root)

    installed = run(
        python, "-c", "import sys, django; print(sys.version_info[:2], django.VERSION[:2])", cwd=root
    )
    assert installed == f"({version.replace('.', ', ')}) ({django.replace('.', ', ')})\n"
    assert "LinePlaced: orders -> stock (template method)" in seams
    assert (root / "new/shop/stock/legacy.py").exists()


def _python(version: str) -> str:
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
    found = str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"Python {version} is not installed here")
    return found
