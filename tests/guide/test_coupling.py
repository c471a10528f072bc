"""``manage.py coupling`` finds every foreign key, import and string with which one app holds on to another, or says that it is partial."""

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
from microworkflows.cutover.coupling import FOREIGN_KEY, IMPORT, STRING
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
    for name in [name for name in sys.modules if name.partition(".")[0] in {"orchard", "mill", "vendor"}]:
        del sys.modules[name]


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    try:
        call_command("coupling", *arguments)
    except SystemExit as ended:
        return capsys.readouterr().out, int(ended.code or 0)
    return capsys.readouterr().out, 0


def test_imports_are_found_wherever_they_stand(orchard: Path) -> None:
    (pair,) = coupling.of(["orchard", "mill"]).pairs

    assert (pair.app, pair.on) == ("orchard", "mill")
    assert [(str(bond.file.relative_to(orchard)), bond.line, bond.what) for bond in pair.bonds] == [
        ("orchard/picking.py", 2, "mill.pressing"),
        ("orchard/picking.py", 2, "mill.storing"),
        ("orchard/picking.py", 5, "mill.pressing"),
    ]


def test_app_in_the_folder_of_another_is_an_app_of_its_own(orchard: Path) -> None:
    pairs = coupling.of(["orchard", "annex", "mill"]).pairs

    assert [(pair.app, pair.on) for pair in pairs] == [("annex", "orchard"), ("orchard", "mill")]


def test_file_that_cannot_be_read_ends_nothing_and_makes_the_answer_partial(
    orchard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (orchard / "mill/broken.py").write_text("def\n")
    (orchard / "mill/null.py").write_bytes(b"\x00")
    (orchard / "mill/fast.so").touch()
    (orchard / "orchard/picking.py").write_text("")

    said, code = run("--of", "orchard", "mill", capsys=capsys)
    plain, _ = run("--of", "orchard", "mill", "--format", "json", capsys=capsys)

    assert code == 3
    assert "Partial: nothing was found between orchard, mill, but not all was looked at." in said
    assert all(
        name in said for name in ("mill/broken.py: SyntaxError", "mill/null.py", "mill/fast.so: compiled")
    )
    assert json.loads(plain)["partial"] is True
    assert len(json.loads(plain)["not_looked_at"]) == 3


def test_app_without_files_is_not_looked_at(orchard: Path) -> None:
    for file in (orchard / "mill").glob("*.py"):
        file.unlink()

    report = coupling.of(["mill", "annex"])

    assert not report.is_clean
    assert any(gap.startswith("mill: there is no Python file of it") for gap in report.not_looked_at)


def test_nothing_to_look_at_is_an_error() -> None:
    with (
        override_settings(
            INSTALLED_APPS=["microworkflows.cutover", "django.contrib.auth", "django.contrib.contenttypes"]
        ),
        pytest.raises(
            CommandError, match=r"no app was to be looked at. Name two or more with --of"
        ) as refusal,
    ):
        call_command("coupling")
    with pytest.raises(CommandError, match="only orders was to be looked at"):
        call_command("coupling", "--of", "orders")
    with pytest.raises(CommandError, match="no app was"):
        call_command("coupling", "--of")

    assert refusal.value.returncode == 2


def test_names_in_strings_and_loaders_are_found_and_types_of_events_are_not(orchard: Path) -> None:
    (orchard / "mill/pressing.py").write_text("")
    (orchard / "orchard/picking.py").write_text(
        "load = ['mill.pressing.press', 'mill.pressed.v1', 'mill', 'auth.User', 'mill is a word']\n"
        "def late():\n"
        "    get_class('mill.pressing', 'Press')\n"
        "    apps.get_model(app_label, name), apps.get_model('mill', 'Press')\n"
        "if TYPE_CHECKING:\n"
        "    from mill import pressing\n"
    )

    pairs = coupling.of(["orchard", "mill", "auth"]).pairs
    by_app = {pair.on: [(bond.line, bond.kind, bond.what) for bond in pair.bonds] for pair in pairs}

    assert by_app["auth"] == [(1, STRING, "auth.User")]
    assert sorted(by_app["mill"]) == [
        (1, STRING, "mill.pressing.press"),
        (3, STRING, "mill.pressing"),
        (3, STRING, "mill.pressing.Press"),
        (4, STRING, "mill.Press"),
        (6, IMPORT, "mill.pressing"),
    ]


def test_app_with_the_same_beginning_is_another_app(orchard: Path) -> None:
    (orchard / "mill/__init__.py").write_text("import orchards, orchard_old.models\n")
    (orchard / "orchard/picking.py").write_text("")

    assert coupling.of(["orchard", "mill"]).pairs == []


def test_link_to_a_folder_is_followed_once(orchard: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "storing.py").write_text("import orchard.picking\n")
    (elsewhere / "round").symlink_to(elsewhere)
    (orchard / "mill/linked").symlink_to(elsewhere)
    (orchard / "orchard/picking.py").write_text("")

    (pair,) = coupling.of(["orchard", "mill"]).pairs

    assert [(bond.file.name, bond.what) for bond in pair.bonds] == [("storing.py", "orchard.picking")]


def test_app_that_inherits_the_models_of_its_original_is_a_fork(orchard: Path) -> None:
    original = orchard / "vendor/mill"
    original.mkdir(parents=True)
    for folder in (orchard / "vendor", original):
        (folder / "__init__.py").touch()
    (original / "abstract_models.py").write_text(
        "from django.db import models\nimport orchard.models\n"
        "class AbstractStone(models.Model):\n    class Meta:\n        abstract = True\n"
    )
    (orchard / "mill/models.py").write_text(
        "from vendor.mill.abstract_models import AbstractStone\nclass Stone(AbstractStone):\n    pass\n"
    )
    (orchard / "orchard/picking.py").write_text("")

    others = [app for app in settings.INSTALLED_APPS if app != "mill"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "mill"]:
        del sys.modules[name]
    with override_settings(INSTALLED_APPS=[*others, "mill"]):
        pairs = coupling.of(["orchard", "mill"]).pairs

    assert [(pair.app, pair.on, pair.bonds[0].what) for pair in pairs] == [
        ("mill", "orchard", "orchard.models")
    ]


def test_fork_has_the_code_and_the_names_of_its_original(orchard: Path) -> None:
    original = orchard / "vendor/mill"
    (original / "deep").mkdir(parents=True)
    for folder in (orchard / "vendor", original, original / "deep"):
        (folder / "__init__.py").touch()
    (original / "apps.py").write_text(
        "from django.apps import AppConfig\nclass Vendor(AppConfig):\n    name = 'vendor.mill'\n"
    )
    (original / "pressing.py").write_text("import orchard.models\n")
    (orchard / "mill/apps.py").write_text(
        "from vendor.mill.apps import Vendor\nclass Mill(Vendor):\n    name = 'mill'\n    default = True\n"
    )
    (orchard / "orchard/picking.py").write_text("from vendor.mill.pressing import press\n")

    others = [app for app in settings.INSTALLED_APPS if app != "mill"]
    with override_settings(INSTALLED_APPS=[*others, "mill.apps.Mill"]):
        pairs = coupling.of(["orchard", "mill"]).pairs

    assert [(pair.app, pair.on, pair.bonds[0].what) for pair in pairs] == [
        ("mill", "orchard", "orchard.models"),
        ("orchard", "mill", "vendor.mill.pressing.press"),
    ]


def test_foreign_keys_are_found_where_they_are_declared() -> None:
    (pair,) = coupling.of(["auth", "contenttypes"]).pairs

    (bond,) = [bond for bond in pair.bonds if bond.kind == FOREIGN_KEY]
    assert bond.what == "auth.Permission.content_type → contenttypes.ContentType"
    assert "content_type = models.ForeignKey" in bond.file.read_text().splitlines()[bond.line - 1]
    assert pair.count(FOREIGN_KEY) == 1
    assert pair.count(IMPORT) + pair.count(STRING) == len(pair.bonds) - 1


def test_contexts_of_the_cut_over_are_looked_at_first_else_the_projects_own_apps() -> None:
    own = coupling.own_apps()
    with override_settings(MICROWORKFLOWS={"CUTOVER": ["payments"]}):
        handed_over = coupling.own_apps()

    assert handed_over == ["payments"]
    assert own == ["project", "orders", "payments", "inventory", "shipping"]


def test_apps_of_the_shop_do_not_hold_on_to_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    said, code = run("--of", "orders", "payments", "inventory", "shipping", capsys=capsys)

    assert said == (
        "None of these apps depends on another by foreign key, import or string: orders, payments, inventory, shipping.\n"
        f"\n{coupling.NOT_SEEN}\n"
    )
    assert code == 0


def test_table_counts_and_then_names_each_place(capsys: pytest.CaptureFixture[str]) -> None:
    said, code = run("--of", "auth", "contenttypes", capsys=capsys)

    assert code == 1
    assert re.search(
        r"^app +depends on +foreign keys +imports +strings\nauth +contenttypes +1 +\d+ +\d+\n", said
    )
    assert re.search(
        r"\n\nauth → contenttypes\n(  \S+:\d+  (import|foreign key|string)  .+\n)+\nNot looked at: ", said
    )


def test_unknown_app_is_refused() -> None:
    with pytest.raises(CommandError, match="No installed app with label 'odrers'"):
        call_command("coupling", "--of", "odrers")


def test_monolith_is_coupled_as_its_first_stage_says(tmp_path: Path) -> None:
    folder = working_copy.compose(1, into=tmp_path)
    environment = stage_environment(folder, {**os.environ, "DATABASE_URL": "sqlite://:memory:"})

    ended = subprocess.run(
        [sys.executable, "manage.py", "coupling", "--format", "json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert report["partial"] is False, report["not_looked_at"]
    pairs: list[dict[str, Any]] = report["pairs"]
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
