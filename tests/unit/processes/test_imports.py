"""Who imports whom outside the kit: processes serve all, and nothing but tests imports tests."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.files import ROOT

OTHERS = {"migrations_guide", "benchmarks", "tests"}


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("project", OTHERS),
        ("project/processes", {"microworkflows", "orders", "django", "project.demo", "project.settings"}),
        ("migrations_guide/engine", {"benchmarks", "tests", "project.demo"}),
        ("benchmarks", {"tests", "project.demo"}),
    ],
)
def test_imports_outside_the_kit_lead_in_one_direction(folder: str, forbidden: set[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path.read_text())
        if any(f"{name}.".startswith(f"{other}.") for other in forbidden)
    ]

    assert found == []


def imported(source: str) -> Iterator[str]:
    """Yield the names that a module imports, and the modules that it imports from."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
