"""A stage's shop: its folder put together from ``stages``, and the commands that its people type there."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from migrations_guide.engine.stages import ROOT
from migrations_guide.oscar.telling import expect
from project.processes.process import Process

STAGES = Path(__file__).parent / "stages"
_KEPT = ("HOME", "LANG", "PATH", "TMPDIR")
_PATIENCE = 300.0


class Shop:
    """A copy of the shop, with the files of later stages over those of earlier ones."""

    def __init__(self, folder: Path, *stages: str, programs: Path, **variables: str) -> None:
        self.folder, self._programs = folder, programs
        self.variables = {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONWARNINGS": "ignore",  # of what Oscar uses
            **variables,
        }
        for stage in stages:
            self.take_over(stage)

    def take_over(self, stage: str) -> None:
        """Put the files of a stage over those that are there."""
        ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3", ".pytest_cache")
        shutil.copytree(STAGES / stage, self.folder, dirs_exist_ok=True, ignore=ignored)

    def run(self, program: str, *arguments: str, may_fail: bool = False, **variables: str) -> str:
        """Run a program to its end; return what it printed."""
        log = self._log(f"{program}-{len(list(self.folder.glob('log/*')))}")
        with self._process(program, arguments, log, variables) as running:
            status = running.wait(timeout=_PATIENCE)
            expect(
                may_fail or status == 0, f"{program} {' '.join(arguments)} failed:\n{running.output[-4000:]}"
            )
            return running.output

    def python(self, *arguments: str, may_fail: bool = False, **variables: str) -> str:
        """Run Python to its end."""
        return self.run("python", *arguments, may_fail=may_fail, **variables)

    def manage(self, *arguments: str, may_fail: bool = False, **variables: str) -> str:
        """Run a command of ``manage.py``."""
        return self.python("manage.py", *arguments, may_fail=may_fail, **variables)

    def suite(self, mode: str, *contexts: str, tests: Sequence[str]) -> str:
        """Run the shop's own tests with contexts in a mode; return the report."""
        chosen = [part for context in contexts for part in ("--mode", f"{context}={mode}")]
        plugins = ("-p", "pytest_django.plugin", "-p", "microworkflows.cutover.suite")
        options = (
            "--ds",
            "microworkflows_settings",
            "--baseline",
            "inline.json",
            "--tb=no",
            "-q",
            "-W",
            "ignore",
        )
        said = self.python("-m", "pytest", *plugins, *options, *chosen, *tests, may_fail=True)
        _, found, report = said.partition("SUITE IN A MODE")
        expect(found, f"The tests did not run:\n{said[-4000:]}")
        return report

    def start(self, name: str, program: str, *arguments: str, **variables: str) -> Process:
        """Start what serves until it is ended."""
        return self._process(program, arguments, self._log(name), variables)

    def _process(
        self, program: str, arguments: Sequence[str], log: Path, variables: dict[str, str]
    ) -> Process:
        return Process(
            *(str(self._programs / program), *arguments),
            environment={**self.variables, **variables},
            log=log,
            cwd=self.folder,
        )

    def _log(self, name: str) -> Path:
        folder = self.folder / "log"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"


def packages() -> tuple[Path, Path]:
    """Return the folders of the distributions that the shop installs: the kit and the X-ray."""
    return ROOT, ROOT / "xray"
