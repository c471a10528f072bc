"""Contracts as files: written, checked, compared with other services', by command and by pytest's option."""

import json
import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from pydantic import BaseModel

import pytest_microworkflows
from microworkflows import DomainEvent, IncomingEvent, contracts, registry
from microworkflows.contracts import Name
from microworkflows.errors import ContractError
from tests.architecture.files import ROOT

ANNOUNCED = "letters/announces/letters.letter_written.v1.json"


def run(folder: Path, *arguments: str) -> str:
    out = StringIO()
    call_command("contracts", "--folder", str(folder), *arguments, stdout=out)
    return out.getvalue()


def refused(folder: Path, *arguments: str) -> tuple[str, CommandError]:
    """Return what the command says before it fails, and its error."""
    out = StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("contracts", "--folder", str(folder), *arguments, stdout=out)
    return out.getvalue(), raised.value


def announce(event_type: str, **fields: Any) -> None:
    """Announce a type anew, with other fields."""
    registry._announcements[:] = [each for each in registry._announcements if each.event_type != event_type]
    body = {"__annotations__": {name: kind for name, (kind, *_) in fields.items()}, "__module__": __name__}
    body |= {name: rest[0] for name, (_, *rest) in fields.items() if rest}
    type("LetterWritten", (DomainEvent,), body, type=event_type)


def test_each_announcement_and_reading_is_a_file_that_stays_the_same(
    post: SimpleNamespace, tmp_path: Path
) -> None:
    run(tmp_path)
    first = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.json")}

    run(tmp_path)

    assert {
        path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.json")
    } == first
    assert ANNOUNCED in first
    assert "desk/announces/desk.letter_stamped.v1.json" in first
    assert len([path for path in first if path.endswith("letters.letter_written.v1.WrittenAtDesk.json")]) == 1
    schema = json.loads(first[ANNOUNCED])
    assert schema["properties"]["postage"]["format"] == "decimal"
    assert "4 contracts" in run(tmp_path, "--check")


def test_incompatible_change_fails_and_says_what_changed_and_whom_it_hurts(
    post: SimpleNamespace, tmp_path: Path
) -> None:
    run(tmp_path)
    announce("letters.letter_written.v1", letter_id=(int,), stamps=(int,))
    before = (tmp_path / ANNOUNCED).read_text()

    said, error = refused(tmp_path, "--check")

    assert "letters.letter_written.v1: letter_id was string (uuid), is now integer" in said
    assert "hurts listeners: tests_unit.WrittenAtDesk" in said
    assert "stamps was not announced, is now required" in said
    assert "older rows in outbox, inbox and queues" in said
    assert "announce the new form as letters.letter_written.v2 beside it" in said
    assert error.returncode == 1
    assert "--accept" in str(error)
    refused(tmp_path)
    assert (tmp_path / ANNOUNCED).read_text() == before, "a contract that breaks is not written over"
    findings = json.loads(refused(tmp_path, "--format", "json")[0])["findings"]
    assert {"letter_id", "stamps"} <= {each["field"] for each in findings}
    assert all(each["is_certain"] for each in findings)


def test_breaking_change_is_written_once_it_is_accepted(post: SimpleNamespace, tmp_path: Path) -> None:
    run(tmp_path)
    announce("letters.letter_written.v1", letter_id=(UUID,), stamps=(int,))

    refused(tmp_path)
    run(tmp_path, "--accept", "letters.letter_written.v1")

    assert "kept" in run(tmp_path, "--check")
    assert "x-removed" not in (tmp_path / ANNOUNCED).read_text()


def test_harmless_change_asks_to_write_the_files_anew(post: SimpleNamespace, tmp_path: Path) -> None:
    run(tmp_path)
    announce("letters.letter_written.v1", letter_id=(UUID,), postage=(str, ""), note=(str | None, None))
    refused(tmp_path)  # another type of postage
    announce("letters.letter_written.v1", letter_id=(UUID,), note=(str | None, None))

    said, error = refused(tmp_path, "--check")

    assert said.splitlines() == ["letters.letter_written.v1 has changed"]
    assert "are stale. Write them anew: manage.py contracts" in str(error)
    run(tmp_path)
    assert "kept" in run(tmp_path, "--check")


def test_name_of_a_removed_field_keeps_its_meaning(post: SimpleNamespace, tmp_path: Path) -> None:
    class Stamp(BaseModel):
        colour: str = ""
        value: int

    announce("letters.letter_written.v1", letter_id=(UUID,), note=(str, ""), stamp=(Stamp | None, None))
    run(tmp_path)
    announce("letters.letter_written.v1", letter_id=(UUID,))
    run(tmp_path)
    announce("letters.letter_written.v1", letter_id=(UUID,), note=(int, 0), stamp=(int, 0))

    said, _ = refused(tmp_path)

    assert "note was string, is now integer" in said
    assert "stamp was object or null, is now integer" in said
    announce("letters.letter_written.v1", letter_id=(UUID,), note=(str, ""))
    run(tmp_path)
    assert list(json.loads((tmp_path / ANNOUNCED).read_text())["x-removed"]) == ["stamp"]
    assert "Stamp" in json.loads((tmp_path / ANNOUNCED).read_text())["$defs"]


def test_event_that_somebody_reads_may_not_go(post: SimpleNamespace, tmp_path: Path) -> None:
    run(tmp_path)
    announce("letters.letter_sent.v1", letter_id=(UUID,))
    registry._announcements.remove(post.LetterWritten)

    said, _ = refused(tmp_path, "--check")

    assert "letters.letter_written.v1: is announced no longer" in said


def test_reading_that_begins_to_ask_for_more_is_held_against_older_events_too(
    post: SimpleNamespace, tmp_path: Path
) -> None:
    run(tmp_path)
    announce("letters.letter_written.v1", letter_id=(UUID,), note=(str,))

    class NoteRead(IncomingEvent, type="letters.letter_written.v1"):
        note: str

    said, _ = refused(tmp_path, "--check")

    assert "NoteRead reads letters.letter_written.v1: note is required but not announced" in said
    assert "hurts older events, in queues and inbox" in said


def test_services_that_share_no_code_compare_through_their_files(
    post: SimpleNamespace, tmp_path: Path
) -> None:
    class StampRead(IncomingEvent, type="stamps.stamp_sold.v1"):
        value: int

    run(tmp_path / "own")
    other = tmp_path / "other/stamps/announces/stamps.stamp_sold.v1.json"
    other.parent.mkdir(parents=True)
    promise = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}
    other.write_text(json.dumps(promise))
    reads = tmp_path / "other/stamps/reads/letters.letter_written.v1.Letter.json"
    reads.parent.mkdir(parents=True)
    reads.write_text(json.dumps({"type": "object", "properties": {"letter_id": {"type": "string"}}}))

    alone = run(tmp_path / "own", "--check")
    fitting = run(tmp_path / "own", "--check", "--against", str(tmp_path / "other"))
    other.write_text(json.dumps({**promise, "properties": {"value": {"type": "string"}}}))
    reads.write_text(
        json.dumps({"type": "object", "properties": {"sender": {"type": "string"}}, "required": ["sender"]})
    )
    said, _ = refused(tmp_path / "own", "--check", "--against", str(tmp_path / "other"))

    assert "StampRead reads stamps.stamp_sold.v1: not compared, its announcement is unknown here" in alone
    assert "not compared" not in fitting
    assert "StampRead reads stamps.stamp_sold.v1: value may be string but is read as integer" in said
    assert "stamps.Letter reads letters.letter_written.v1: sender is required but not announced" in said
    with pytest.raises(CommandError, match="nowhere is no folder"):
        run(tmp_path / "own", "--against", str(tmp_path / "nowhere"))


def test_narrower_reading_of_an_unknown_announcement_is_told_apart(
    post: SimpleNamespace, tmp_path: Path
) -> None:
    """Exit code 2: nobody can tell."""

    def read(kind: Any) -> None:
        registry._readings[:] = [each for each in registry._readings if each.__name__ != "StampRead"]
        body = {"__annotations__": {"value": kind}, "__module__": __name__}
        type("StampRead", (IncomingEvent,), body, type="stamps.stamp_sold.v1")

    read(int | None)
    run(tmp_path)
    read(int)

    said, error = refused(tmp_path, "--check")

    assert "nobody can tell whether this is harmless: value was read as null, is now read as integer" in said
    assert "--against FOLDER" in said
    assert error.returncode == 3


def test_folder_that_holds_something_else_is_refused(post: SimpleNamespace, tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(CommandError, match=r"notes\.json is no contract"):
        run(tmp_path)
    (tmp_path / "notes.json").unlink()
    for text, says in (("{", "cannot be read as JSON"), ("[]", "holds no JSON Schema")):
        (tmp_path / ANNOUNCED).write_text(text)
        with pytest.raises(CommandError, match=says):
            run(tmp_path)


def test_two_readings_of_one_name_are_refused(post: SimpleNamespace) -> None:
    for _ in range(2):
        type("Twice", (IncomingEvent,), {"__module__": __name__}, type="letters.letter_written.v1")

    with pytest.raises(ContractError, match="Two readings"):
        contracts.declared()


def test_run_of_tests_fails_where_a_contract_breaks(post: SimpleNamespace, tmp_path: Path) -> None:
    run(tmp_path)
    gate = pytest_microworkflows._ContractsGate(tmp_path)
    session, report = SimpleNamespace(exitstatus=pytest.ExitCode.OK), []
    terminal: Any = SimpleNamespace(
        section=lambda *a, **k: report.append(a[0]), write_line=lambda line, **k: report.append(line)
    )

    gate.pytest_sessionfinish(session)  # type: ignore[arg-type]
    gate.pytest_terminal_summary(terminal)
    assert (session.exitstatus, report) == (pytest.ExitCode.OK, [])

    announce("letters.letter_written.v1", letter_id=(int,))
    gate.pytest_sessionfinish(session)  # type: ignore[arg-type]
    gate.pytest_terminal_summary(terminal)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED
    assert "letter_id was string (uuid), is now integer" in "".join(report)


@pytest.mark.slow
def test_option_of_pytest_holds_the_shops_contracts() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n2",
        "tests/unit/test_ids.py",
        "--microworkflows-contracts",
    ]
    environment = {**os.environ, "TEST_DATABASE_URL": "sqlite://"}

    kept, missing = (
        subprocess.run(
            [*command, folder], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        for folder in ("contracts", "nowhere")
    )

    assert kept.returncode == 0, kept.stdout
    assert missing.returncode == 1
    assert "payments.payment_received.v1 is new" in missing.stdout


def test_contracts_of_the_shop_are_kept(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "contracts", tmp_path / "contracts")

    assert "23 contracts" in run(tmp_path / "contracts", "--check")
    assert Name.of(Path("payments/reads/orders.order_accepted.v1.OrderAccepted.json")) in contracts.declared()
