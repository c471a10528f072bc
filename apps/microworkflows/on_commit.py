"""Django's hooks for after the commit, whose list has no public name: the one place that reads and rewrites it.

``BaseDatabaseWrapper.run_on_commit`` holds (savepoint ids, function, robust) for each hook of the open transaction; tests
hold Django to that.
"""

from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


def is_registered(connection: BaseDatabaseWrapper, function: Callable[[], None]) -> bool:
    """Tell whether the open transaction has this very function among its hooks."""
    return any(hook[1] is function for hook in getattr(connection, "run_on_commit", ()))


def make_robust(connection: BaseDatabaseWrapper) -> None:
    """Let no hook of the open transaction keep the others from running: Django logs what a robust one raises."""
    untyped: Any = connection
    untyped.run_on_commit = [(sids, function, True) for sids, function, _ in untyped.run_on_commit]


def can_be_made_robust(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether this Django keeps its hooks as :func:`make_robust` expects."""
    hooks = getattr(connection, "run_on_commit", None)
    return isinstance(hooks, list) and all(isinstance(hook, tuple) and len(hook) == 3 for hook in hooks)
