"""From a seam to a running inline step, in a shop on Oscar: stock allocation in order placement, by a template method.

The X-ray finds and scaffolds it; a person edits a few lines, here this test; and an order goes through the checkout.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.xray import processes
from tests.xray.oscar import environment

pytestmark = pytest.mark.slow

OUR_CREATOR = """
from oscar.apps.order.utils import *

from shop.order.announcing import OrderCreator
"""
PROOF = """
from microworkflows.models import InboxEvent, OutboxEvent

from tests.buying import buy


def test_order_allocates_stock_by_an_inline_step(client, customer, tea, cup):
    buy(client, tea, cup, quantity=2)

    assert (tea.stockrecords.get().num_allocated, cup.stockrecords.get().num_allocated) == (2, 2)
    assert [row.type for row in OutboxEvent.objects.all()] == ["order.line_placed.v1"] * 2
    assert [row.label for row in InboxEvent.objects.all()] == ["partner_events.update_stock_records"] * 2
"""
PYTEST = """
import sys
sys.path += {paths}
import pytest
sys.exit(pytest.main(["-q", "-p", "pytest_django.plugin", "--ds", "microworkflows_settings", *sys.argv[1:]]))
"""
"""The kit and what it depends on come last on the path, so that the shop's own packages win."""


def kit(folder: Path) -> Path:
    """Return a folder with what the kit's wheel holds."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "kit")
    return folder / "kit"


def test_stock_allocation_in_order_placement_becomes_a_step_that_runs_inline_and_once(tmp_path: Path) -> None:
    python = environment.make()
    shop = tmp_path / "project"
    shutil.copytree(environment.PROJECT, shop, ignore=shutil.ignore_patterns("__pycache__"))

    def xray(*arguments: str) -> str:
        return environment.run(python, "-m", "microworkflows_xray", *arguments, folder=shop)

    xray("look", "--settings", "shop.settings", "--also", "oscar", "--output", "xray-facts.json")
    seams = xray("seams", "handle_order_placement", "--facts", "xray-facts.json")
    (seam,) = re.findall(r"^update-stock-records-allocate-\w+$", seams, flags=re.MULTILINE)
    xray("scaffold", seam, "--output", ".", "--facts", "xray-facts.json")

    # The edits: where the project names its class; and the line that is handed over is the basket's.
    (shop / "shop/order/utils.py").write_text(OUR_CREATOR)
    for path in (
        "shop/order/announcing.py",
        "partner_events/legacy.py",
        "partner_events/test_line_placed.py",
    ):
        text = (shop / path).read_text()
        assert "from oscar.apps.order.models import Line" in text
        (shop / path).write_text(text.replace("oscar.apps.order.models", "oscar.apps.basket.models"))
    (shop / "tests/test_walk.py").write_text(PROOF)
    paths = [str(kit(tmp_path / "wheel")), sysconfig.get_path("purelib")]
    tested = environment.run(
        python,
        "-c",
        PYTEST.format(paths=paths),
        "tests/test_walk.py",
        "partner_events/test_line_placed.py",
        folder=shop,
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )

    assert "2 passed" in tested, tested

    def suite(mode: str) -> str:
        mode_of = ("--mode", f"partner_events={mode}", "--baseline", "inline.json", "--tb=no")
        some = ("tests", "-k", "several_things or shipped or guest")
        path = os.pathsep.join([str(environment.XRAY), str(shop)])
        variables = {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        code = PYTEST.format(paths=paths)
        plugin = ("-p", "microworkflows.cutover.suite")
        return processes.run(python, "-c", code, *plugin, *mode_of, *some, cwd=shop, **variables).stdout

    assert "inline.json holds the outcomes of 4 tests; 0 of them fail anyway." in suite("inline")
    withheld = suite("withheld")
    assert "2 newly failing:" in withheld, withheld
    assert "      tests/test_buying.py::test_customer_buys_several_things" in withheld
    assert "      tests/test_dashboard.py::test_lines_are_shipped" in withheld
