"""Guesses by name: a parameter ``basket`` where one model alone is called ``Basket``; ``user``; ``form`` in a view with a form class."""

from __future__ import annotations

import re

from django.conf import settings

from . import frameworks
from .engine import Frame
from .sources import Function
from .values import UNKNOWN, Instance, Value, many

_PREFIXES = re.compile(
    r"^_*(new|old|current|parent|existing|the|this|other|related|created|updated|selected|original|source|target|first|last|default|my|db)_"
)


def by_name(frame: Frame, name: str) -> Value:
    """Guess what a variable is from its name alone; unknown if two models might be meant and none is the app's own."""
    if name in {"self", "cls", "_"}:
        return UNKNOWN
    if name in {"user", "current_user", "request_user"}:
        return user(frame)
    model = _model(frame, name) or _model(frame, _PREFIXES.sub("", name))
    if model is not None:
        return frozenset({Instance(model)})
    if name.endswith("s"):
        singular = name[:-3] + "y" if name.endswith("ies") else name[:-1]
        model = _model(frame, singular) or (_model(frame, name[:-2]) if name.endswith("es") else None)
        if model is not None:
            return many(frozenset({Instance(model)}))
    return UNKNOWN


def user(frame: Frame) -> Value:
    """Give the user model's instances."""
    label, _, name = str(getattr(settings, "AUTH_USER_MODEL", "auth.User")).partition(".")
    model = frame.engine.registry.by_label(label, name)
    return frozenset({Instance(model)}) if model else UNKNOWN


def framework_parameter(frame: Frame, function: Function, name: str) -> Value:
    """Tell what a framework passes for a parameter of a method that overrides one of its own."""
    if not function.cls:
        return UNKNOWN
    method = function.node.name
    if name in {"form", "formset"} and ("valid" in method or method == "get_context_data"):
        return frameworks.form_of_view(frame, function.cls)
    if name == "serializer":
        return frameworks.serializer_of_view(frame, function.cls)
    if name in {"instance", "obj", "object"} or (
        name == "queryset" and frameworks.is_admin(frame, function.cls)
    ):
        return frameworks.object_of(frame, function.cls, rows=name == "queryset")
    return UNKNOWN


def _model(frame: Frame, name: str) -> str | None:
    if len(name) < 3:
        return None
    found = frame.engine.registry.by_short_name.get(name.replace("_", "").lower(), [])
    if len(found) > 1:
        label = frame.module.app
        found = [each for each in found if frame.engine.registry.models[each]._meta.app_label == label]
    return found[0] if len(found) == 1 else None
