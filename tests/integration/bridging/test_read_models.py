"""The page on read models: its copy is kept by events and filled from the past, and its command lists the joins."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.files import ROOT
from tests.integration.bridging.shop import Shop

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/howto/read-models.md").read_text()
CATALOGUE = """
from decimal import Decimal
from microworkflows import DomainEvent
from microworkflows.bridging import Past
import datetime

class ProductChanged(DomainEvent, type="orders.product_changed.v1"):
    sku: str
    name: str
    price: Decimal

class ProductWithdrawn(DomainEvent, type="orders.product_withdrawn.v1"):
    sku: str

def products():
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    for number in range(3):
        yield Past(event=ProductChanged(sku=f"S{number}", name="of old", price=1), key=str(number), at=long_ago)
"""
SCRIPT = """
from microworkflows.testing import Flow
from orders.events import ProductChanged, ProductWithdrawn
from search.models import Product

call_command("makemigrations", "search", verbosity=0)
call_command("migrate", verbosity=0)
flow = Flow()
flow.record(ProductChanged(sku="S1", name="of now", price=2))
flow.record(ProductWithdrawn(sku="S2"))
flow.run()
call_command("bootstrap", "orders.product_changed.v1", "--from", "orders.events.products")
flow.run(times=2)
print(sorted(Product.objects.present().values_list("sku", "name", "price")))
"""


def test_copy_of_the_page_is_kept_by_events_and_filled_from_the_past(
    databases: dict[str, Any], tmp_path: Path
) -> None:
    shop = Shop(tmp_path, databases)
    samples = re.findall(r"```python\n# (search/\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL)
    assert {file for file, _ in samples} == {"search/models.py", "search/events.py", "search/workflows.py"}
    (tmp_path / "search/migrations").mkdir(parents=True)
    for file in ("search/__init__.py", "search/migrations/__init__.py"):
        (tmp_path / file).touch()
    for file, text in samples:
        (tmp_path / file).write_text(text.replace("catalogue.", "orders."))
    (tmp_path / "orders/events.py").write_text(CATALOGUE)
    with (tmp_path / "shop_settings.py").open("a") as settings:
        settings.write('\nINSTALLED_APPS += ["search"]\n')

    told = shop.run(SCRIPT)

    kept = "[('S0', 'of old', Decimal('1.00')), ('S1', 'of now', Decimal('2.00'))]"
    assert told.splitlines()[-1] == kept


def test_report_lists_the_queries_that_join_contexts(tmp_path: Path) -> None:
    root = tmp_path / "workshop"
    shutil.copytree(ROOT / "tests/xray/projects/workshop", root)
    (command,) = re.findall(r"```sh\npython (-m microworkflows_xray .*)\n", PAGE)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)

    subprocess.run([sys.executable, *shlex.split(command)], cwd=root, env=environment, check=True)

    (run,) = json.loads((root / "xray-joins.sarif").read_text())["runs"]
    joins = [found for found in run["results"] if found["ruleId"] == "XR003"]
    assert "sales joins stock_item of stock" in joins[0]["message"]["text"]
    assert all(found["locations"][0]["physicalLocation"]["region"]["startLine"] for found in joins)
