"""A project's own tests, unchanged, with contexts in a mode: a plugin for pytest, ``-p microworkflows.cutover.suite``.

A comparison of two outputs shows what a step does, and nothing of those who relied on its being done already. The project's
tests are such readers. They run once inline, which writes the baseline, and then with a context *withheld* (its steps have not
run yet) or *live* (they run right after the commit): what fails then and did not before relied on the step (:mod:`.verdict`).
The two are the ends of what production does: a worker is never quicker than *live*, and as late as anything may be *withheld*.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: "pytest.Parser") -> None:
    """Add the options; pytest is imported by nobody who runs no tests."""
    from microworkflows.cutover.suite import plugin

    plugin.add_options(parser)


def pytest_configure(config: "pytest.Config") -> None:
    """Take part in the run, or refuse it."""
    from microworkflows.cutover.suite import plugin

    plugin.take_part(config)
