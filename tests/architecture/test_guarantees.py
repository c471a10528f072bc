"""The guarantees: each names tests that exist, and one of them at least runs in ``make test``."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.files import ROOT

ROWS = re.findall(
    r"^\| (R\d+) \| (.*) \|$", (ROOT / "docs/explanation/guarantees.md").read_text(), re.MULTILINE
)


def is_slow(test: str) -> bool:
    """Tell whether a test, or its whole file, is marked as slow; fail if there is none of this name."""
    file, _, name = test.partition("::")
    module = ast.parse((ROOT / Path(file)).read_text())
    (function,) = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name]
    marks = [
        node for node in module.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)
    ]
    return any(ast.unparse(each) == "pytest.mark.slow" for each in function.decorator_list) or any(
        "pytest.mark.slow" in ast.unparse(mark) for mark in marks
    )


@pytest.mark.skipif(not ROWS, reason="the guarantees have no numbers yet")
def test_guarantees_are_numbered_without_gaps() -> None:
    assert [number for number, _ in ROWS] == [f"R{number + 1}" for number in range(len(ROWS))]


@pytest.mark.parametrize(("number", "row"), ROWS, ids=[number for number, _ in ROWS])
def test_guarantee_names_a_test_that_every_run_has(number: str, row: str) -> None:
    tests = re.findall(r"`(tests/[^`]+::[^`]+)`", row)

    assert [test for test in tests if not is_slow(test)], f"{number} is proven in make test-slow alone"
