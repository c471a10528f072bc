"""``python -m microworkflows_xray record manage.py test``: what a project does while Django's own test runner runs its tests.

It is :mod:`~microworkflows_xray.recorder` for projects whose tests pytest does not run. It changes no result.
"""

from __future__ import annotations

import functools
import os
import runpy
import sys
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from microworkflows_xray.errors import ProjectError

if TYPE_CHECKING:
    from microworkflows_xray.facts import Observed

_GIVE = "Give the program that runs the tests, such as: record manage.py test."
_RunSuite = Callable[..., Any]


def run(program: Sequence[str], *, root: Path, also: Sequence[str]) -> tuple[int, Observed]:
    """Run a program, such as ``manage.py test``, as Python runs it; return its exit code, and what its tests did.

    Args:
        program: A file of Python, and its arguments.
        root: The project's root.
        also: Installed packages to look at as if they were the project's.

    Raises:
        ProjectError: There is no such file, or it ran no tests, or in several processes.
    """
    if not program:
        raise ProjectError(_GIVE)
    recorder = _Recorder(root.resolve(), also)
    with _as_python_runs_it(program), recorder.in_wait():
        code = _exit_code(program[0])
    if recorder.observed is None:
        raise ProjectError(
            f"{' '.join(program)} ran no tests by Django's test runner, so nothing was recorded. {_GIVE} "
            "Tests that pytest runs are recorded by: pytest -p microworkflows_xray.recorder"
        )
    return code, recorder.observed


class _Recorder:
    """Waits for Django's test runner, and records while it runs a suite."""

    def __init__(self, root: Path, also: Sequence[str]) -> None:
        self._root = root
        self._also = also
        self._depth = 0
        self.observed: Observed | None = None

    @contextmanager
    def in_wait(self) -> Iterator[None]:
        """Catch the runner as soon as Django is set up, which is when its settings say which one it is."""
        set_up = django.setup

        @functools.wraps(set_up)
        def and_catch(*args: Any, **kwargs: Any) -> None:
            set_up(*args, **kwargs)
            self._catch()

        django.setup = and_catch
        try:
            yield
        finally:
            django.setup = set_up

    def _catch(self) -> None:
        from django.conf import settings
        from django.test.runner import DiscoverRunner
        from django.test.utils import get_runner

        runners: set[Any] = {DiscoverRunner, get_runner(settings)}
        for runner in runners:
            own = vars(runner).get("run_suite")
            if own is not None and not hasattr(own, "__wrapped__"):
                runner.run_suite = self._recorded(own)

    def _recorded(self, run_suite: _RunSuite) -> _RunSuite:
        @functools.wraps(run_suite)
        def run(runner: Any, suite: unittest.TestSuite, *args: Any, **kwargs: Any) -> Any:
            if self._depth:  # a runner of the project's own that calls Django's
                return run_suite(runner, suite, *args, **kwargs)
            from microworkflows_xray.observed.starting import start

            if getattr(runner, "parallel", 1) > 1:
                raise ProjectError(
                    "Tests in several processes are not recorded. Run them in one: --parallel 1"
                )
            try:
                recording = start(self._root, also=self._also)
            except LookupError as error:
                raise ProjectError(str(error)) from error
            number = suite.countTestCases()
            self._depth += 1
            try:
                return run_suite(runner, suite, *args, **kwargs)
            finally:
                self._depth -= 1
                recording.close()
                recording.units = number
                self.observed = recording.observed()

        return run


@contextmanager
def _as_python_runs_it(program: Sequence[str]) -> Iterator[None]:
    """Give a program its arguments, and the path for imports that it has when Python runs it."""
    argv, path = sys.argv[:], sys.path[:]
    sys.argv = [*program]
    sys.path = [os.path.dirname(os.path.abspath(program[0])), *(each for each in path if each)]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path


def _exit_code(program: str) -> int:
    if not Path(program).is_file():
        raise ProjectError(f"There is no file {program} here. {_GIVE}")
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    return 0
