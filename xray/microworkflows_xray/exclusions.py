"""Tell which files are no part of what runs: tests, factories and fixtures, migrations, and what the project excludes itself."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import PurePosixPath

_TEST_FOLDERS = {"tests", "test", "testing", "testsuite", "test_utils", "test_helpers", "e2e"}
_FACTORY_FOLDERS = {"factories", "fixtures"}
_TEST_FILES = ("test_*.py", "*_test.py", "*_tests.py", "tests.py", "test.py", "conftest.py", "testing.py")
_FACTORY_FILES = ("factories.py", "factory.py", "*_factory.py", "*_factories.py")


def reason(shown: str, patterns: Sequence[str] = (), *, include_tests: bool = False) -> str:
    """Say why a file is left out; empty if it is looked at.

    Args:
        shown: path as facts write it.
        patterns: of ``xray.ini``, in the shell's manner, such as ``scripts/*``.
        include_tests: look at tests and factories too.
    """
    path = PurePosixPath(shown)
    if any(fnmatch.fnmatchcase(shown, pattern) for pattern in patterns):
        return "excluded"
    if "migrations" in path.parts[:-1] or "south_migrations" in path.parts[:-1]:
        return "migration"
    if include_tests:
        return ""
    if _TEST_FOLDERS & set(path.parts[:-1]) or any(
        fnmatch.fnmatchcase(path.name, pattern) for pattern in _TEST_FILES
    ):
        return "test"
    if _FACTORY_FOLDERS & set(path.parts[:-1]) or any(
        fnmatch.fnmatchcase(path.name, pattern) for pattern in _FACTORY_FILES
    ):
        return "factory"
    return ""
