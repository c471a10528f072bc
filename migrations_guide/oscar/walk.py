"""The walk: each stage does what the page says, and stops where something else is found."""

import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from migrations_guide.engine import venvs
from migrations_guide.oscar import finding, living, moving
from migrations_guide.oscar.shops import Shop, packages
from migrations_guide.oscar.telling import stage, tell
from project.processes import servers


class Walk:
    """What the stages share: the folder of the copies, servers, and how much is tested and moved."""

    def __init__(self, folder: Path, *, rows: int, tests: Sequence[str], broker: str) -> None:
        self._folder, self._rows, self._tests, self._broker = folder, rows, tests, broker
        self._server = servers.postgres_url()
        self._run = f"oscar_walk_{uuid4().hex[:8]}"

    def run(self) -> None:
        """Walk from stage to stage.

        Raises:
            WalkError: something was not as the page says.
        """
        began = time.monotonic()
        shutil.rmtree(self._folder, ignore_errors=True)
        programs = venvs.with_wheels("oscar", *packages())
        found = Shop(self._folder / "found", "before", programs=programs)
        mended = Shop(self._folder / "mended", "before", "warehouse", programs=programs)
        tell("packages", found.python("-c", _VERSIONS).strip())

        stage("1  X-ray: where order placement hands over, and who else is there")
        finding.look(found)
        stage("2  Announce: the step behind an event, inline")
        finding.announce(found, tests=self._tests)
        stage("3  Shadow approves, the shop's own tests do not")
        finding.suspect(found, tests=self._tests)
        with servers.database(self._server, f"{self._run}_template") as template:
            stage("4  Live all the same, in a throwaway database: the oversell and the leak")
            living.prepare(
                self._on(found, template)
            )  # Oscar's migrations take longest; the others are copies
            with self._copy("before") as url:
                living.oversell(self._on(found, url))
            stage("5  Mended: the sale decides, the warehouse books")
            finding.prove(mended, tests=self._tests)
            empty = servers.database(self._server, f"{self._run}_warehouse")
            with self._copy("shop") as home, empty as away:
                living.prepare(self._on(mended, home))
                with living.parts(mended) as parts:
                    stage("6  Two contexts live, under a rush and a kill")
                    living.two_contexts(parts)
                    stage(f"7  The warehouse moves to a database of its own, {self._rows:,} rows, under load")
                    moving.away(parts, to=away, rows=self._rows)
                    stage("8  And back")
                    moving.back(parts, source=away)
        stage(f"Done on {datetime.now(UTC):%-d %B %Y}, after {(time.monotonic() - began) / 60:.0f} minutes")

    def _on(self, shop: Shop, url: str) -> Shop:
        """Let a shop's processes and commands use a database, and names of their own at the broker."""
        shop.variables |= {
            "BROKER_PREFIX": f"{urlsplit(url).path.removeprefix('/')}_",
            "BROKER_URL": self._broker,
            "DATABASE_URL": url,
        }
        return shop

    def _copy(self, name: str) -> AbstractContextManager[str]:
        return servers.database(self._server, f"{self._run}_{name}", template=f"{self._run}_template")


_VERSIONS = """
from importlib.metadata import version
names = ["django-oscar", "django", "django-microworkflows", "microworkflows-xray"]
print(", ".join(f"{name} {version(name)}" for name in names))
"""
