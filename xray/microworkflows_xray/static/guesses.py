"""Guesses by name: a parameter ``basket`` where one model alone is called ``Basket``; ``user``; ``form`` in a view with a form class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from django.conf import settings

from . import frameworks
from .engine import Frame
from .sources import Function
from .values import UNKNOWN, ClassOf, Instance, Many, Rows, Type, Value, many

_PREFIXES = re.compile(
    r"^_*(new|old|current|parent|existing|the|this|other|related|created|updated|selected|original|source|target|first|last|default|my|db)_"
)

_FEW = 3
"""A variable may well be of so many models, whatever its name."""
_ROW = frozenset({"instance", "item", "obj", "object", "record", "row", "target"})
_ROWS = frozenset({"items", "object_list", "objects", "qs", "queryset", "rows"})


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


def narrow(frame: Frame, cls: str, value: Value) -> Value:
    """Leave out rows of other models than a class names as its own, where a base class that serves many models gives them all."""
    return _only(frame, value, _named_models(frame, cls)) if len(_models_of(frame, value)) > 1 else value


def narrow_by_name(frame: Frame, name: str, value: Value) -> Value:
    """Leave out rows of other models than a variable's name means, where a function that serves many models gives them all."""
    if len(_models_of(frame, value)) <= _FEW:
        return value
    return _only(frame, value, _models_of(frame, by_name(frame, name)))


def narrow_to(frame: Frame, annotated: Value, value: Value) -> Value:
    """Leave out what is of no model that an annotation names, if it names any."""
    models = _models_of(frame, annotated)
    below = {each for model in models for each in frame.engine.registry.subclasses(model)}
    return _kept(frame, value, models | below) if models else value


def _only(frame: Frame, value: Value, wanted: Iterable[str]) -> Value:
    """Keep the rows of some models; everything if there is none of theirs."""
    return value if _models_of(frame, value).isdisjoint(wanted) else _kept(frame, value, frozenset(wanted))


def _kept(frame: Frame, value: Value, wanted: Set[str]) -> Value:
    found: set[Type] = set()
    for each in value:
        if isinstance(each, Many):
            found |= many(_kept(frame, each.item, wanted))
        elif isinstance(each, Instance) or _model_of(frame, each):
            found |= {each} if (_model_of(frame, each) or "-") in wanted else set()
        else:
            found.add(each)
    return frozenset(found)


def _models_of(frame: Frame, value: Value) -> set[str]:
    """Name the models of rows, and of collections of rows."""
    found = {model for each in value if (model := _model_of(frame, each))}
    return found.union(*(_models_of(frame, each.item) for each in value if isinstance(each, Many)))


def _model_of(frame: Frame, value: Type) -> str:
    """Name the model of a row, of rows or of a model's class; empty for other values."""
    name = (
        value.model
        if isinstance(value, Rows)
        else value.cls
        if isinstance(value, (Instance, ClassOf))
        else ""
    )
    return name if frame.engine.registry.get(name) else ""


def _named_models(frame: Frame, cls: str) -> list[str]:
    """Name the models that a class or its bases name by ``model``, there or in ``Meta``."""
    for base in frame.engine.classes.mro(cls):
        found = [
            each.cls
            for holder in (base, f"{base}.Meta")
            for each in frame.get("attribute", holder, "model")
            if isinstance(each, ClassOf)
        ]
        if found:
            return sorted({model for each in found for model in frame.engine.registry.concrete(each)})
    return []


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


def own_parameter(frame: Frame, cls: str, name: str) -> Value:
    """Guess that a method's ``items`` or ``target`` is of the model that its class names."""
    if name in _ROWS:
        return frozenset(Rows(each) for each in _named_models(frame, cls))
    return frozenset(Instance(each) for each in _named_models(frame, cls)) if name in _ROW else UNKNOWN


def _model(frame: Frame, name: str) -> str | None:
    if len(name) < 3:
        return None
    found = frame.engine.registry.by_short_name.get(name.replace("_", "").lower(), [])
    if len(found) > 1:
        label = frame.module.app
        found = [each for each in found if frame.engine.registry.models[each]._meta.app_label == label]
    return found[0] if len(found) == 1 else None
