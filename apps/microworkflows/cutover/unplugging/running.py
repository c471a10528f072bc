"""A run to watch: the project's tests by pytest, in a process of their own, or one function of the project."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from django.test import utils
from django.utils.module_loading import import_string

from microworkflows.cutover import conf
from microworkflows.cutover.suite import running
from microworkflows.cutover.suite.running import Step
from microworkflows.cutover.suite.ways import Way
from microworkflows.cutover.unplugging import watching
from microworkflows.cutover.unplugging.findings import Found
from microworkflows.cutover.unplugging.parties import Parties
from microworkflows.errors import MicroworkflowsError

_CAME_TO_ITS_END = {0, 1}
"""Exit codes of pytest: all tests passed, or some failed."""
_LONGEST = 200
"""Longest text of a failure."""


class NotRunError(MicroworkflowsError):
    """There was nothing to watch, or it did not come to its end."""


@contextmanager
def watched(contexts: Sequence[str], *, scenario: str = "") -> Iterator[dict[str, Found]]:
    """Watch what runs in the block, with the contexts live: what they hear is delivered to them right after the commit.

    Args:
        contexts: Labels of the contexts. Those that are not being cut over hear what the run delivers to them by itself.
        scenario: File whose code is no party, such as that of a scenario.
    """
    live = {context: Way.LIVE for context in contexts if context in conf.contexts()}
    with watching.watching(contexts, Parties(scenario=scenario)) as found:

        def note(step: Step) -> None:
            for each in found.values() if step.wrong else ():
                each.failed.add(f"{step.workflow}: {step.wrong[:_LONGEST]}")

        with running.taking_part(live, note):
            yield found


def by_pytest(contexts: Sequence[str], arguments: Sequence[str]) -> dict[str, Found]:
    """Run the project's tests; return what was found of each context.

    Raises:
        NotRunError: pytest is not there, or did not come to its end.
    """
    if importlib.util.find_spec("pytest_django") is None:
        raise NotRunError(
            "pytest and pytest-django, which run the tests, are not installed here. Install them (they run Django's test cases, "
            "too), or name a function of yours with --scenario."
        )
    with TemporaryDirectory() as folder:
        file = Path(folder, "found.json")
        plugin = [
            "-p",
            "microworkflows.cutover.unplugging.plugin",
            "--unplug",
            ",".join(contexts),
            "--unplug-to",
            str(file),
        ]
        code = subprocess.run([sys.executable, "-m", "pytest", *plugin, *arguments], check=False).returncode  # noqa: S603
        if code not in _CAME_TO_ITS_END or not file.exists():
            raise NotRunError(f"pytest did not come to its end (status {code}), so nothing is proven.")
        return {context: Found.of(data) for context, data in json.loads(file.read_text()).items()}


def by_scenario(contexts: Sequence[str], name: str) -> dict[str, Found]:
    """Call a function of the project on new test databases; return what was found of each context.

    Raises:
        NotRunError: there is no such function, or it failed.
    """
    try:
        scenario = import_string(name)
        file = str(Path(scenario.__code__.co_filename).resolve())
    except (ImportError, AttributeError) as error:
        raise NotRunError(f"{name} is no function that can be imported: {error}") from error
    utils.setup_test_environment(debug=False)
    try:
        databases = utils.setup_databases(verbosity=0, interactive=False)
        try:
            with watched(contexts, scenario=file) as found:
                scenario()
        except Exception as error:
            raise NotRunError(
                f"{name} failed, so nothing is proven: {type(error).__name__}: {error}"
            ) from error
        finally:
            utils.teardown_databases(databases, verbosity=0)
    finally:
        utils.teardown_test_environment()
    for each in found.values():
        each.tests = {name: "passed"}
    return found
