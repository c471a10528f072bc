"""The Celery app whose broker carries the events. A project's own tasks may have another, on another broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from celery import Celery
from celery.app import app_or_default

_set_up: "WeakSet[Celery]" = WeakSet()
_own: list[Celery] = []


def note(app: Celery, *, tasks: Celery | None = None) -> None:
    """Note that an app was set up for events, and the app of the project's own tasks if that is another."""
    _set_up.add(app)
    if tasks is not None and tasks is not app:
        _own[:] = [tasks]


def own() -> Celery | None:
    """Return the app of the project's own tasks, if that is another."""
    return _own[0] if _own else None


@contextmanager
def of_own_tasks() -> Iterator[None]:
    """Make the app of the project's own tasks Celery's current one, by which ``shared_task`` goes; it may be the same."""
    if not _own:
        yield
        return
    current = app_or_default()
    _own[0].set_current()
    try:
        yield
    finally:
        current.set_current()


def is_for_events(app: Celery) -> bool:
    """Return True if an app was set up for events, or none was and it might be meant to be."""
    return app in _set_up or not _set_up


def worker() -> str:
    """Return the name of the worker in which this code runs, such as ``payments@host``; empty outside of any."""
    task = get().current_task
    return str(task.request.hostname or "") if task else ""


def is_apart(app: Celery) -> bool:
    """Return True for an app of the project's own tasks whose broker is not that of the events."""
    return not is_for_events(app) and app.conf.broker_url != get().conf.broker_url


def get() -> Celery:
    """Return the app for events: Celery's current one, unless another was set up for events and that one was not."""
    current = app_or_default()
    return current if is_for_events(current) else next(iter(_set_up))
