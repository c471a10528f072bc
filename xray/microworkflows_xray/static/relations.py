"""Read the models and their relations from Django's registry of apps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from microworkflows_xray.facts import Model, Relation
from microworkflows_xray.static.where import Where

Kind = Literal["foreign key", "one to one", "many to many", "generic", "inheritance"]


def find(where: Where) -> tuple[tuple[Model, ...], tuple[Relation, ...]]:
    """Describe each model that has a table of its own, and each field by which one refers to another."""
    from django.apps import apps

    kinds = [kind for kind in apps.get_models(include_auto_created=True) if not kind._meta.proxy]
    return tuple(_model(where, kind) for kind in kinds), tuple(
        relation for kind in kinds for relation in _relations(where, kind)
    )


def _model(where: Where, kind: Any) -> Model:
    meta = kind._meta
    columns = sorted(field.column for field in meta.local_concrete_fields if field.column)
    return Model(
        meta.label, meta.db_table, meta.app_label, tuple(columns), _written(where, kind), meta.managed
    )


def _written(where: Where, kind: Any) -> Any:
    """Give the place of a model; that of the field which asks for it if Django made it by itself."""
    if not kind._meta.auto_created:
        return where.of(kind)
    owner = kind._meta.auto_created
    through = (
        field.name
        for field in owner._meta.local_many_to_many
        if getattr(field.remote_field, "through", None) is kind
    )
    return where.of_field(owner, next(through, ""))


def _relations(where: Where, kind: Any) -> Iterator[Relation]:
    meta = kind._meta
    for field in meta.local_fields:
        if field.remote_field is not None:
            yield _relation(
                where,
                kind,
                field,
                _kind(field),
                bool(getattr(field, "db_constraint", False)) and meta.managed,
            )
    for field in meta.local_many_to_many:
        yield _relation(
            where, kind, field, "many to many", bool(getattr(field.remote_field, "db_constraint", False))
        )
    for field in meta.private_fields:
        if field.model is kind and (hasattr(field, "ct_field") or hasattr(field, "object_id_field_name")):
            yield _relation(where, kind, field, "generic", False)


def _relation(where: Where, kind: Any, field: Any, what: Kind, constraint: bool) -> Relation:
    place = _written(where, kind) if kind._meta.auto_created else where.of_field(kind, field.name)
    return Relation(
        kind._meta.label, field.name, _target(field), what, _on_delete(field, what), constraint, place
    )


def _kind(field: Any) -> Kind:
    if getattr(field.remote_field, "parent_link", False):
        return "inheritance"
    return "one to one" if field.one_to_one else "foreign key"


def _target(field: Any) -> str:
    """Name the model referred to, a proxy by the model behind it; as the code writes it if that model did not import."""
    if hasattr(field, "ct_field"):
        return "*"
    target = field.remote_field.model
    return target if isinstance(target, str) else target._meta.concrete_model._meta.label


def _on_delete(field: Any, what: Kind) -> str:
    if what == "generic":
        return "" if hasattr(field, "ct_field") else "CASCADE"
    action = getattr(field.remote_field, "on_delete", None)
    if action is None:
        return ""
    name = getattr(action, "__name__", "") or getattr(action, "name", "") or str(action)
    return "SET" if name == "set_on_delete" else name
