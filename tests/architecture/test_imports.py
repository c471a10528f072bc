"""The import contracts of pyproject.toml: contexts are independent, the kit knows none, its layers point down."""

import subprocess
import sys
from pathlib import Path

from tests.architecture.files import ROOT


def test_import_contracts_are_kept() -> None:
    # A process of its own: in this one import-linter would silence every logger that other tests listen to.
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout
