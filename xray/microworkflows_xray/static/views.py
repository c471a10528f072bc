"""Class-based views of Django: their objects, their forms, and what they save or delete by themselves."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from . import effects, forms, queries, requests
from .engine import Frame
from .values import UNKNOWN, ClassOf, Instance, Many, Method, Rows, Value, item, many, union

if TYPE_CHECKING:
    from .calling import Arguments

_VALID = frozenset({"form_valid", "formset_valid", "forms_valid", "all_valid"})
_VIEW = ("django.views.generic.base.View", "View", "rest_framework.views.APIView", "ContextMixin")


def is_view(frame: Frame, cls: str) -> bool:
    """True for a class-based view, or a mixin of one."""
    return frame.engine.classes.is_a(cls, *_VIEW) or frame.engine.classes.is_a(
        cls, "SingleObjectMixin", "MultipleObjectMixin", "FormMixin"
    )


def members(frame: Frame, cls: str, name: str) -> Value:
    """Give a class attribute of a view, its bases, and its subclasses."""
    engine = frame.engine
    found = []
    for base in engine.classes.mro(cls):
        value = frame.get("attribute", base, name)
        if value:
            found.append(value)
            break
    if not found:
        found = [frame.get("attribute", each, name) for each in engine.classes.subclasses(cls)]
    return union(found)


def rows(frame: Frame, cls: str) -> Value:
    """Tell what a view's rows are: ``get_queryset()``, ``queryset``, ``model``, or those of its form or serializer."""
    method = frame.engine.classes.method(cls, "get_queryset")
    found: Value = (
        frozenset(each for each in frame.get("result", method) if isinstance(each, Rows))
        if method
        else UNKNOWN
    )
    found = found or frozenset(each for each in members(frame, cls, "queryset") if isinstance(each, Rows))
    if not found:
        models = [each.cls for each in members(frame, cls, "model") if isinstance(each, ClassOf)]
        if not models:
            models = [model for form in form_classes(frame, cls) for model in forms.models(frame, form)]
        found = frozenset(Rows(model) for each in models for model in frame.engine.registry.concrete(each))
    return found


def form_classes(frame: Frame, cls: str) -> list[str]:
    """Name the classes of a view's form, formset or serializer."""
    found: set[str] = set()
    for name in ("form_class", "formset_class", "serializer_class", "formset"):
        found |= {each.cls for each in members(frame, cls, name) if isinstance(each, ClassOf)}
    for name in ("get_form_class", "get_serializer_class"):
        method = frame.engine.classes.method(cls, name)
        if method:
            found |= {each.cls for each in frame.get("result", method) if isinstance(each, ClassOf)}
    return sorted(found)


def form(frame: Frame, cls: str) -> Value:
    """Tell what a view's form is."""
    classes = form_classes(frame, cls)
    if not classes:
        is_many = frame.engine.classes.is_a(
            cls, "ModelFormSetView", "ModelFormSetMixin", "BaseModelFormSetMixin"
        )
        base = "django.forms.models.BaseModelFormSet" if is_many else "django.forms.models.ModelForm"
        classes = [
            f"{base}[{each.cls}]" for each in members(frame, cls, "model") if isinstance(each, ClassOf)
        ]
        if not classes and frame.engine.classes.is_a(cls, "ModelFormMixin", "ModelFormSetMixin"):
            classes = [
                f"{base}[{each.model}]" for each in members(frame, cls, "queryset") if isinstance(each, Rows)
            ]
    return frozenset(Instance(each) for each in classes)


def attribute(frame: Frame, owner: Instance, name: str) -> Value:
    """Tell what a view's attribute is."""
    if name == "object":
        return union(
            [frozenset({Instance(each.model)}) for each in rows(frame, owner.cls) if isinstance(each, Rows)]
        )
    if name == "object_list":
        return rows(frame, owner.cls)
    if name == "user":
        from . import guesses

        return guesses.user(frame)
    return UNKNOWN


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what a method of Django's views gives, and what it saves."""
    owner, name = method.owner, method.name
    if not isinstance(owner, Instance) or not is_view(frame, owner.cls):
        return None
    if name in {"get_object", "get_queryset"}:
        return _fetched(frame, owner, name, node)
    if name in {"get_form", "get_formset", "construct_formset", "construct_form", "get_serializer"}:
        found = form(frame, owner.cls)
        return many(found) if passed.named_nodes.get("many") else found
    if name in {"get_form_class", "get_formset_class", "get_serializer_class"}:
        return frozenset(ClassOf(each.cls) for each in form(frame, owner.cls) if isinstance(each, Instance))
    if name in _VALID:
        for each in union(passed.positional) or form(frame, owner.cls):
            _save(frame, owner, each, node)
        return UNKNOWN
    if name in {"post", "put"}:
        return post(frame, owner, node)
    if name == "delete":
        delete(frame, owner, node)
        return UNKNOWN
    return None


def _fetched(frame: Frame, owner: Instance, name: str, node: ast.AST) -> Value:
    found = rows(frame, owner.cls)
    if name == "get_queryset":
        return found
    for each in found:
        if isinstance(each, Rows):
            queries.read(frame, node, each, "generic view")
    return item(found)


def dispatch(frame: Frame, owner: Instance, node: ast.AST) -> None:
    """Follow a request to a view's handlers, to those of the views that inherit from it, and to what Django does in their place."""
    for cls in (owner.cls, *(frame.engine.classes.subclasses(owner.cls) if owner.open else ())):
        for function in requests.answering(frame.engine, cls) if is_view(frame, cls) else ():
            if function != frame.unit:
                frame.call(node, function, "" if cls == frame.cls else "callback")


def post(frame: Frame, owner: Instance, node: ast.AST) -> Value:
    """Follow a posted form to the view's own ``form_valid``, or to what Django does in its place."""
    own = False
    for name in _VALID:
        method = frame.engine.classes.method(owner.cls, name)
        if method:
            frame.call(node, method)
            own = True
    if own:
        return UNKNOWN
    if frame.engine.classes.is_a(owner.cls, "DeletionMixin", "DeleteView", "BaseDeleteView"):
        delete(frame, owner, node)
    elif frame.engine.classes.is_a(owner.cls, "ModelFormMixin", "ModelFormSetMixin", "BaseModelFormSetMixin"):
        for each in form(frame, owner.cls):
            _save(frame, owner, each, node)
    return UNKNOWN


def delete(frame: Frame, owner: Instance, node: ast.AST) -> None:
    """Follow a view's deletion of its object."""
    for each in rows(frame, owner.cls):
        if isinstance(each, Rows):
            effects.delete(frame, node, each.model, "generic view")


def by_itself(frame: Frame, cls: str, node: ast.ClassDef) -> None:
    """Note what a view whose class says nothing about it reads, saves or deletes."""
    classes = frame.engine.classes
    owner = Instance(cls)
    if not classes.is_a(cls, "View") or cls.rpartition(".")[2].startswith("_"):
        return
    if not classes.method(cls, "post") and classes.is_a(
        cls, "ProcessFormView", "BaseDeleteView", "DeletionMixin", "ProcessFormSetView"
    ):
        post(frame, owner, node)
    if classes.is_a(
        cls, "BaseListView", "BaseDetailView", "BaseUpdateView", "BaseDeleteView"
    ) and not classes.method(cls, "get_queryset"):
        for each in rows(frame, cls):
            if isinstance(each, Rows):
                queries.read(frame, node, each, "generic view")


def _save(frame: Frame, owner: Instance, given: object, node: ast.AST) -> None:
    """Follow what ``form_valid`` does with a form."""
    from . import calling

    classes = frame.engine.classes
    if isinstance(given, Many):
        for each in given.item:
            _save(frame, owner, each, node)
        return
    if not isinstance(given, Instance):
        return
    if classes.is_a(owner.cls, "DeletionMixin") and not forms.is_formset(frame, given.cls):
        delete(frame, owner, node)
    elif classes.is_a(
        owner.cls,
        "ModelFormMixin",
        "ModelFormSetMixin",
        "BaseModelFormSetMixin",
        "InlineFormSetMixin",
        "FormSetMixin",
    ) and (
        forms.is_form(frame, given.cls)
        or forms.is_formset(frame, given.cls)
        or classes.method(given.cls, "save")
    ):
        forms.save(frame, given, calling.Arguments(), node, how="generic view")
