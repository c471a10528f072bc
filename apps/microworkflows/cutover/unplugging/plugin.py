"""The hooks for pytest by which ``manage.py unplug`` watches a project's tests, in one process or in those of pytest-xdist."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from microworkflows.cutover.unplugging.findings import Found

_OUTPUT = "microworkflows_unplugged"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, which the command gives."""
    group = parser.getgroup("microworkflows")
    group.addoption("--unplug", metavar="CONTEXTS", help="contexts to watch; given by manage.py unplug")
    group.addoption("--unplug-to", type=Path, metavar="FILE", help="file for what is found")


def pytest_configure(config: pytest.Config) -> None:
    """Watch the run."""
    config.pluginmanager.register(_Watching(config), "microworkflows-unplugging")


class _Watching:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._contexts = config.getoption("--unplug").split(",")
        self._open = ExitStack()
        self._found: dict[str, Found] = {}
        self._elsewhere: list[dict[str, Any]] = []
        self._outcomes: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        from microworkflows.cutover.unplugging import running

        self._found = self._open.enter_context(running.watched(self._contexts))

    def pytest_unconfigure(self) -> None:
        self._open.close()

    def pytest_runtest_logreport(self, report: Any) -> None:
        test = report.nodeid
        if report.failed or self._outcomes.get(test) == "failed":
            self._outcomes[test] = "failed"
        elif report.when == "call" and report.passed:
            self._outcomes[test] = "passed"

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        if found := getattr(node, "workeroutput", {}).get(_OUTPUT):
            self._elsewhere.append(json.loads(found))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        from microworkflows.cutover.unplugging.findings import Found

        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output[_OUTPUT] = json.dumps({context: found.as_dict() for context, found in self._found.items()})
            return
        for context, found in self._found.items():
            for elsewhere in self._elsewhere:
                found.add(Found.of(elsewhere[context]))
            found.tests = self._outcomes
        text = json.dumps({context: found.as_dict() for context, found in self._found.items()})
        self._config.getoption("--unplug-to").write_text(text)
