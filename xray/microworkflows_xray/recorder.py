"""Plugin for pytest that records what a project does while its tests run: ``pytest -p microworkflows_xray.recorder``.

It changes no result: the same tests pass and fail, and as many queries are counted.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from microworkflows_xray.facts import Observed
    from microworkflows_xray.observed.recording import Recording

_SETUP = frozenset({"django_db_setup", "django_test_environment", "django_db_modify_db_settings"})
"""Fixtures that make the tests' database: what runs in there is no behaviour of the project."""
_KEY = "microworkflows_xray"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the recorder's options."""
    group = parser.getgroup("xray", "record what the project does (microworkflows-xray)")
    group.addoption(
        "--xray-output",
        metavar="FILE",
        default="xray-observed.json",
        help="file of the recording; %(default)s by default",
    )
    group.addoption(
        "--xray-root", metavar="DIR", default=".", help="the project's root; the current directory by default"
    )
    group.addoption(
        "--xray-also",
        metavar="PACKAGE",
        action="append",
        default=[],
        help="an installed package to look at as if it were the project's; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder, once Django's plugin is there."""
    if not config.pluginmanager.hasplugin("django"):
        raise pytest.UsageError(
            "microworkflows_xray.recorder needs pytest-django, which sets Django up for the tests. Install it: pip install pytest-django"
        )
    config.pluginmanager.register(Recorder(config), "microworkflows-xray-recorder")


class Recorder:
    """Records one run of pytest, or one worker's share of it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._output = Path(config.invocation_params.dir, config.getoption("xray_output"))
        self._root = Path(config.invocation_params.dir, config.getoption("xray_root"))
        self._recording: Recording | None = None
        self._parts: list[Observed] = []
        self._lost: list[str] = []

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, None, None]:
        """Record while tests run; not in the process that only hands them out."""
        if self._config.option.collectonly or self._hands_out():
            yield
            return
        self._start()
        try:
            yield
        finally:
            assert self._recording is not None
            self._recording.close()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, None, None]:
        """Count the tests."""
        if self._recording is not None:
            self._recording.units += 1
        yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, None, None]:
        """Look away while the database is made."""
        if self._recording is None or fixturedef.argname not in _SETUP:
            yield
            return
        before, self._recording.paused = self._recording.paused, True
        yield
        self._recording.paused = before

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over the recording of one of pytest-xdist's workers."""
        from microworkflows_xray import facts

        text = getattr(node, "workeroutput", {}).get(_KEY)
        if text is None:
            self._lost.append(node.gateway.id)
        else:
            self._parts.append(facts.from_plain(facts.Observed, json.loads(text)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the recording over, or write it."""
        from microworkflows_xray import facts

        worker = getattr(self._config, "workeroutput", None)
        if self._recording is not None and worker is not None:
            worker[_KEY] = json.dumps(facts.to_plain(self._recording.observed()))
        elif self._recording is not None:
            self._write([self._recording.observed()])
        elif self._parts:
            self._write(self._parts)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where the recording is, and what it holds."""
        if self._written:
            terminalreporter.write_line(self._written)

    _written = ""

    def _hands_out(self) -> bool:
        return bool(
            getattr(self._config.option, "dist", "no") != "no" and not hasattr(self._config, "workerinput")
        )

    def _start(self) -> None:
        from django.apps import apps
        from django.conf import settings

        if not settings.configured or not apps.ready:
            raise pytest.UsageError(
                "microworkflows_xray.recorder found Django without settings: name them with DJANGO_SETTINGS_MODULE or --ds."
            )
        from microworkflows_xray.observed.starting import start

        try:
            self._recording = start(self._root, also=self._config.getoption("xray_also"))
        except LookupError as error:
            raise pytest.UsageError(str(error)) from error

    def _write(self, recordings: list[Observed]) -> None:
        from dataclasses import replace

        from microworkflows_xray import facts
        from microworkflows_xray.observed.merging import merge

        merged = merge(recordings)
        gaps = [
            facts.Gap(f"worker {name}", "It ended without a recording; its tests are missing.")
            for name in sorted(self._lost)
        ]
        merged = replace(merged, gaps=(*merged.gaps, *gaps))
        facts.dump(merged, self._output)
        self._written = f"X-ray: {merged.summary}: {self._output}"
