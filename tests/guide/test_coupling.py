"""``manage.py coupling`` finds every foreign key and import with which one app holds on to another."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings

from microworkflows.cutover import coupling
from microworkflows.cutover.coupling import FOREIGN_KEY, IMPORT
from migrations_guide.engine import working_copy
from migrations_guide.engine.verifying import stage_environment

ORCHARD = {
    "models.py": "",
    "picking.py": "import os\nfrom mill import pressing, storing as store\n\ndef pick():\n    import mill.pressing\n",
    "deep/er.py": "from ..picking import pick\n",
    "migrations/0001_initial.py": "import mill.models\n",
    "annex/weighing.py": "from ..picking import pick\n",
}


@pytest.fixture
def orchard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the apps orchard and mill, and orchard.annex that lies in its folder."""
    for name, text in {f"orchard/{name}": text for name, text in ORCHARD.items()}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("orchard", "orchard/annex", "mill"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "orchard", "orchard.annex", "mill"]):
        yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in {"orchard", "mill"}]:
        del sys.modules[name]


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    try:
        call_command("coupling", *arguments)
    except SystemExit as ended:
        return capsys.readouterr().out, int(ended.code or 0)
    return capsys.readouterr().out, 0


def test_imports_are_found_wherever_they_stand(orchard: Path) -> None:
    (pair,) = coupling.pairs(["orchard", "mill"])

    assert (pair.app, pair.on) == ("orchard", "mill")
    assert [(str(bond.file.relative_to(orchard)), bond.line, bond.what) for bond in pair.bonds] == [
        ("orchard/picking.py", 2, "mill.pressing"),
        ("orchard/picking.py", 2, "mill.storing"),
        ("orchard/picking.py", 5, "mill.pressing"),
    ]


def test_app_in_the_folder_of_another_is_an_app_of_its_own(orchard: Path) -> None:
    pairs = coupling.pairs(["orchard", "annex", "mill"])

    assert [(pair.app, pair.on) for pair in pairs] == [("annex", "orchard"), ("orchard", "mill")]


def test_file_that_is_no_python_is_told(orchard: Path) -> None:
    (orchard / "orchard/broken.py").write_text("def\n")

    with pytest.raises(CommandError, match=r"orchard/broken\.py"):
        call_command("coupling", "--of", "orchard", "mill")


def test_foreign_keys_are_found_where_they_are_declared() -> None:
    (pair,) = coupling.pairs(["auth", "contenttypes"])

    (bond,) = [bond for bond in pair.bonds if bond.kind == FOREIGN_KEY]
    assert bond.what == "auth.Permission.content_type → contenttypes.ContentType"
    assert "content_type = models.ForeignKey" in bond.file.read_text().splitlines()[bond.line - 1]
    assert pair.count(FOREIGN_KEY) == 1
    assert pair.count(IMPORT) == len(pair.bonds) - 1


def test_contexts_of_the_cut_over_are_looked_at_first_else_the_projects_own_apps() -> None:
    own = coupling.own_apps()
    with override_settings(MICROWORKFLOWS={"CUTOVER": ["payments"]}):
        handed_over = coupling.own_apps()

    assert handed_over == ["payments"]
    assert own == ["project", "orders", "payments", "inventory", "shipping"]


def test_apps_of_the_shop_do_not_hold_on_to_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    said, code = run("--of", "orders", "payments", "inventory", "shipping", capsys=capsys)

    assert said == "None of these apps depends on another: orders, payments, inventory, shipping.\n"
    assert code == 0


def test_table_counts_and_then_names_each_place(capsys: pytest.CaptureFixture[str]) -> None:
    said, code = run("--of", "auth", "contenttypes", capsys=capsys)

    assert code == 1
    assert re.search(r"^app +depends on +foreign keys +imports\nauth +contenttypes +1 +\d+\n", said)
    assert re.search(r"\n\nauth → contenttypes\n(  \S+:\d+  (import|foreign key)  .+\n)+$", said)


def test_unknown_app_is_refused() -> None:
    with pytest.raises(CommandError, match="No installed app with label 'odrers'"):
        call_command("coupling", "--of", "odrers")


def test_monolith_is_coupled_as_its_first_stage_says(tmp_path: Path) -> None:
    folder = working_copy.compose(1, into=tmp_path)
    environment = stage_environment(folder, {**os.environ, "DATABASE_URL": "sqlite://:memory:"})

    ended = subprocess.run(
        [sys.executable, "manage.py", "coupling", "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    pairs: list[dict[str, Any]] = json.loads(ended.stdout)
    keys = {bond["what"] for pair in pairs for bond in pair["bonds"] if bond["kind"] == FOREIGN_KEY}
    assert keys == {
        "inventory.StockItem.product → orders.Product",
        "inventory.Reservation.order → orders.Order",
        "inventory.ReservationLine.product → orders.Product",
        "payments.Payment.order → orders.Order",
        "shipping.Destination.order → orders.Order",
        "shipping.Shipment.order → orders.Order",
    }
    assert [(pair["app"], pair["on"]) for pair in pairs] == [
        ("inventory", "orders"),
        ("orders", "inventory"),
        ("orders", "payments"),
        ("orders", "shipping"),
        ("payments", "orders"),
        ("shipping", "orders"),
    ]
    assert all((folder / bond["file"]).is_file() for pair in pairs for bond in pair["bonds"])
