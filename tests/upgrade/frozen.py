"""The frozen versions: how their code left the shop, to be restored, and that code itself."""

import json
import tarfile
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.upgrade import brokers, databases

HERE = Path(__file__).parent
CONTEXTS = ["orders", "payments", "inventory", "shipping"]
VERSIONS = sorted(folder.name for folder in HERE.glob("v[0-9]*"))


class Frozen:
    """One frozen state of a version: ``shop`` or ``monolith``."""

    def __init__(self, version: str, state: str) -> None:
        self._folder = HERE / version
        self._state = state
        self.queues = [*CONTEXTS, "monolith"] if state == "monolith" else CONTEXTS

    @cached_property
    def expected(self) -> dict[str, Any]:
        """What is to come of it."""
        expected: dict[str, Any] = json.loads((self._folder / "expected.json").read_text())[self._state]
        return expected

    def restore(self, *, database: str, broker: str) -> None:
        """Fill an empty database and an empty broker."""
        vendor = "sqlite" if database.startswith("sqlite:") else "postgresql"
        databases.restore(database, (self._folder / f"{self._state}.{vendor}.sql").read_text())
        brokers.of(broker).restore(self._broker("embedded" if broker.startswith("embedded:") else "rabbitmq"))

    def clear(self, broker: str) -> None:
        """Delete from RabbitMQ what was restored."""
        brokers.RabbitMQ(broker).clear(self._broker("rabbitmq"))

    def _broker(self, kind: str) -> dict[str, Any]:
        frozen: dict[str, Any] = json.loads((self._folder / f"{self._state}.{kind}.json").read_text())
        return frozen


def unpack_code(version: str, folder: Path) -> Path:
    """Unpack the kit and the shop of a version; return the folder that is to be the working directory."""
    with tarfile.open(HERE / version / "shop.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder
