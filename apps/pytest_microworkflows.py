"""The kit's pytest plugin: the fixture ``flow``, and the options ``--microworkflows-drift`` and ``--microworkflows-contracts``.

pytest loads it by its entry point in every project in which the kit is installed, before coverage is measured and before
Django has its settings. So it stands beside the kit's package, and imports that only for a test that asks for the fixture, or in a
run with the option.
"""

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from microworkflows.drift import Drift, Observer
    from microworkflows.testing import Flow

_OUTPUT = "microworkflows_drift"


@pytest.fixture
def flow(db: None) -> "Flow":
    """A ``microworkflows.testing.Flow`` on the test's database; ``db`` is pytest-django's."""
    from microworkflows.testing import Flow

    return Flow()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and the list of edges that the first lets pass."""
    group = parser.getgroup("microworkflows")
    group.addoption(
        "--microworkflows-drift",
        action="store_true",
        help="fail if an edge of the process was observed and not declared, or declared and never observed, in this run",
    )
    group.addoption(
        "--microworkflows-contracts",
        metavar="FOLDER",
        help="fail if a published contract in FOLDER breaks, or a file there is stale, as manage.py contracts --check does",
    )
    parser.addini(
        "microworkflows_drift_allow", "edges, by name, that --microworkflows-drift lets pass", type="linelist"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run, if it is asked for; hold the contracts against their files, in the process that sums up."""
    folder = config.getoption("--microworkflows-contracts")
    if folder and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_ContractsGate(config.rootpath / folder), "microworkflows-contracts")
    if config.getoption("--microworkflows-drift"):
        config.pluginmanager.register(_DriftGate(config), "microworkflows-drift")


class _ContractsGate:
    """Runs ``manage.py contracts --check`` once the tests have ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said = ""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from django.core.management import CommandError, call_command

        out = StringIO()
        try:
            call_command("contracts", "--check", "--folder", str(self._folder), stdout=out)
        except CommandError as error:
            self._said = f"{out.getvalue()}{error}"
            if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._said:
            terminalreporter.section(
                "CONTRACTS: what is declared is not what was published", red=True, bold=True
            )
            for line in self._said.splitlines():
                terminalreporter.write_line(line, red=True)


class _DriftGate:
    """Notes the edges that the tests go, in each process of pytest-xdist, and compares them in the process that sums up."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._observer: Observer | None = None
        self._declared: set[str] = set()
        self._observed: set[str] = set()
        self._found: Drift | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if self._observer is None:
            from microworkflows import drift, flows

            self._observer = drift.Observer()
            flows.register(self._observer)
            self._declared = drift.declared_here()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        declared, observed = getattr(node, "workeroutput", {}).get(_OUTPUT, ((), ()))
        self._declared.update(declared)
        self._observed.update(observed)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._observer is not None:
            self._observed |= self._observer.observed
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output[_OUTPUT] = (sorted(self._declared), sorted(self._observed))
            return
        from microworkflows import drift

        allowed = [line.strip() for line in self._config.getini("microworkflows_drift_allow")]
        self._found = drift.compare(declared=self._declared, observed=self._observed, allowed=allowed)
        if self._found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._found:
            terminalreporter.section("DRIFT: the process differs from what is declared", red=True, bold=True)
            for line in self._found.lines():
                terminalreporter.write_line(line, red=True)
