"""The X-ray on a shop that it does not know: what it predicts of Oscar's code, beside what Oscar did while orders were placed.

With ``OSCAR_SRC`` (a checkout of django-oscar, with its tests) and ``OSCAR_PYTHON`` (a Python that can run them), Oscar's own tests are truth too.
``OSCAR_TESTS`` names the ones to run, ``tests`` by default.
"""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from microworkflows_xray import truth
from microworkflows_xray.facts import Observed, Static, load
from tests.xray.oscar import environment

pytestmark = pytest.mark.slow

LOOK = ("-m", "microworkflows_xray", "look", "--output", "static.json")


class Seen(NamedTuple):
    """Both halves."""

    static: Static
    observed: Observed


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run the shop's tests with the recorder, and read its code."""
    python = environment.make()
    folder = tmp_path_factory.mktemp("oscar") / "project"
    shutil.copytree(environment.PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    tests = ("-m", "pytest", "-q", "-p", "microworkflows_xray.recorder", "--xray-also", "oscar")
    assert "28 passed" in environment.run(python, *tests, folder=folder)
    environment.run(python, *LOOK, "--settings", "shop.settings", "--also", "oscar", folder=folder)
    return Seen(load(Static, folder / "static.json"), load(Observed, folder / "xray-observed.json"))


def test_order_is_recorded_as_one_transaction_over_many_contexts(shop: Seen) -> None:
    (placed,) = [
        each
        for each in shop.observed.transactions
        if (each.kind, each.name) == ("request", "POST checkout:preview")
    ]

    written = {access.table for access in placed.accesses if access.verb != "read"}

    assert placed.atomic  # Oscar asks for ATOMIC_REQUESTS
    assert written >= {
        "order_order",
        "order_line",
        "partner_stockrecord",
        "basket_basket",
        "payment_source",
        "analytics_userrecord",
    }


def test_fork_of_an_app_is_seen_under_its_label(shop: Seen) -> None:
    places = [access.place for each in shop.observed.transactions for access in each.accesses]

    assert "order" in {place.app for place in places if place.file.startswith("oscar/apps/order/")}
    assert "checkout" in {place.app for place in places if place.file.startswith("shop/checkout/")}


def test_code_tells_what_the_tests_show(shop: Seen) -> None:
    found = truth.compare(shop.static, shop.observed)

    assert (found.pairs.recall or 0) >= 0.9, found.pairs.missed
    assert (found.pairs.precision_of_executed or 0) >= 0.6, found.pairs.surplus


def test_code_tells_each_function_that_writes_several_contexts_and_which(shop: Seen) -> None:
    found = truth.compare(shop.static, shop.observed)

    assert found.workflows
    assert [workflow.function for workflow in found.workflows if not workflow.complete] == []


def test_recording_has_no_gap(shop: Seen) -> None:
    assert shop.observed.gaps == ()


@pytest.mark.skipif("OSCAR_SRC" not in os.environ, reason="OSCAR_SRC names no checkout of django-oscar")
def test_code_tells_what_oscars_own_tests_show(tmp_path: Path) -> None:
    source, python = Path(os.environ["OSCAR_SRC"]), Path(os.environ["OSCAR_PYTHON"])
    folder = tmp_path / "oscar"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".git", "node_modules"))
    path = os.pathsep.join(map(str, (environment.XRAY, folder, folder / "src")))
    tests = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "microworkflows_xray.recorder",
        *os.environ.get("OSCAR_TESTS", "tests").split(),
    )

    environment.run(python, *tests, folder=folder, PYTHONPATH=path)
    environment.run(python, *LOOK, "--settings", "tests.settings", folder=folder, PYTHONPATH=path)
    found = truth.compare(load(Static, folder / "static.json"), load(Observed, folder / "xray-observed.json"))

    assert (found.pairs.recall or 0) >= 0.9, found.pairs.missed
    assert [workflow.function for workflow in found.workflows if not workflow.found] == []
