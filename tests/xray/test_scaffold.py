"""Scaffolded code is in order, refuses what no event can take over, and overwrites nothing."""

import io
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from microworkflows_xray import scaffold, seams
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Static
from tests.xray.handover import copied, renamed, static

BINARIES = Path(sys.executable).parent
SEAMS = {
    "call": "return-order-put-back",
    "template method": "place-update-stock",
    "signal": "close-order-release",
}
each_shape = pytest.mark.parametrize("shape", SEAMS)
RULES = "E,W,F,I,UP,B,C4,D2,D3,D4,N,RET,SIM,ANN,RUF"

MYPY = """
[mypy]
strict = true
plugins = mypy_django_plugin.main
explicit_package_bases = true
mypy_path = {kit}
[mypy-microworkflows.*]
follow_imports = silent
[mypy-django_outbox_pattern.*,kombu.*,amqp.*,billiard.*]
ignore_missing_imports = true
[mypy.plugins.django-stubs]
django_settings_module = microworkflows_settings
"""


def scaffolded(root: Path, shape: str, output: Path | None = None) -> tuple[int, str]:
    facts, told = static(root), io.StringIO()
    status = scaffold.run(
        facts, Contexts.read(None, facts), seam=SEAMS[shape], output=output or root, out=told
    )
    return status, told.getvalue()


def written(told: str) -> list[str]:
    return [line.split()[0] for line in told.splitlines() if line.split("  ")[0].endswith(".py")]


def run(
    root: Path, *command: str, settings: str = "microworkflows_settings", paths: str = ""
) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": paths or str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@each_shape
def test_scaffolded_test_is_green(shape: str, tmp_path: Path) -> None:
    root = copied(tmp_path)
    status, told = scaffolded(root, shape)

    finished = run(root, sys.executable, "-W", "error", "manage.py", "test", "shop")

    assert status == 0
    assert "is green" in told
    assert finished.returncode == 0, finished.stderr
    assert "Ran 1 test" in finished.stderr


@each_shape
def test_scaffolded_test_is_red_if_the_step_does_not_run(shape: str, tmp_path: Path) -> None:
    root = copied(tmp_path)
    scaffolded(root, shape)
    settings = root / "microworkflows_settings.py"
    settings.write_text(f"{settings.read_text()}\nMICROWORKFLOWS = {{}}\n")

    finished = run(root, sys.executable, "manage.py", "test", "shop")

    assert finished.returncode == 1
    assert "AssertionError: 0 != 1" in finished.stderr


@each_shape
def test_scaffolded_code_passes_ruff(shape: str, tmp_path: Path) -> None:
    root = copied(tmp_path)
    _, told = scaffolded(root, shape)
    ruff = str(BINARIES / "ruff")

    options = ("--isolated", "--no-cache")
    ignored = ("--ignore", "ANN401,D203,D213", "--select", RULES)
    linted = run(root, ruff, "check", *options, *ignored, "--config", 'src=["."]', *written(told))
    formatted = run(root, ruff, "format", *options, "--diff", *written(told))

    assert len(written(told)) == 7
    assert linted.returncode == 0, linted.stdout
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.slow
@each_shape
def test_scaffolded_code_passes_strict_mypy_in_a_typed_project(shape: str, tmp_path: Path) -> None:
    root = copied(tmp_path)
    _, told = scaffolded(root, shape)
    kit = Path(__file__).resolve().parents[2] / "apps"
    (root / "mypy.ini").write_text(MYPY.format(kit=kit))

    checked = run(root, sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "mypy"), *written(told))

    mine = [line for line in checked.stdout.splitlines() if line.split(":")[0] in written(told)]
    assert mine == [], checked.stdout
    assert "checked 7 source files" in checked.stdout or "Success" in checked.stdout, (
        checked.stdout + checked.stderr
    )


def test_files_that_are_there_are_left_alone_and_named(tmp_path: Path) -> None:
    root = copied(tmp_path)
    (root / "shop/stock/events.py").write_text("# mine\n")

    status, told = scaffolded(root, "call")

    assert status == 1
    assert told.startswith("Nothing was written: shop/stock/events.py would be overwritten.")
    assert (root / "shop/stock/events.py").read_text() == "# mine\n"
    assert not (root / "shop/orders/events.py").exists()


def test_files_can_go_into_a_folder_of_their_own(tmp_path: Path) -> None:
    root = copied(tmp_path)

    status, _ = scaffolded(root, "call", tmp_path / "new/folder")

    assert status == 0
    assert (tmp_path / "new/folder/shop/stock/legacy.py").exists()
    assert not (root / "shop/stock/legacy.py").exists()


def test_query_is_refused_with_the_alternative(tmp_path: Path) -> None:
    facts, told = static(), io.StringIO()

    status = scaffold.run(
        facts, Contexts.read(None, facts), seam="close-order-is-reserved", output=tmp_path, out=told
    )

    assert status == 2
    assert "a query, not an event" in told.getvalue()
    assert list(tmp_path.iterdir()) == []


def test_unknown_seam_is_refused(tmp_path: Path) -> None:
    facts, told = static(), io.StringIO()

    status = scaffold.run(facts, Contexts.read(None, facts), seam="no-such", output=tmp_path, out=told)

    assert status == 2
    assert told.getvalue() == "No seam has the id no-such. `xray seams` lists all.\n"


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Static]:
    """Return a project whose orders come from a package that is installed beside it."""
    root = copied(tmp_path)
    facts = static(root)
    orders, stock = facts.apps
    packages = tmp_path / "site-packages"
    shutil.move(root / "shop/orders", packages / "sold")
    for path in [*packages.rglob("*.py"), *root.rglob("*.py")]:
        text = path.read_text().replace("shop.orders", "sold")
        path.write_text(text.replace('"orders.Order"', '"sold.Order"'))
    monkeypatch.syspath_prepend(packages)
    facts = replace(facts, apps=(replace(orders, name="shop.orders", path="shop/orders"), stock))
    return root, renamed(facts, "shop.orders", "sold")


def test_code_that_nobody_can_edit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, facts = installed(tmp_path, monkeypatch)
    told = io.StringIO()

    status = scaffold.run(facts, Contexts.read(None, facts), seam="return-order", output=root, out=told)

    assert status == 2
    assert "sold.services.return_order lies in an installed package" in told.getvalue()


def test_context_of_an_installed_package_gets_an_app_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, facts = installed(tmp_path, monkeypatch)
    told = io.StringIO()

    status = scaffold.run(facts, Contexts.read(None, facts), seam="place-update-stock", output=root, out=told)

    paths = os.pathsep.join([str(root), str(tmp_path / "site-packages")])
    finished = run(root, sys.executable, "manage.py", "test", "shop", paths=paths)
    assert status == 0, told.getvalue()
    assert 'type="orders_events.line_placed.v1"' in (root / "orders_events/events.py").read_text()
    assert '"orders_events"' in (root / "microworkflows_settings.py").read_text()
    assert finished.returncode == 0, finished.stderr


def test_id_of_a_seam_survives_lines_that_move(tmp_path: Path) -> None:
    root = copied(tmp_path)
    before = static(root)
    services = root / "shop/orders/services.py"
    services.write_text("# one\n# more\n" + services.read_text())

    after = static(root)

    ids = [[each.id for each in seams.find(facts, Contexts.read(None, facts))] for facts in (before, after)]
    assert ids[0] == ids[1]
