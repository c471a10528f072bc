"""Forms and formsets of models: which model they save, with which fields, and what saving one writes."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from . import effects
from .engine import Frame
from .rows import constants
from .values import UNKNOWN, ClassOf, Instance, Rows, Value, many, union

if TYPE_CHECKING:
    from .calling import Arguments

_FORM = ("django.forms.models.BaseModelForm", "BaseModelForm", "ModelForm")
_FORMSET = ("django.forms.models.BaseModelFormSet", "BaseModelFormSet", "BaseInlineFormSet")


def is_form(frame: Frame, cls: str) -> bool:
    """True for the form of a model."""
    return frame.engine.classes.is_a(cls, *_FORM)


def is_formset(frame: Frame, cls: str) -> bool:
    """True for a set of forms of a model."""
    return frame.engine.classes.is_a(cls, *_FORMSET)


def models(frame: Frame, cls: str) -> list[str]:
    """Name the models that a form, a formset or a serializer saves."""
    found: list[str] = []
    for base in frame.engine.classes.mro(cls):
        if base.endswith("]"):
            found.append(base.rpartition("[")[2][:-1])
        for holder in (f"{base}.Meta", f"{base}._meta"):
            found += [
                each.cls for each in frame.get("attribute", holder, "model") if isinstance(each, ClassOf)
            ]
        if not found and is_formset(frame, cls):
            found += [each.cls for each in frame.get("attribute", base, "model") if isinstance(each, ClassOf)]
        if found:
            break
    if not found:
        found = frame.engine.loaded_models(cls)
    return sorted({model for each in found for model in frame.engine.registry.concrete(each)})


def attribute(frame: Frame, owner: Instance, name: str) -> Value:
    """Tell what an attribute of a form or formset is."""
    if is_formset(frame, owner.cls):
        one: Value = frozenset(Instance(each) for each in models(frame, owner.cls))
        if name == "instance":
            return UNKNOWN
        if name in {"new_objects", "deleted_objects", "changed_objects"}:
            return many(one)
        if name in {"forms", "initial_forms", "extra_forms", "deleted_forms"}:
            return many(
                frozenset(
                    Instance(f"django.forms.models.ModelForm[{each.cls}]")
                    for each in one
                    if isinstance(each, Instance)
                )
            )
        if name == "queryset":
            return frozenset(Rows(each.cls) for each in one if isinstance(each, Instance))
    elif is_form(frame, owner.cls) and name == "instance":
        return frozenset(Instance(each) for each in models(frame, owner.cls))
    return UNKNOWN


def save(
    frame: Frame, owner: Instance, passed: Arguments, node: ast.AST, *, after: str = "", how: str = "form"
) -> Value:
    """Follow ``form.save()`` to an override in the code, or to the model's row."""
    from . import calling

    override = frame.engine.classes.method(owner.cls, "save", after)
    if override:
        from .values import FunctionOf

        return calling.invoke(frame, FunctionOf(override, owner), passed, node)
    found = models(frame, owner.cls)
    commit = passed.named_nodes.get("commit") or (passed.nodes[0] if passed.nodes else None)
    writes = not (isinstance(commit, ast.Constant) and commit.value is False)
    formset = is_formset(frame, owner.cls)
    for model in found:
        if writes:
            effects.save(frame, node, model, ("insert", "update"), how, columns=None)
            if formset:
                frame.access(node, frame.engine.registry.table(model), "delete", how)
            else:
                save_links(frame, owner, model, node, how)
    one: Value = frozenset(Instance(each) for each in found)
    return many(one) if formset else one


def save_links(frame: Frame, owner: Instance, model: str, node: ast.AST, how: str = "form") -> None:
    """Note the many-to-many tables that a form saves with a model's row."""
    named = fields(frame, owner.cls)
    if named is None:
        return
    for field in frame.engine.registry.models[model]._meta.many_to_many:
        through = getattr(field, "remote_field", None) and field.remote_field.through
        if field.name in named and through is not None and through._meta.auto_created:
            for verb in ("insert", "delete"):
                frame.access(node, through._meta.db_table, verb, how)


def fields(frame: Frame, cls: str) -> set[str] | None:
    """Name a form's fields; None if neither the code nor the loaded class tells."""
    loaded = frame.engine.loaded_fields(cls)
    if loaded is not None:
        return loaded
    for base in frame.engine.classes.mro(cls):
        meta = frame.engine.sources.classes.get(f"{base}.Meta")
        for node in meta.node.body if meta else ():
            if isinstance(node, ast.Assign) and any(
                isinstance(each, ast.Name) and each.id == "fields" for each in node.targets
            ):
                named = constants(node.value)
                return None if named is None else set(named)
    return None


def field_value(frame: Frame, cls: str, name: str) -> Value:
    """Tell what ``cleaned_data[name]`` is: a relation's target, or a row of the field's queryset."""
    registry = frame.engine.registry
    found = [registry.attribute(model, name) for model in models(frame, cls)]
    chosen = [frame.get("attribute", base, name) for base in frame.engine.classes.mro(cls)]
    plain = [
        frozenset({Instance(each.model)}) if isinstance(each, Rows) else frozenset({each})
        for value in found
        for each in value
    ]
    return union([*plain, *chosen])
