"""Places to which a URL or a task leads: a view's class or function, for what runs there without a line that is looked at."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any

from microworkflows_xray.facts import Place
from microworkflows_xray.observed import names
from microworkflows_xray.observed.looked import Looked
from microworkflows_xray.observed.places import Spot


class Targets:
    """Finds places of views and tasks, each once."""

    def __init__(self, looked: Looked) -> None:
        self._looked = looked
        self._found: dict[Any, Spot] = {}

    def of(self, called: Any) -> Spot:
        """Return the place of a view, as a URL names it, or of a task; it has no file if it is not looked at."""
        target = _target(called)
        spot = self._found.get(target)
        if spot is None:
            spot = self._found[target] = self._spot(target)
        return spot

    def _spot(self, target: Any) -> Spot:
        name = names.of_callable(target)
        module = sys.modules.get(getattr(target, "__module__", "") or "")
        file = self._looked.file(getattr(module, "__file__", None) or "<unknown>")
        if file.kind != "own":
            return Spot(Place("", 0, name), "ORM")
        try:
            line = inspect.getsourcelines(target)[1]
        except (OSError, TypeError):
            line = 1  # made while the program ran: it has no line of its own
        return Spot(Place(file.shown, line, name, file.app), "ORM")


def _target(called: Any) -> Any:
    """Return the class or function that a callable comes from."""
    for _ in range(20):
        for attribute in ("view_class", "cls", "model_admin"):
            if (found := getattr(called, attribute, None)) is not None:
                return found if inspect.isclass(found) else type(found)
        if isinstance(called, functools.partial):
            called = called.func
        elif hasattr(called, "__wrapped__"):
            called = called.__wrapped__
        else:
            break
    if inspect.ismethod(called):
        owner = called.__self__
        return owner if inspect.isclass(owner) else type(owner)
    return called if hasattr(called, "__qualname__") else type(called)
