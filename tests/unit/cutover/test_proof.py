"""The proof that a context is unplugged: it holds for one context and this very code."""

from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from microworkflows.cutover.unplugging import proof
from microworkflows.cutover.unplugging.parties import Parties
from microworkflows.cutover.unplugging.proof import Proof, UnprovenError


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    """Keep the proofs of a test in a folder of its own."""
    settings.BASE_DIR = tmp_path
    return tmp_path


def prove(context: str = "payments", /, **other: object) -> None:
    given = {
        "proven_at": timezone.now(),
        "code": proof.digest(),
        "by": "pytest",
        "tests": 12,
        "own_statements": 34,
        "others_statements": 56,
        "steps": [f"{context}.step"],
    }
    proof.keep({context: Proof.model_validate(given | other)})


def test_proof_of_another_context_or_of_other_code_is_none(monolith: None) -> None:
    with pytest.raises(UnprovenError, match="There is no file"):
        proof.of("payments")

    prove("inventory")
    with pytest.raises(UnprovenError, match="has no proof of payments"):
        proof.of("payments")

    prove(code="0" * 64)
    with pytest.raises(UnprovenError, match="The code has changed since the proof"):
        proof.of("payments")

    proof.path().write_text("{}[")
    with pytest.raises(UnprovenError, match="holds no proofs"):
        proof.of("payments")


def test_proof_is_kept_beside_others_and_a_run_that_fails_takes_it_away(monolith: None) -> None:
    prove()
    prove("inventory")

    assert "12 tests, 34 statements of its own, 56 of others" in proof.evidence("payments", "")
    assert proof.evidence("payments", "in a hurry") == "unproven: in a hurry"
    proof.keep({"payments": None})
    with pytest.raises(UnprovenError, match="has no proof of payments"):
        proof.of("payments")
    assert proof.of("inventory").steps == ["inventory.step"]


def test_proof_of_nothing_cannot_be_made() -> None:
    for nothing in ("tests", "own_statements", "others_statements"):
        with pytest.raises(ValueError, match="greater than or equal to 1"):
            prove(**{nothing: 0})


def test_code_is_that_of_the_projects_apps_without_tests(monolith: None) -> None:
    files = {name for name, _ in proof._files(Parties())}

    assert {name.partition("/")[0] for name in files} == {
        *("project", "orders", "payments", "inventory", "shipping")
    }
    assert "payments/operations.py" in files
    assert proof.digest() == proof.digest()


def test_any_change_of_the_code_is_a_change(
    monolith: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "code.py"
    file.write_text("one = 1\n")
    monkeypatch.setattr(proof, "_files", lambda parties: [("app/code.py", file)])
    before = proof.digest()

    file.write_text("one = 2\n")

    assert proof.digest() != before
