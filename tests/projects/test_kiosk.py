"""A shop whose step was approved by every comparison, and that sold its last piece three times: its own tests and a watched run say so.

The shop runs on the kit of this very folder, in processes of their own; ``mended`` holds the files that put it right, and not one test.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.projects.foreign import FOLDER

KIOSK = FOLDER / "kiosk"
ANYWAY = "tests/test_buying.py::test_that_fails_anyway"
LAST = "tests/test_buying.py::test_last_piece_is_sold_once"
BASKET = "tests/test_buying.py::test_basket_takes_the_last_piece_once"
CANCELLED = "tests/test_buying.py::CancellingTests::test_cancelled_order_leaves_no_stock_behind"


class Kiosk:
    """A copy of the shop, and its people's commands."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COV")}
        self._environment = {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
        shutil.copytree(KIOSK / "before", folder, ignore=shutil.ignore_patterns("__pycache__"))

    def mend(self) -> None:
        """Put the mended files over those before."""
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(KIOSK / "mended", self.folder, dirs_exist_ok=True, ignore=ignored)

    def suite(self, *modes: str, more: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run its tests with a context in a mode."""
        chosen = [part for mode in modes for part in ("--mode", mode)]
        plugins = ("-p", "pytest_django.plugin", "-p", "microworkflows.cutover.suite")
        return self._run("-m", "pytest", *plugins, *chosen, "--baseline", "before.json", "--tb=no", *more)

    def test(self, *modes: str) -> tuple[int, str]:
        """Run its test cases by Django's own runner."""
        chosen = [part for mode in modes for part in ("--mode", mode)]
        runner = ("--testrunner", "microworkflows.cutover.suite.runner.SuiteRunner")
        return self._run("manage.py", "test", "tests", *runner, *chosen, "--baseline", "django.json")

    def unplug(self, *arguments: str) -> tuple[int, str]:
        """Run its tests unplugged."""
        tests = ("-p", "pytest_django.plugin", "--deselect", ANYWAY, "--tb=no")
        return self._run("manage.py", "unplug", *(arguments or ("stock", "--", *tests)))

    def _run(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def baselined(tmp_path_factory: pytest.TempPathFactory) -> Kiosk:
    """The shop with its baseline written."""
    kiosk = Kiosk(tmp_path_factory.mktemp("kiosk") / "shop")
    code, said = kiosk.suite("stock=inline")
    assert code == 0, said
    assert "before.json holds the outcomes of 7 tests; 1 of them fail anyway." in said
    return kiosk


@pytest.fixture
def kiosk(tmp_path: Path) -> Kiosk:
    return Kiosk(tmp_path / "shop")


def sample(beginning: str) -> set[str]:
    """Return the lines of the page's sample that begins like this."""
    page = (ROOT / "docs/howto/evidence.md").read_text()
    (text,) = [
        block for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if block.startswith(beginning)
    ]
    return set(text.splitlines())


def new(said: str) -> list[str]:
    """Return the tests that are said to fail newly."""
    _, found, rest = said.partition(" newly failing:\n")
    return [line.strip() for line in rest.splitlines() if line.startswith("      tests/")] if found else []


def test_withheld_step_shows_who_relied_on_it_in_tests_of_pytest_and_of_django(baselined: Kiosk) -> None:
    code, said = baselined.suite("stock=withheld")

    assert code == 1, said
    assert new(said) == [LAST, BASKET, CANCELLED]
    assert "  stock.allocate on sales.order_placed.v1 had not run\n" in said
    assert sample("stock=withheld") <= set(said.splitlines())


@pytest.mark.slow
def test_step_right_after_the_commit_shows_who_relied_on_it_before(baselined: Kiosk) -> None:
    code, said = baselined.suite("stock=live")

    assert code == 1, said
    assert new(said) == [BASKET]
    assert "stock.allocate on sales.order_placed.v1 ran after the commit" in said


@pytest.mark.slow
def test_mended_shop_passes_the_same_tests_in_both_modes(kiosk: Kiosk) -> None:
    kiosk.mend()

    runs = [kiosk.suite(f"stock={mode}") for mode in ("inline", "withheld", "live")]

    assert [code for code, _ in runs] == [0, 0, 0], runs
    assert all("Nothing is new against the baseline." in said for _, said in runs[1:])


def test_djangos_own_runner_comes_to_the_same_verdict(kiosk: Kiosk) -> None:
    inline, withheld = kiosk.test("stock=inline"), kiosk.test("stock=withheld")
    kiosk.mend()
    mended = kiosk.test("stock=withheld")
    refused = kiosk.test("sales=withheld")

    assert [code for code, _ in (inline, withheld, mended, refused)] == [0, 1, 0, 4], (
        inline,
        withheld,
        mended,
    )
    assert "django.json holds the outcomes of 1 tests; 0 of them fail anyway." in inline[1]
    assert (
        "      tests.test_buying.CancellingTests::test_cancelled_order_leaves_no_stock_behind\n"
        in withheld[1]
    )
    assert "stock.allocate on sales.order_placed.v1 had not run" in withheld[1]
    assert "Nothing is new against the baseline." in mended[1]
    assert "is not being cut over" in refused[1]


@pytest.mark.slow
def test_processes_of_xdist_come_to_one_verdict(baselined: Kiosk) -> None:
    code, said = baselined.suite("stock=withheld", more=("-p", "xdist", "-n", "2"))

    assert code == 1, said
    assert sorted(new(said)) == sorted([LAST, BASKET, CANCELLED])


@pytest.mark.slow
def test_suite_that_triggers_nothing_proves_nothing(baselined: Kiosk) -> None:
    code, said = baselined.suite("stock=withheld", more=("-k", "label"))

    assert code == 4, said
    assert "PROVES NOTHING for stock: no test triggered a step of it" in said
    assert "Nothing is new" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modes", "reason"),
    [
        (["sales=withheld"], "'sales' cannot be run withheld: it is not being cut over"),
        (["stock=shadow"], "'stock' cannot be run in shadow: it has no legacy step"),
        (["stock=late"], "--mode stock=late: write a context and one of inline, shadow, withheld, live"),
        (["stock=live", "stock=withheld"], "--mode names stock twice"),
        ([], "Name a context and its mode"),
    ],
)
def test_mode_that_cannot_apply_is_refused(baselined: Kiosk, modes: list[str], reason: str) -> None:
    code, said = baselined.suite(*modes)

    assert code == 4, said
    assert reason in said
    assert "passed" not in said


@pytest.mark.slow
def test_suite_without_django_or_the_cutover_is_refused(kiosk: Kiosk) -> None:
    settings = kiosk.folder / "kiosk/settings.py"
    settings.write_text(settings.read_text().replace('    "microworkflows.cutover",\n', ""))
    code, said = kiosk.suite("stock=live")
    (kiosk.folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    code_then, said_then = kiosk.suite("stock=live")

    assert (code, code_then) == (4, 4)
    assert "microworkflows.cutover is not in INSTALLED_APPS" in said
    assert "Django is not set up" in said_then


def test_unplugging_names_each_place_with_its_table_and_proves_nothing(kiosk: Kiosk) -> None:
    code, said = kiosk.unplug()

    assert code == 1, said
    assert sample("stock: 7 places to mend") <= set(said.splitlines())
    assert "proven_at" not in (kiosk.folder / "unplugged.json").read_text()


def test_mended_shop_is_proven_to_be_apart(kiosk: Kiosk) -> None:
    kiosk.mend()

    code, said = kiosk.unplug()

    assert code == 0, said
    assert "stock is apart from the others: proven on" in said
    assert (kiosk.folder / "unplugged.json").read_text().count("proven_at") == 1


@pytest.mark.slow
@pytest.mark.postgres
def test_unplugging_is_the_same_on_postgresql(new_database: Callable[[str], str], tmp_path: Path) -> None:
    kiosk = Kiosk(tmp_path / "shop", KIOSK_DATABASE=new_database("kiosk"))

    code, said = kiosk.unplug()
    kiosk.mend()
    mended, said_then = kiosk.unplug()

    assert (code, mended) == (1, 0), said + said_then
    assert "stock: 7 places to mend" in said


@pytest.mark.slow
def test_unplugging_a_context_that_the_tests_never_use_proves_nothing(kiosk: Kiosk) -> None:
    kiosk.mend()

    code, said = kiosk.unplug("stock", "--", "-p", "pytest_django.plugin", "-k", "label")

    assert code == 1, said
    assert "stock: no statement of its own on its own tables was seen" in said
    assert "stock: these microworkflows never ran: stock.allocate, stock.release" in said
