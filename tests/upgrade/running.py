"""Workers and commands of today's code and of old code, on one database and one broker."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.integration.support.processes import ROOT, Process

PATIENCE_SECONDS = 180
"""For a process that starts or ends: on a busy machine it may take its time."""

_UNMEASURED = ["env", "--unset=COVERAGE_PROCESS_CONFIG", "--unset=COVERAGE_PROCESS_START"]
"""Old code counts for no coverage: it is in a folder that is gone when the figures are read."""

_PREPARE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
call_command("dead_letters")
"""

_PLACE = """
import itertools, sys, time
from pathlib import Path
import django
django.setup()
import microworkflows
from orders import operations
who, end = sys.argv[1:]
print("places orders with", microworkflows.__file__, flush=True)
wishes = {
    "shipped": ("MUG-STONE-350", "tok_visa"),
    "payment_declined": ("MUG-STONE-350", "tok_declined"),
    "out_of_stock": ("CUP-RAKU-LTD", "tok_visa"),
}
for number, ends in zip(range(30), itertools.cycle(wishes)):
    sku, token = wishes[ends]
    order = operations.create_order(
        customer_name=f"{who} {number}: {ends}", street="Kai 4", postcode="20457", city="Hamburg", country="DE",
        payment_token=token, lines={sku: 1},
    )
    operations.place_order(order=order)
    if Path(end).exists():
        break
    time.sleep(0.2)
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

    def __enter__(self) -> Self:
        return self

    def prepare(self) -> str:
        """Bring the database to today's schema, with which today's models agree; return the list of dead letters."""
        process = self._start("-c", _PREPARE)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0, process.output
        return process.output

    def customer(self, name: str, *, end: Path, code: Path | None = None) -> Process:
        """Start what places orders until there is such a file; how each is to end is in its customer's name."""
        customer = self._start("-c", _PLACE, name, str(end), code=code)
        customer.says(f"places orders with {code or ROOT}/apps/", timeout=PATIENCE_SECONDS)
        return customer

    def worker(self, queues: Sequence[str], *, code: Path | None = None) -> Process:
        """Start a worker with one process and wait until it is ready."""
        command = ["-m", "celery", "-A", "project", "worker", "-Q", ",".join(queues), "-c", "1"]
        worker = self._start(*command, "-n", f"{'old' if code else 'new'}@%h", code=code)
        worker.says(" ready.", timeout=PATIENCE_SECONDS)
        return worker

    def __exit__(self, *_: object) -> None:
        """Leave nothing running."""
        for process in self._started:
            process.end()

    def _start(self, *command: str, code: Path | None = None) -> Process:
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
