"""One door to the rules about forms, views, serializers and admin classes."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from . import admin_hooks, forms, serializers, views
from .engine import Frame
from .values import UNKNOWN, ClassOf, Instance, Method, Rows, Type, Value, union

if TYPE_CHECKING:
    from .calling import Arguments

is_admin = admin_hooks.is_admin
_ATTRIBUTES = frozenset({"object", "object_list", "user"})
_MIXED = 30
"""Classes that a mixin is followed into; the first ones by name stand for the rest."""


def form_of_view(frame: Frame, cls: str) -> Value:
    """Tell what form a view's hooks are passed."""
    return views.form(frame, cls) if views.is_view(frame, cls) else UNKNOWN


def serializer_of_view(frame: Frame, cls: str) -> Value:
    """Tell what serializer an API view's hooks are passed."""
    return views.form(frame, cls) if frame.engine.classes.is_a(cls, "GenericAPIView", "APIView") else UNKNOWN


def object_of(frame: Frame, cls: str, *, rows: bool = False) -> Value:
    """Tell what object the hooks of an admin class, a serializer or an API view are passed."""
    if admin_hooks.is_admin(frame, cls):
        models = admin_hooks.models(frame, cls)
        return (
            frozenset(Rows(each) for each in models) if rows else frozenset(Instance(each) for each in models)
        )
    if serializers.is_serializer(frame, cls):
        return frozenset(Instance(each) for each in forms.models(frame, cls))
    if frame.engine.classes.is_a(cls, "GenericAPIView", "SingleObjectMixin"):
        return frozenset(Instance(each.model) for each in views.rows(frame, cls) if isinstance(each, Rows))
    return UNKNOWN


def attribute(frame: Frame, owner: Instance, name: str) -> Value:
    """Tell what an attribute that a framework defines is."""
    found = union([forms.attribute(frame, owner, name), serializers.attribute(frame, owner, name)])
    if found or not _ATTRIBUTES.issuperset({name}):
        return found
    return union(
        views.attribute(frame, each, name) for each in _in_use(frame, owner) if views.is_view(frame, each.cls)
    )


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what a method that a framework defines gives; None for all others."""
    owner = method.owner
    if isinstance(owner, Instance):
        if method.name == "save" and (forms.is_form(frame, owner.cls) or forms.is_formset(frame, owner.cls)):
            return forms.save(frame, owner, passed, node, after=method.after)
        if method.name in {"save_m2m", "_save_m2m"} and forms.is_form(frame, owner.cls):
            for model in forms.models(frame, owner.cls):
                forms.save_links(frame, owner, model, node)
            return UNKNOWN
        if method.name == "dispatch":
            views.dispatch(frame, owner, node)
            return UNKNOWN
    results = []
    for each in _in_use(frame, owner):
        for rule in (serializers.call, admin_hooks.call, views.call):
            found = rule(frame, Method(each, method.name, method.after), passed, node)
            if found is not None:
                results.append(found)
                break
    return union(results) if results else None


def _in_use(frame: Frame, owner: Type) -> list[Instance]:
    """Give an object itself, or, of a mixin that is no view or form by itself, the classes that it is mixed into."""
    if not isinstance(owner, Instance):
        return [owner]  # type: ignore[list-item]  # the rules tell it apart
    classes = frame.engine.classes
    if not owner.open or classes.is_a(
        owner.cls, "View", "ModelAdmin", "BaseSerializer", "BaseForm", "Serializer", "APIView"
    ):
        return [owner]
    mixed = [
        each
        for each in classes.subclasses(owner.cls)
        if classes.is_a(each, "View", "APIView", "ModelAdmin", "BaseSerializer")
    ]
    return [Instance(each) for each in mixed[:_MIXED]] or [owner]


def meta(frame: Frame, owner: Type, name: str) -> Value:
    """Tell what ``_meta.name`` is: ``model`` of a model or form, or an option of a class that keeps its ``Meta``."""
    cls = getattr(owner, "cls", "")
    if not cls:
        return UNKNOWN
    if frame.engine.registry.get(cls) is not None:
        return frozenset({ClassOf(cls)}) if name in {"model", "concrete_model"} else UNKNOWN
    found = [
        frame.get("attribute", f"{base}.{inner}", name)
        for base in frame.engine.classes.mro(cls)
        for inner in ("Meta", "_meta")
    ]
    if not any(found) and getattr(owner, "open", False):
        found = [
            frame.get("attribute", f"{each}.Meta", name) for each in frame.engine.classes.subclasses(cls)
        ]
    return union(found)


def field_value(frame: Frame, owner: Type, name: str) -> Value:
    """Tell what cleaned or validated data hold under a name."""
    return forms.field_value(frame, owner.cls, name) if isinstance(owner, Instance) else UNKNOWN


def by_itself(frame: Frame, cls: str, node: ast.ClassDef) -> None:
    """Note what a class reads and writes through its framework, without a line of code that says so."""
    for rule in (views.by_itself, serializers.by_itself):
        rule(frame, cls, node)
