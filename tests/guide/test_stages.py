"""The stages' files: each folder holds what the next stage changes and no more, and models and migrations agree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrations_guide.engine import stages, working_copy
from migrations_guide.engine.processes import manage
from migrations_guide.engine.stages import Stage, StageError
from migrations_guide.engine.verifying import stage_environment

STAGES = [pytest.param(stage, id=str(stage.number)) for stage in stages.stages()]

WITHOUT_KIT = """
import sys
for name in ("microworkflows", "celery", "kombu", "django_outbox_pattern", "pydantic"):
    sys.modules[name] = None  # not to be imported
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check", "--fail-level", "WARNING"])
"""


def python(folder: Path, *arguments: str) -> str:
    """Run Python in a working copy, on a database in memory; return what it printed."""
    environment = stage_environment(folder, {**os.environ, "DATABASE_URL": "sqlite://:memory:"})
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_folder_holds_only_what_the_next_stage_changes(stage: Stage) -> None:
    if stage.number == stages.stages()[-1].number:
        pytest.skip("the last stage has no next one")
    files, following = stages.files(stage.number), stages.files(stage.number + 1)

    same = [name for name in stages.own_files(stage.folder) if files[name] == following.get(name)]

    assert same == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_checks_find_nothing_migrations_are_complete_and_tests_pass(stage: Stage, tmp_path: Path) -> None:
    folder = working_copy.compose(stage.number, into=tmp_path)
    environment = stage_environment(folder, {**os.environ, "DATABASE_URL": "sqlite://:memory:"})
    commands = ["check --fail-level WARNING", "makemigrations --check --dry-run"]

    said = manage(folder, *commands, "test", environment=environment)

    assert said.endswith(("OK\n", "OK\nDestroying test database for alias 'default'...\n")), said
    assert ("Found 0 test(s)" in said) == (stage.number >= 7), (
        "the direct calls have their tests until they go"
    )


def test_monolith_runs_without_the_kit_and_what_it_brings(tmp_path: Path) -> None:
    folder = working_copy.compose(0, into=tmp_path)

    assert "no issues" in python(folder, "-c", WITHOUT_KIT)


def test_working_copy_is_made_anew_but_keeps_its_data(tmp_path: Path) -> None:
    working_copy.compose(0, into=tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "db.sqlite3").touch()
    (tmp_path / "orders" / "left_over.py").touch()
    (tmp_path / "left_over.py").touch()

    working_copy.compose(0, into=tmp_path)

    composed = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert composed == {*stages.files(0), "var/db.sqlite3", ".stage"}


def test_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(StageError, match="holds something else than a working copy"):
        working_copy.compose(0, into=tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_unknown_stage_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(StageError, match=r"There is no stage 99\. There are: 0"):
        stages.stage(99)


def test_stages_own_file_wins_over_a_later_one_and_what_is_absent_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "1_first/ABSENT": "# Stage 2 adds:\norders/events.py\nproject/demo/\n",
        "1_first/orders/models.py": "one",
        "2_second/orders/models.py": "two",
        "2_second/orders/old.py": "old",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(stages, "FOLDER", tmp_path)

    first, second, third = (stages.files(number) for number in (1, 2, 3))

    assert [first["orders/models.py"], second["orders/models.py"]] == ["one", "two"]
    assert third["orders/models.py"] == (stages.ROOT / "apps/orders/models.py").read_text()
    assert ("orders/old.py" in first, "orders/old.py" in second, "orders/old.py" in third) == (
        True,
        True,
        False,
    )
    assert ("orders/events.py" in first, "orders/events.py" in second) == (False, True)
    assert not [name for name in first if name.startswith("project/demo/")]


SETTINGS = "DEBUG = False\n\n\nAPPS = [\n    'orders',\n    'payments',\n]\n"


def write(folder: Path, **texts: str) -> None:
    """Write the settings of two stages, by the endings of the files' names."""
    for stage, text in texts.items():
        number, _, ending = stage.partition("_")
        path = (
            folder
            / {"first": "1_first", "second": "2_second"}[number]
            / f"settings.py{ending and '.'}{ending}"
        )
        path.parent.mkdir(parents=True)
        path.write_text(text)


def test_patch_makes_a_stages_file_from_that_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "FOLDER", tmp_path)
    patch = "From stage 2:\n@@\n-DEBUG = False\n+DEBUG = True\n\n\n@@\n     'orders',\n+    'shipping',\n"
    write(tmp_path, first_patch=patch, second=SETTINGS)

    settings = stages.files(1)["settings.py"]

    assert settings == "DEBUG = True\n\n\nAPPS = [\n    'orders',\n    'shipping',\n    'payments',\n]\n"


@pytest.mark.parametrize("hunk", ["-DEBUG = True", " ]\n+more", "     'orders',\n     'shipping',"])
def test_patch_that_does_not_fit_in_one_place_is_refused(
    hunk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "FOLDER", tmp_path)
    write(tmp_path, first_patch=f"From stage 2:\n@@\n{hunk}\n", second=SETTINGS + "MORE = [\n]\n")

    with pytest.raises(StageError, match=r"1_first/settings\.py\.patch: .* the lines of change 1"):
        stages.files(1)


def test_absent_file_that_no_later_stage_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1_first").mkdir()
    (tmp_path / "1_first/ABSENT").write_text("orders/evnets.py\n")
    monkeypatch.setattr(stages, "FOLDER", tmp_path)

    with pytest.raises(StageError, match=r"1_first/ABSENT lists orders/evnets\.py"):
        stages.files(1)


def test_diff_shows_what_was_changed_added_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "1_first/ABSENT": "shipping/events.py\n",
        "1_first/payments/billing.py": "charge\n",
        "1_first/project/__init__.py": "before\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(stages, "FOLDER", tmp_path)

    lines = list(working_copy.diff(2))

    assert [line.strip() for line in lines if line.startswith(("---", "+++"))] == [
        *("--- a/payments/billing.py", "+++ /dev/null"),
        *("--- a/project/__init__.py", "+++ b/project/__init__.py"),
        *("--- /dev/null", "+++ b/shipping/events.py"),
    ]
    assert {"-charge\n", "-before\n"} <= set(lines)
