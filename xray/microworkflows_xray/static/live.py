"""Objects that are already imported: Django's start has loaded most modules, and what they hold is certain."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

_HARMLESS = ("django", "rest_framework", "graphene_django", "django_filters")
"""Packages whose modules are imported on demand; the project's own are only looked at if Django's start has loaded them."""


def find(dotted: str) -> Any:
    """Give the object of a dotted name, or None if it is not loaded. Attributes are read from dictionaries, so that nothing runs."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        module = _module(".".join(parts[:cut]))
        if module is None:
            continue
        found: Any = module
        for part in parts[cut:]:
            found = _member(found, part)
            if found is None:
                break
        return found
    return None


def _member(holder: Any, name: str) -> Any:
    if isinstance(holder, types.ModuleType):
        if name in vars(holder):
            return vars(holder)[name]
        return sys.modules.get(f"{holder.__name__}.{name}")
    if is_class(holder):
        for base in holder.__mro__:
            if name in vars(base):
                return vars(base)[name]
    return None


def is_class(thing: Any) -> bool:
    """True for a class; a lazy object is not asked, because it would be evaluated."""
    return issubclass(type(thing), type)


def _module(name: str) -> types.ModuleType | None:
    module = sys.modules.get(name)
    if module is None and name.partition(".")[0] in _HARMLESS:
        try:
            module = importlib.import_module(name)
        except Exception:  # a module of an optional part may fail in any way; then it is just not known
            return None
    return module if isinstance(module, types.ModuleType) else None
