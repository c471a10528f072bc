"""Footprints: the other readers and writers of what a context's steps write, as far as a file of the X-ray tells."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from microworkflows.cutover import footprint_file, footprints, legacy
from microworkflows.cutover.doubts import KINDS
from payments.workflows import take_payment
from tests.unit.cutover.conftest import Switch
from tests.unit.shop.conftest import admin_user  # noqa: F401  (a fixture)

STEPS = ["payments.workflows.take_payment", "payments.workflows.refund_payment"]
READER = {"file": "basket.py", "line": 40, "function": "basket.Line.is_free", "app": "basket", "verb": "read"}
WRITER = {"file": "orders.py", "line": 7, "function": "orders.cancel", "app": "orders", "verb": "update"}


@pytest.fixture
def project(tmp_path: Path, settings: Settings, monolith: None) -> Path:
    settings.BASE_DIR = tmp_path
    for name in ("basket.py", "orders.py", "payments.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    return tmp_path


def written(
    project: Path, *, steps: list[str] = STEPS, others: Any = (), verb: str = "update", **more: Any
) -> None:
    """Write a footprint of these steps, the first of which writes a column of a table at which there are others."""
    table = {
        "table": "stock",
        "model": "shop.Stock",
        "columns": ["taken"],
        "written_at": [{"file": "payments.py", "line": 3, "function": steps[0], "verb": verb}],
        "others": [{"columns": ["taken"], "evidence": "both", **other} for other in others],
    }
    file = {
        "format": 1,
        "kind": "footprint",
        "recorded_at": "2026-11-01T10:00:00Z",
        "root": str(project),
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in project.glob("*.py")},
        "gaps": [],
        "footprints": [{"function": step, "tables": [table] if step == steps[0] else []} for step in steps],
    }
    (project / "footprint.json").write_text(json.dumps(file | more))


def said(context: str = "payments") -> str:
    return "\n".join(footprints.summary(context).said)


def test_without_a_file_the_footprint_is_unknown_and_the_command_to_make_one_is_said(project: Path) -> None:
    summary = footprints.summary("payments")

    assert not summary.is_clear
    assert summary.figures == "unknown"
    assert f"Footprint of payments: unknown. There is no file {project / 'footprint.json'}." in said()
    assert "python -m microworkflows_xray footprint payments.workflows." in said()
    assert all(f" {step} " in said() for step in STEPS)


def test_readers_and_writers_are_counted_and_named_with_their_place(project: Path) -> None:
    later = "it sees the stock as free"
    written(project, others=[{**READER, "inside": "POST basket:add", "later": later}, WRITER])

    summary = footprints.summary("payments")

    assert (summary.readers, summary.writers, summary.figures) == (1, 1, "1 read, 1 write")
    assert "1 other places read what its steps write, and 1 other places write it, too" in said()
    assert "as of 2026-11-01" in said()
    assert (
        "basket.py:40  basket.Line.is_free in POST basket:add does read stock (taken) [both]: " + later
        in said()
    )
    assert "orders.py:7  orders.cancel does update stock (taken) [both]: it no longer runs in one" in said()


def test_nobody_else_is_clear(project: Path) -> None:
    written(project, others=[{**READER, "columns": ["name"]}])

    assert footprints.summary("payments").is_clear
    assert footprints.summary("payments").figures == "nobody else"
    assert "nobody else reads or writes what its steps write" in said()


@pytest.mark.parametrize("verb", ["insert", "delete"])
def test_rows_that_come_or_go_concern_who_reads_other_columns(project: Path, verb: str) -> None:
    written(project, others=[{**READER, "columns": ["name"]}], verb=verb)

    assert footprints.summary("payments").readers == 1


def test_context_without_a_step_is_unknown(project: Path) -> None:
    written(project)

    assert footprints.summary("nobody").unknown
    assert "nobody has no step in this process" in said("nobody")


def test_legacy_step_is_a_step_and_no_other(project: Path) -> None:
    @legacy(take_payment)
    def charge(event: object) -> None:
        return None

    name = f"{__name__}.test_legacy_step_is_a_step_and_no_other.charge"
    written(project, others=[{**READER, "function": name}])

    assert name in footprints.of_context("payments").steps
    assert footprints.summary("payments").readers == 0
    assert f"tells nothing of the step {name}" in said()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"steps": STEPS[:1]}, f"tells nothing of the step {STEPS[1]}"),
        (
            {"gaps": [{"what": "basket/sql.py", "why": "invalid syntax"}]},
            "The X-ray could not look at basket/sql.py",
        ),
        ({"files": {"basket.py": "0" * 64}}, "2 of the files that it names have changed since"),
        ({"files": {}}, "1 of the files that it names have changed since, or are gone: payments.py"),
    ],
)
def test_what_the_file_does_not_tell_is_unknown(project: Path, more: dict[str, Any], reason: str) -> None:
    written(project, **more)

    summary = footprints.summary("payments")

    assert not summary.is_clear
    assert summary.unknown
    assert f"partly unknown: {reason}" in said().replace(str(project / "footprint.json") + " ", "")
    assert "python -m microworkflows_xray footprint" in said()


def test_code_that_has_changed_since_is_told(project: Path) -> None:
    written(project)
    assert footprints.summary("payments").is_clear

    (project / "payments.py").write_text("# anew\n")

    assert not footprints.summary("payments").is_clear
    assert "1 of the files that it names have changed since, or are gone: payments.py" in said()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is no footprint of the X-ray"),
        ('{"format": 2}', "is no footprint of the X-ray: format"),
        ('{"format": 1, "kind": "static"}', "is no footprint of the X-ray: kind"),
    ],
)
def test_file_that_is_no_footprint_is_unknown(project: Path, content: str, reason: str) -> None:
    (project / "footprint.json").write_text(content)

    assert not footprints.summary("payments").is_clear
    assert reason in said()


def test_file_that_is_a_folder_or_too_large_is_unknown(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "footprint.json").mkdir()
    assert "cannot be read" in said()
    (project / "footprint.json").rmdir()
    written(project)
    monkeypatch.setattr(footprint_file, "_LARGEST", 10)
    footprint_file._parsed.cache_clear()

    assert "is larger than 10 bytes" in said()


# Where the mode is switched


def test_switch_to_live_warns_of_the_others(
    project: Path, workers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    written(project, others=[READER])

    call_command("cutover", "payments", mode="live", percent=10, why="a test", by="somebody", although=KINDS)
    call_command("cutover", "shipping", mode="live", why="a test", by="somebody", although=KINDS)
    call_command("cutover", "payments", mode="inline", why="a test", by="somebody")

    out, errors = capsys.readouterr()
    assert errors.count("warning: no shadow run shows this.") == 2
    assert "basket.py:40  basket.Line.is_free" in errors
    assert "partly unknown:" in errors  # of shipping
    assert "payments is live 10 %" in out


def test_command_shows_the_footprint_of_one_context_and_figures_of_all(
    project: Path, workers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    written(project, others=[READER, WRITER])

    call_command("cutover")
    table = capsys.readouterr().out
    call_command("cutover", "payments")
    one = capsys.readouterr().out
    call_command("cutover", "payments", "--format", "json")
    (plain,) = json.loads(capsys.readouterr().out)

    assert "1 read, 1 write" in table
    assert table.splitlines()[1].endswith("unknown")
    assert "orders.py:7  orders.cancel does update stock" in one
    assert plain["footprint"]["writers"] == 1


def test_page_shows_the_footprint_and_the_switch_there_warns(
    project: Path,
    go: Switch,
    admin_client: Client,
) -> None:
    written(project, others=[READER])
    page = reverse("admin:microworkflows_cutover_contextmode_changelist")

    shown = admin_client.get(page).content.decode()
    pressed = admin_client.post(
        reverse("admin:microworkflows_cutover_switch", args=["payments"]),
        {
            "wanted": "live 10",
            "expected": "inline",
            "why": "a test",
            "although": [kind.value for kind in KINDS],
        },
        follow=True,
    )

    assert "1 read, 0 write" in shown
    assert "basket.py:40" in shown
    assert "unknown" in shown  # of the others
    told = [(message.level_tag, str(message)) for message in pressed.context["messages"]]
    assert any(tag == "warning" and "1 other places read" in text for tag, text in told)
