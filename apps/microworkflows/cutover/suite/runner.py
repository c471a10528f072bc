"""The same for Django's own test runner: ``manage.py test --testrunner microworkflows.cutover.suite.runner.SuiteRunner``."""

# ruff: noqa: N802  (unittest's own names)

import unittest
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.test.runner import DiscoverRunner

from microworkflows.cutover.suite import baseline, judging, running, ways
from microworkflows.cutover.suite.baseline import Baseline, Outcome
from microworkflows.cutover.suite.judging import Exit
from microworkflows.cutover.suite.running import Step
from microworkflows.cutover.suite.verdict import Seen
from microworkflows.errors import MicroworkflowsError


class SuiteRunner(DiscoverRunner):
    """Runs the tests with contexts in a mode, in one process, and compares them with the baseline."""

    def __init__(
        self, *, mode: Sequence[str] = (), baseline: str | None = None, parallel: int = 0, **more: Any
    ) -> None:
        super().__init__(parallel=parallel, **more)
        try:
            self._ways = ways.parse(mode)
        except ValueError as error:
            raise _refusal(error) from None
        if not self._ways or baseline is None:
            raise _refusal(
                "Name a context and its mode, and a file: --mode payments=withheld --baseline inline.json."
            )
        if parallel > 1:
            raise _refusal(
                "Tests in a mode run in one process: leave --parallel out, or use pytest with pytest-xdist."
            )
        self._path, self._before = Path(baseline), None
        self._seen = Seen()
        self._noted: list[Step] = []

    _before: Baseline | None

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Add the options, which are those of the plugin for pytest."""
        super().add_arguments(parser)
        parser.add_argument("--mode", action="append", default=[], metavar="CONTEXT=MODE")
        parser.add_argument("--baseline", metavar="FILE")

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        """Return the class that takes the outcomes down as well."""
        base: Any = super().get_resultclass() or unittest.TextTestResult
        seen, noted = self._seen, self._noted

        class Result(_Noting, base):  # type: ignore[misc]  # the base is chosen by Django's options
            _seen, _noted = seen, noted

        return Result

    def run_suite(self, suite: unittest.TestSuite, **more: Any) -> unittest.TextTestResult:
        """Run the tests in the modes."""
        try:
            running.refuse(self._ways)
            if not judging.writes(self._ways):
                self._before = baseline.read(self._path)
        except MicroworkflowsError as error:
            raise _refusal(error) from None
        with running.taking_part(self._ways, self._noted.append):
            return super().run_suite(suite, **more)

    def suite_result(self, suite: unittest.TestSuite, result: unittest.TextTestResult, **more: Any) -> int:
        """Say the verdict; return 1 if something is new.

        Raises:
            CommandError: the run proves nothing.
        """
        code, said = judging.judge(self._seen, self._ways, self._path, self._before)
        self.log("\n".join(["", "Suite in a mode", *said]))
        if code is Exit.PROVES_NOTHING:
            raise _refusal("This run proves nothing.")
        return int(code)


class _Noting:
    """Takes down the outcome of each test, and the steps that it triggered."""

    _seen: Seen
    _noted: list[Step]

    def startTest(self, test: unittest.TestCase) -> None:
        # What was noted between two tests is setUpTestData's.
        self._take_down(self._seen.shared.setdefault(_id(test).rpartition("::")[0], []))
        self._note(test, "passed")
        super().startTest(test)  # type: ignore[misc]  # a mixin for unittest.TestResult

    def stopTest(self, test: unittest.TestCase) -> None:
        self._take_down(self._seen.steps.setdefault(_id(test), []))
        super().stopTest(test)  # type: ignore[misc]

    def addError(self, test: unittest.TestCase, *error: Any) -> None:
        self._note(test, "failed")
        super().addError(test, *error)  # type: ignore[misc]

    def addFailure(self, test: unittest.TestCase, *error: Any) -> None:
        self._note(test, "failed")
        super().addFailure(test, *error)  # type: ignore[misc]

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, error: Any) -> None:
        if error is not None:
            self._note(test, "failed")
        super().addSubTest(test, subtest, error)  # type: ignore[misc]

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._note(test, "skipped")
        super().addSkip(test, reason)  # type: ignore[misc]

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._note(test, "failed")
        super().addUnexpectedSuccess(test)  # type: ignore[misc]

    def _note(self, test: unittest.TestCase, outcome: Outcome) -> None:
        self._seen.outcomes[_id(test)] = outcome

    def _take_down(self, steps: list[Any]) -> None:
        steps += [step.as_dict() for step in self._noted]
        self._noted.clear()


def _id(test: unittest.TestCase) -> str:
    return "::".join(test.id().rpartition(".")[::2])


def _refusal(why: object) -> CommandError:
    return CommandError(str(why), returncode=int(Exit.PROVES_NOTHING))
