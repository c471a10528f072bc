"""Workers and commands of today's code and of old code, on one database and one broker."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.integration.support.processes import ROOT, Process

QUEUES = ["orders", "payments", "inventory", "shipping"]

_UNMEASURED = ["env", "--unset=COVERAGE_PROCESS_CONFIG", "--unset=COVERAGE_PROCESS_START"]
"""Old code counts for no coverage: it is in a folder that is gone when the figures are read."""

_MIGRATE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
"""

_PLACE = """
import json, sys
import django
django.setup()
import microworkflows
from orders import operations
for name, (sku, pays) in json.loads(sys.argv[1]).items():
    order = operations.create_order(
        customer_name=name, street="Kai 4", postcode="20457", city="Hamburg", country="DE",
        payment_token=pays, lines={sku: 1},
    )
    operations.place_order(order=order)
print("placed by", microworkflows.__file__)
"""


class Shop:
    """Starts processes and ends them all; ``code`` is the working directory of old code, today's where it is left out."""

    def __init__(
        self, folder: Path, *, database: str, broker: str, settings: str = "project.settings"
    ) -> None:
        self.database = database
        self.broker = broker
        self._folder = folder
        self._environment = {
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": database,
            "BROKER_URL": broker,
            "SECRET_KEY": "for-tests-only",
        }
        self._started: list[Process] = []

    def migrate(self) -> None:
        """Bring the database to today's schema, and see that today's models want no other."""
        self.run("-c", _MIGRATE)

    def place(self, orders: Mapping[str, tuple[str, str]], *, code: Path | None = None) -> None:
        """Place orders of one piece each.

        Args:
            orders: SKU and payment token, by the customer's name.
            code: Where old code is that places them.
        """
        said = self.run("-c", _PLACE, json.dumps(orders), code=code)
        assert f"placed by {code or ROOT}/apps/" in said

    def worker(self, queues: Sequence[str] = QUEUES, *, code: Path | None = None) -> Process:
        """Start a worker with one process and wait until it is ready."""
        command = ["-m", "celery", "-A", "project", "worker", "-Q", ",".join(queues), "-c", "1"]
        worker = self._start(*command, "-n", f"{'old' if code else 'new'}@%h", code=code)
        worker.says(" ready.")
        return worker

    def run(self, *command: str, code: Path | None = None) -> str:
        """Run Python to its end; return what it wrote, the log on stderr included."""
        process = self._start(*command, code=code)
        assert process.wait(timeout=120) == 0, process.output
        return process.output

    def end(self) -> None:
        """Leave nothing running."""
        for process in self._started:
            process.end()

    def _start(self, *command: str, code: Path | None) -> Process:
        environment, prefix = self._environment, []
        if code is not None:
            environment = {**environment, "PYTHONPATH": os.pathsep.join([str(code), str(code / "apps")])}
            prefix = _UNMEASURED
        process = Process(
            *(*prefix, sys.executable, *command),
            environment=environment,
            log=self._folder / f"{len(self._started)}.log",
            cwd=code or ROOT,
        )
        self._started.append(process)
        return process
