"""Django's admin classes: what their hooks save and delete."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from . import effects
from .engine import Frame
from .values import UNKNOWN, ClassOf, Instance, Method, Rows, Value, item

if TYPE_CHECKING:
    from .calling import Arguments

_ADMIN = ("django.contrib.admin.options.BaseModelAdmin", "ModelAdmin", "BaseModelAdmin", "InlineModelAdmin")


def is_admin(frame: Frame, cls: str) -> bool:
    """True for an admin class, an inline included."""
    return frame.engine.classes.is_a(cls, *_ADMIN)


def models(frame: Frame, cls: str) -> list[str]:
    """Name the models that an admin class, or its subclasses, are registered for."""
    found = {each.cls for each in frame.get("admin", cls) if isinstance(each, ClassOf)}
    for each in (cls, *frame.engine.classes.subclasses(cls)):
        found |= set(frame.engine.admin_models.get(each, ()))
        found |= {kind.cls for kind in frame.get("attribute", each, "model") if isinstance(kind, ClassOf)}
    return sorted(found)


def register(frame: Frame, cls: str, kinds: Value) -> None:
    """Take in ``@admin.register(Model)`` and ``site.register(Model, Admin)``."""
    flat = frozenset(kinds | item(kinds))
    frame.join("admin", cls, "", frozenset(each for each in flat if isinstance(each, ClassOf)))


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what an admin's method gives, and what it saves."""
    owner, name = method.owner, method.name
    if name == "register" and len(passed.positional) > 1:
        for each in passed.positional[1]:
            if isinstance(each, ClassOf) and is_admin(frame, each.cls):
                register(frame, each.cls, passed.positional[0])
        return UNKNOWN
    if not isinstance(owner, Instance) or not is_admin(frame, owner.cls):
        return None
    if name in _HOOKS:
        _HOOKS[name](frame, owner, passed, node)
        return UNKNOWN
    if name in {"get_queryset", "get_object"}:
        kind = Rows if name == "get_queryset" else Instance
        return frozenset(kind(each) for each in models(frame, owner.cls))
    return None


def _save(frame: Frame, owner: Instance, passed: Arguments, node: ast.Call) -> None:
    for model in _given(frame, owner, passed):
        effects.save(frame, node, model, ("insert", "update"), "admin")


def _delete(frame: Frame, owner: Instance, passed: Arguments, node: ast.Call) -> None:
    for model in _given(frame, owner, passed):
        effects.delete(frame, node, model, "admin")


def _delete_queryset(frame: Frame, owner: Instance, passed: Arguments, node: ast.Call) -> None:
    for model in models(frame, owner.cls):
        effects.delete(frame, node, model, "admin", one=False)


def _save_inlines(frame: Frame, owner: Instance, passed: Arguments, node: ast.Call) -> None:
    from . import forms

    for each in passed.get(2, "formset"):
        if isinstance(each, Instance):
            forms.save(frame, each, type(passed)(), node, how="admin")
    for inline in _inlines(frame, owner.cls):
        for model in models(frame, inline):
            effects.save(frame, node, model, ("insert", "update"), "admin")


_HOOKS = {
    "save_model": _save,
    "delete_model": _delete,
    "delete_queryset": _delete_queryset,
    "save_formset": _save_inlines,
    "save_related": _save_inlines,
}


def _given(frame: Frame, owner: Instance, passed: Arguments) -> list[str]:
    """Name the models of the object that a hook is passed, or else those of its admin."""
    given = {
        each.cls
        for each in passed.get(1, "obj")
        if isinstance(each, Instance) and frame.engine.registry.get(each.cls)
    }
    return sorted(given) or models(frame, owner.cls)


def _inlines(frame: Frame, cls: str) -> list[str]:
    for base in frame.engine.classes.mro(cls):
        value = frame.get("attribute", base, "inlines")
        if value:
            return sorted(each.cls for each in item(value) if isinstance(each, ClassOf))
    return []
