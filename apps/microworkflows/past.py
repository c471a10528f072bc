"""Events of the past: rows from before anybody listened, recorded later. They take effect only where somebody wants them.

Such an event bears a mark, which each event that follows from it inherits. A microworkflow acts on it if it is declared with
``bootstrap=True``, and if its context is the one for which the event was recorded, where it was recorded for one. A worker that
does not know the mark, as one of an earlier version, refuses the message and does nothing.
"""

import re
from functools import lru_cache

from microworkflows import registry
from microworkflows.cloudevents import context_of

MODE = "bootstrapped"
"""The word for people for a context's part in a flow of the past."""

_MARK = re.compile(r"bootstrapped(?::([a-z_][a-z0-9_]*))?")


def mark(*, only_for: str = "") -> str:
    """Return the mark of events of the past: for every context, or for one.

    Raises:
        ValueError: no context can have this label.
    """
    made = f"{MODE}:{only_for}" if only_for else MODE
    if not _MARK.fullmatch(made):
        raise ValueError(f"{only_for!r} is no label of a context, such as payments.")
    return made


def is_mark(mark: str | None) -> bool:
    """Return True for the mark of events of the past."""
    return mark is not None and _parse(mark) is not None


def concerns(context: str, mark: str) -> bool:
    """Return True if events with this mark were recorded for a context."""
    return _parse(mark) in ("", context)


def is_for(label: str, mark: str | None) -> bool:
    """Return True if a microworkflow acts on events with this mark; of one that is not known here, False if they are of the past."""
    return mark is None or not is_mark(mark) or label in wanting(mark)


def wanting(mark: str) -> set[str]:
    """Return the labels of the microworkflows known here that act on events of the past with this mark."""
    return {
        workflow.label
        for workflow in registry.workflows()
        if workflow.bootstrap and concerns(context_of(workflow.label), mark)
    }


@lru_cache(maxsize=256)
def _parse(mark: str) -> str | None:
    """Return the context for which events were recorded, empty for every one; None if the mark is another."""
    found = _MARK.fullmatch(mark)
    return None if found is None else found[1] or ""
