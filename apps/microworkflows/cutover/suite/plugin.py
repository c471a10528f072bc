"""The plugin: its options, and the run from its first test to the verdict, in one process or in those of pytest-xdist."""

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import TestCase

import pytest

from microworkflows.cutover.suite import ways
from microworkflows.cutover.suite.ways import Way

if TYPE_CHECKING:
    from microworkflows.cutover.suite.baseline import Baseline
    from microworkflows.cutover.suite.running import Step

_STEPS = "microworkflows_steps"
"""Attribute of a report that holds the steps noted since the report before; pytest-xdist carries it along."""


def add_options(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("microworkflows")
    group.addoption(
        "--mode",
        action="append",
        default=[],
        metavar="CONTEXT=MODE",
        help=f"run a context in a mode: {', '.join(Way)}; may be given several times",
    )
    group.addoption(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="outcomes of a run with all contexts inline, which writes it; any other run is compared with it",
    )


def take_part(config: pytest.Config) -> None:
    """Take part in the run, or refuse it."""
    try:
        chosen = ways.parse(config.getoption("--mode"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    if not chosen:
        raise pytest.UsageError("Name a context and its mode: --mode payments=withheld.")
    if config.getoption("--baseline") is None:
        raise pytest.UsageError(
            "Name a file with --baseline FILE. A run with all contexts inline writes it; the others are compared with it, so that "
            "tests that fail anyway are told apart."
        )
    config.pluginmanager.register(_Suite(config, chosen), "microworkflows-suite")


def _refuse_without_django() -> None:
    from django.apps import apps

    if not apps.ready:
        raise pytest.UsageError(
            "Django is not set up, so no context can be in a mode. Install pytest-django, and name the settings (--ds)."
        )
    if not apps.is_installed("microworkflows.cutover"):
        raise pytest.UsageError(
            "No context can be in a mode: microworkflows.cutover is not in INSTALLED_APPS of these settings."
        )


class _Suite:
    def __init__(self, config: pytest.Config, chosen: dict[str, Way]) -> None:
        from microworkflows.cutover.suite.verdict import Seen

        self._config, self._ways = config, chosen
        self._path: Path = config.getoption("--baseline")
        self._is_worker = hasattr(config, "workerinput")
        self._baseline: Baseline | None = None
        self._open = ExitStack()
        self._noted: list[Step] = []
        self._seen = Seen()
        self._said: list[str] = []
        self._good = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        _refuse_without_django()
        from microworkflows.cutover.suite import baseline, judging, running
        from microworkflows.errors import MicroworkflowsError

        try:
            running.refuse(self._ways)
            if not judging.writes(self._ways) and not self._is_worker:
                self._baseline = baseline.read(self._path)
        except MicroworkflowsError as error:
            raise pytest.UsageError(str(error)) from None
        self._open.enter_context(running.taking_part(self._ways, self._noted.append))

    def pytest_unconfigure(self) -> None:
        self._open.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
        report = yield
        # What a TestCase does before its first test (setUpTestData) is for all tests of the class.
        shared = call.when == "setup" and issubclass(getattr(item, "cls", None) or object, TestCase)
        setattr(report, _STEPS, [[step.as_dict(), shared] for step in self._noted])
        self._noted.clear()
        return report

    def pytest_runtest_logreport(self, report: Any) -> None:
        seen, test = self._seen, report.nodeid
        for step, shared in getattr(report, _STEPS, ()):
            if shared:
                seen.shared.setdefault(test.rpartition("::")[0], []).append(step)
            else:
                seen.steps.setdefault(test, []).append(step)
        if report.failed or seen.outcomes.get(test) == "failed":
            seen.outcomes[test] = "failed"
        elif report.skipped:
            seen.outcomes[test] = "skipped"
        elif report.when == "call":
            seen.outcomes.setdefault(test, "passed")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from microworkflows.cutover.suite import judging

        if self._is_worker:
            return
        if session.exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            self._good = False
            self._said = [
                "The run did not come to its end, so nothing is compared, and no baseline is written."
            ]
            return
        code, self._said = judging.judge(self._seen, self._ways, self._path, self._baseline)
        session.exitstatus = pytest.ExitCode(code)
        self._good = session.exitstatus == pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._said:
            colour: dict[str, Any] = {"green" if self._good else "red": True}
            terminalreporter.section("SUITE IN A MODE", bold=True, **colour)
            for line in self._said:
                terminalreporter.write_line(line)
