"""Requests: which code of the project answers them, as the loaded URL configuration tells, and which middleware passes them on to it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.conf import settings

from . import live
from .registry import name_of
from .values import Decorated

if TYPE_CHECKING:
    from .engine import Engine

REQUEST = "django.request"
"""What ``get_response`` calls, as if each view were decorated with it."""
HANDLERS = ("dispatch", "get", "head", "post", "put", "patch", "delete", "options")
ACTIONS = ("list", "retrieve", "create", "update", "partial_update", "destroy")
"""Methods of Django REST framework's view sets."""


def take_in(engine: Engine) -> None:
    """Let each middleware's ``get_response`` be all that answers requests."""
    engine.decorated[REQUEST] = {each for view in _views() for each in answering(engine, view)}
    for name in _middleware():
        function = engine.sources.functions.get(name) or engine.sources.functions.get(f"{name}.__init__")
        if function is not None:
            parameters = [each.arg for each in function.node.args.args][1 if function.cls else 0 :]
            for parameter in parameters[:1]:
                engine.join(("parameter", function.name, parameter), frozenset({Decorated(REQUEST)}))


def answering(engine: Engine, view: str) -> Iterator[str]:
    """Name a view function, or a view's class with the functions by which it answers."""
    if view in engine.sources.functions:
        yield view
    elif view in engine.sources.classes:
        yield view
        classes = engine.classes
        names = [*HANDLERS, *(ACTIONS if classes.is_a(view, "ViewSetMixin") else ())]
        yield from sorted(found for name in names if (found := classes.method(view, name)))
        for base in classes.mro(view):
            yield from (each.name for each in classes.defined(base) if "action" in each.decorators)


def _middleware() -> list[str]:
    try:
        return list(settings.MIDDLEWARE)
    except Exception:  # settings may be lazy, and fail in any way
        return []


def _views() -> Iterator[str]:
    """Name what the URL configuration leads to; nothing if it cannot be loaded, which is a gap already."""
    from django.urls import get_resolver

    try:
        patterns = get_resolver().url_patterns
    except Exception:  # a project's URLs may fail in any way
        return
    for callback in _callbacks(patterns):
        view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
        if view is not None and live.is_class(view):
            yield name_of(view)
        elif inspect.isfunction(function := inspect.unwrap(callback)):
            yield f"{function.__module__}.{function.__qualname__}".replace(".<locals>", "")


def _callbacks(patterns: Iterable[Any]) -> Iterator[Any]:
    for pattern in patterns:
        if callable(callback := getattr(pattern, "callback", None)):
            yield callback
        else:
            yield from _callbacks(getattr(pattern, "url_patterns", ()))
