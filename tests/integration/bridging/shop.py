"""A small monolith in a folder: orders have a foreign key to customers, which a constraint, an index and two groups of fields name."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CUSTOMERS = """
from django.db import models

class Customer(models.Model):
    name = models.CharField(max_length=50)
"""
ORDERS = """
from django.db import models

class Order(models.Model):
    number = models.IntegerField()
    customer = models.ForeignKey("customers.Customer", models.CASCADE, null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "number"], name="one_number")]
        indexes = [models.Index(fields=["-customer", "number"], name="newest_customer")]
        unique_together = [("number", "customer")]
"""
LOOSE = (
    ORDERS.replace('customer = models.ForeignKey("customers.Customer", models.CASCADE, null=True)', "{line}")
    .replace('"customer"', '"customer_id"')
    .replace('"-customer"', '"-customer_id"')
)
SETTINGS = """
import json, os
SECRET_KEY = "of a test"
INSTALLED_APPS = ["customers", "orders", "django_outbox_pattern", "microworkflows", "microworkflows.bridging"]
DATABASES = json.loads(os.environ["SHOP_DATABASES"])
DATABASE_ROUTERS = json.loads(os.environ.get("SHOP_ROUTERS", "[]"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
SILENCED_SYSTEM_CHECKS = ["microworkflows.E030"]
"""
BEGIN = """
import django
django.setup()
from django.core.management import call_command, CommandError
from django.db import IntegrityError, connection, connections
from customers.models import Customer
from orders.models import Order

def raises(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")
"""


class Shop:
    """The monolith's project."""

    def __init__(self, folder: Path, databases: dict[str, Any]) -> None:
        self.folder, self.databases = folder, databases
        for app, models in {"customers": CUSTOMERS, "orders": ORDERS}.items():
            (folder / app / "migrations").mkdir(parents=True)
            (folder / app / "__init__.py").touch()
            (folder / app / "migrations/__init__.py").touch()
            (folder / app / "models.py").write_text(models)
        (folder / "shop_settings.py").write_text(SETTINGS)

    def loosen_in_the_model(self, line: str) -> None:
        (self.folder / "orders/models.py").write_text(LOOSE.format(line=line))

    def run(self, script: str, **environment: str) -> str:
        """Run a script in the project; return what it wrote."""
        process = self.start(script, **environment)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output

    def start(self, script: str, **environment: str) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COV")}
        given = {
            **kept,
            "PYTHONPATH": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "shop_settings",
            "SHOP_DATABASES": json.dumps(self.databases),
            **environment,
        }
        return subprocess.Popen(
            [sys.executable, "-c", BEGIN + script],
            cwd=self.folder,
            env=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
