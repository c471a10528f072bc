"""The borders as contracts of import-linter: kept today, broken by a new import, and by one that is gone."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from microworkflows_xray import guard
from microworkflows_xray.contexts import Contexts
from tests.xray.handover import copied, static


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with its contracts and its baseline."""
    root = copied(tmp_path)
    facts = static(root)
    status = guard.run(
        facts,
        Contexts.read(None, facts),
        root=root,
        init=True,
        import_linter=root / ".importlinter",
        out=io.StringIO(),
    )
    assert status == 0
    return root


def lint(root: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_todays_imports_are_accepted(project: Path) -> None:
    linted = lint(project)

    assert linted.returncode == 0, linted.stdout
    assert "orders imports no other context KEPT" in linted.stdout
    assert "stock imports no other context KEPT" in linted.stdout


def test_new_import_across_a_border_is_refused(project: Path) -> None:
    signals = project / "shop/orders/signals.py"
    signals.write_text(f"from shop.stock.models import Stock\n{signals.read_text()}")

    linted = lint(project)

    assert linted.returncode == 1
    assert "shop.orders.signals -> shop.stock.models" in linted.stdout


def test_import_that_is_gone_has_to_leave_the_list(project: Path) -> None:
    (project / "shop/stock/receivers.py").write_text("def release(sender, order, **kwargs):\n    pass\n")

    linted = lint(project)

    assert linted.returncode == 1
    assert "shop.stock.receivers -> shop.orders.models" in linted.stdout
