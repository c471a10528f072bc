"""Serializers and views of Django REST framework: what they save and delete."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from . import effects, forms, queries, views
from .engine import Frame
from .values import UNKNOWN, FunctionOf, Instance, Many, Method, Rows, Value

if TYPE_CHECKING:
    from .calling import Arguments

_SERIALIZER = ("rest_framework.serializers.BaseSerializer", "BaseSerializer", "ModelSerializer", "Serializer")
_ACTIONS = {"create": ("perform_create",), "update": ("perform_update",), "partial_update": ("perform_update",), "destroy": ("perform_destroy",),
            "post": ("perform_create",), "put": ("perform_update",), "patch": ("perform_update",), "delete": ("perform_destroy",)}  # fmt: skip
_MIXINS = {
    "perform_create": "CreateModelMixin",
    "perform_update": "UpdateModelMixin",
    "perform_destroy": "DestroyModelMixin",
}


def is_serializer(frame: Frame, cls: str) -> bool:
    """True for a serializer, of a model or not."""
    return frame.engine.classes.is_a(cls, *_SERIALIZER)


def attribute(frame: Frame, owner: Instance, name: str) -> Value:
    """Tell what a serializer's attribute is."""
    if name == "instance" and is_serializer(frame, owner.cls):
        return frozenset(Instance(each) for each in forms.models(frame, owner.cls))
    return UNKNOWN


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what a method of a serializer or of an API view gives, and what it saves."""
    owner, name = method.owner, method.name
    if not isinstance(owner, Instance):
        return None
    if is_serializer(frame, owner.cls):
        if name == "save":
            return save(frame, owner, method.after, node)
        if name in {"create", "update"}:
            return _write(frame, owner, name, node)
        return None
    if not frame.engine.classes.is_a(owner.cls, "GenericAPIView", "APIView", *_MIXINS.values()):
        return None
    if name in _MIXINS:
        given = passed.positional[0] if passed.positional else UNKNOWN
        _perform(frame, owner, name, given, node)
        return UNKNOWN
    if name in _ACTIONS:
        for action in _ACTIONS[name]:
            _act(frame, owner, action, node)
        return UNKNOWN
    if name == "filter_queryset":
        return passed.positional[0] if passed.positional else UNKNOWN
    return None


def save(frame: Frame, owner: Instance, after: str, node: ast.AST) -> Value:
    """Follow ``serializer.save()`` to the code's ``create`` and ``update``, or to the model's row."""
    from . import calling

    override = frame.engine.classes.method(owner.cls, "save", after)
    if override:
        return calling.invoke(frame, FunctionOf(override, owner), calling.Arguments(), node)
    found: set[object] = set()
    for name in ("create", "update"):
        function = frame.engine.classes.method(owner.cls, name)
        if function:
            found |= calling.invoke(frame, FunctionOf(function, owner), calling.Arguments(), node)
        else:
            found |= _write(frame, owner, name, node)
    return frozenset(found)  # type: ignore[arg-type]  # types all


def by_itself(frame: Frame, cls: str, node: ast.ClassDef) -> None:
    """Note what an API view whose class says nothing about it saves or deletes."""
    classes = frame.engine.classes
    if not classes.is_a(cls, "GenericAPIView"):
        return
    owner = Instance(cls)
    handled = {
        "perform_create": ("create", "post"),
        "perform_update": ("update", "put", "patch"),
        "perform_destroy": ("destroy", "delete"),
    }
    for action, mixin in _MIXINS.items():
        if classes.is_a(cls, mixin) and not any(
            classes.method(cls, each) for each in (action, *handled[action])
        ):
            _perform(frame, owner, action, UNKNOWN, node)
    if not classes.method(cls, "get_queryset"):
        for each in views.rows(frame, cls):
            if isinstance(each, Rows):
                queries.read(frame, node, each, "generic view")


def _act(frame: Frame, owner: Instance, action: str, node: ast.AST) -> None:
    function = frame.engine.classes.method(owner.cls, action)
    if function:
        frame.call(node, function)
    elif frame.engine.classes.is_a(owner.cls, _MIXINS[action]):
        _perform(frame, owner, action, UNKNOWN, node)


def _perform(frame: Frame, owner: Instance, action: str, given: Value, node: ast.AST) -> None:
    if action == "perform_destroy":
        for each in given:
            if isinstance(each, Instance) and frame.engine.registry.get(each.cls):
                effects.delete(frame, node, each.cls, "generic view")
        if not given:
            views.delete(frame, owner, node)
        return
    for each in given or views.form(frame, owner.cls):
        kind = next(iter(each.item), None) if isinstance(each, Many) else each
        if isinstance(kind, Instance):
            save(frame, kind, "", node)


def _write(frame: Frame, owner: Instance, name: str, node: ast.AST) -> Value:
    if not frame.engine.classes.is_a(
        owner.cls, "ModelSerializer", "rest_framework.serializers.ModelSerializer"
    ):
        return UNKNOWN
    found = forms.models(frame, owner.cls)
    for model in found:
        effects.save(frame, node, model, ("insert",) if name == "create" else ("update",), "serializer")
    return frozenset(Instance(each) for each in found)
