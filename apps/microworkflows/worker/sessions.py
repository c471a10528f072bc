"""Database sessions that the kit's tasks keep from one to the next, aside from those of all other tasks.

Celery closes Django's connections around each task. That is what the project's own tasks rely on: a session that broke
troubles one task at most. The kit's tasks look after theirs, and spare a new session for each event.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

Wrappers = dict[str, BaseDatabaseWrapper]
"""Django's connections by alias; a thread has its own."""


class _Kept(threading.local):
    def __init__(self) -> None:
        self.wrappers: Wrappers = {}


_kept = _Kept()


@contextmanager
def kept() -> Iterator[None]:
    """Use the kept sessions inside the block, and keep those that it opens; outside of it, nobody meets them."""
    others = _put_in_place(_kept.wrappers)
    try:
        yield
    finally:
        _kept.wrappers = _put_in_place(others)


def _put_in_place(wrappers: Wrappers) -> Wrappers:
    """Make these Django's connections of this thread; return those before."""
    before = {wrapper.alias: wrapper for wrapper in connections.all(initialized_only=True)}
    for alias in before.keys() - wrappers.keys():
        del connections[alias]
    for alias, wrapper in wrappers.items():
        connections[alias] = wrapper
    return before
