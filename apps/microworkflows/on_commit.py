"""Django's ``on_commit`` hooks: the only module that reads and rewrites their list, which has no public name.

``BaseDatabaseWrapper.run_on_commit`` holds (savepoint ids, function, robust) for each hook of the open transaction; tests
verify that.
"""

from collections.abc import Callable, Collection
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

Hook = Callable[[], None]


def is_registered(connection: BaseDatabaseWrapper, function: Hook) -> bool:
    """Return True if the open transaction has this very function among its hooks."""
    return any(hook[1] is function for hook in getattr(connection, "run_on_commit", ()))


def number(connection: BaseDatabaseWrapper) -> int:
    """Return the number of hooks of the open transaction."""
    return len(getattr(connection, "run_on_commit", ()))


def take_back(connection: BaseDatabaseWrapper, functions: Collection[Hook]) -> list[Hook]:
    """Remove these hooks from the open transaction; return those that were there, and so not rolled back with a savepoint."""
    untyped: Any = connection
    there = [hook[1] for hook in untyped.run_on_commit]
    untyped.run_on_commit = [hook for hook in untyped.run_on_commit if hook[1] not in functions]
    return [function for function in there if function in functions]


def cut(connection: BaseDatabaseWrapper, number: int) -> None:
    """Forget all hooks of the open transaction after the first ``number``."""
    untyped: Any = connection
    del untyped.run_on_commit[number:]


def make_robust(connection: BaseDatabaseWrapper, contained: Callable[[Hook], Hook]) -> None:
    """Make every hook of the open transaction robust: Django logs its error and runs the others.

    ``contained`` makes a hook raise an ``Exception``, which Django logs, in place of what else it may raise.
    """
    untyped: Any = connection
    untyped.run_on_commit = [(sids, contained(function), True) for sids, function, _ in untyped.run_on_commit]


def can_be_made_robust(connection: BaseDatabaseWrapper) -> bool:
    """Return True if this Django keeps its hooks in the form that :func:`make_robust` expects."""
    hooks = getattr(connection, "run_on_commit", None)
    return isinstance(hooks, list) and all(isinstance(hook, tuple) and len(hook) == 3 for hook in hooks)
