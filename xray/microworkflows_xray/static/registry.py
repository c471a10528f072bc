"""The app registry's help: models by class name, what their attributes are, and what a deletion takes along."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.apps import apps as django_apps
from django.apps.registry import Apps
from django.db import models
from django.db.models import signals

from microworkflows_xray.facts import Verb

from .values import Instance, Rows, Type, Value

ModelClass = type[models.Model]

_GENERAL = frozenset({"abc", "builtins", "typing"})
"""Modules of bases that say nothing about a model."""


@dataclass(frozen=True)
class Cascade:
    """Rows that Python changes because others are deleted."""

    table: str
    verb: Verb
    columns: tuple[str, ...] | None
    certain: bool = True
    """True if the statement runs in any case; False if it runs only where rows are found."""


class Registry:
    """All models that are installed."""

    def __init__(self, apps: Apps = django_apps) -> None:
        self.apps = apps
        self.models: dict[str, ModelClass] = {}
        for model in apps.get_models(include_auto_created=True, include_swapped=True):
            self.models[name_of(model)] = model
        self.managers: dict[str, tuple[str, ...]] = {}
        """Names of the classes in which a manager's methods are defined, by the name of the manager's class."""
        self._attributes: dict[tuple[str, str], Value] = {}
        self._cascades: dict[str, tuple[Cascade, ...]] = {}

    @cached_property
    def by_short_name(self) -> dict[str, list[str]]:
        """Class names by what a variable may be called: ``order_line`` and ``orderline`` for ``OrderLine``."""
        found: dict[str, list[str]] = {}
        for name, model in self.models.items():
            if not model._meta.auto_created and not model._meta.proxy:
                found.setdefault(model.__name__.lower(), []).append(name)
        return found

    @cached_property
    def _concrete(self) -> dict[str, list[str]]:
        """Names of installed models by each class that they inherit from, mixins that are no models themselves among them."""
        found: dict[str, list[str]] = {}
        for name, model in sorted(self.models.items()):
            for base in model.__mro__:
                if base not in (model, models.Model) and base.__module__ not in _GENERAL:
                    found.setdefault(name_of(base), []).append(name)
        return found

    def concrete(self, cls: str) -> list[str]:
        """Name the models that a model class or an abstract one stands for: itself if it has a table, else its subclasses."""
        if cls in self.models:
            return [cls]
        return self._concrete.get(cls, [])

    def subclasses(self, cls: str) -> list[str]:
        """Name the installed models that inherit from a class."""
        return self._concrete.get(cls, [])

    def get(self, cls: str) -> ModelClass | None:
        return self.models.get(cls)

    def by_label(self, app_label: str, name: str) -> str | None:
        """Name the class of a model, by app label and model name in any case."""
        try:
            return name_of(self.apps.get_model(app_label, name, require_ready=False))
        except (LookupError, ValueError):
            return None

    def mro(self, cls: str) -> list[str]:
        """Names of a model's class and all its bases."""
        model = self.models.get(cls)
        return [name_of(base) for base in model.__mro__] if model else []

    def tables(self, cls: str) -> tuple[str, ...]:
        """Tables that a row of a model spans: its own, and those of its parents."""
        model = self.models.get(cls)
        if model is None:
            return ()
        concrete = model._meta.concrete_model or model
        parents = [parent._meta.concrete_model or parent for parent in concrete._meta.get_parent_list()]
        return tuple(dict.fromkeys([concrete._meta.db_table, *(parent._meta.db_table for parent in parents)]))

    def table(self, cls: str) -> str:
        model = self.models[cls]
        return str((model._meta.concrete_model or model)._meta.db_table)

    def history(self, cls: str) -> str:
        """Name the table to which django-simple-history copies each version of a model's rows; empty if it keeps none."""
        model = self.models.get(cls)
        manager = getattr(
            model, getattr(getattr(model, "_meta", None), "simple_history_manager_attribute", "-"), None
        )
        kept = getattr(manager, "model", None)
        return str(kept._meta.db_table) if kept is not None else ""

    def has(self, cls: str, names: Iterable[str]) -> bool:
        """True if a model has all these fields, or other attributes that its constructor takes."""
        model = self.models.get(cls)
        return model is not None and all(
            self._field(cls, name) is not None or hasattr(model, name) for name in names
        )

    def key(self, table: str) -> str:
        """Name a table's primary key; empty if no model has the table."""
        return self._keys.get(table, "")

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {model._meta.db_table: str(model._meta.pk.column) for model in self.models.values()}

    def column(self, cls: str, name: str) -> tuple[str, str] | None:
        """Table and column of a field, by field or attribute name; ``pk`` as well."""
        field = self._field(cls, name)
        if field is None or not getattr(field, "concrete", False) or not field.column:
            return None
        return field.model._meta.db_table, field.column

    def attribute(self, cls: str, name: str) -> Value:
        """Tell what an instance's attribute is, if it is a relation, a reverse accessor or a manager."""
        key = (cls, name)
        if key not in self._attributes:
            self._attributes[key] = frozenset(self._attribute(cls, name))
        return self._attributes[key]

    def manager(self, cls: str, name: str) -> Rows | None:
        """Tell what a class's manager is."""
        model = self.models.get(cls)
        if model is None:
            return None
        if name in {"_default_manager", "_base_manager"}:
            manager: Any = model._default_manager
        else:
            manager = next((each for each in model._meta.managers if each.name == name), None)
        return None if manager is None else Rows(cls, self.manager_class(manager))

    def follow(self, cls: str, lookup: str) -> tuple[list[tuple[str, str]], tuple[str, str] | None]:
        """Follow a lookup such as ``order__lines__price__gt``.

        Returns:
            The tables joined, each with the column that is read of it, or nothing for whole rows; and the column of the model's own
            table that is read.
        """
        joined: list[tuple[str, str]] = []
        own: tuple[str, str] | None = None
        current: str | None = cls
        for part in lookup.split("__"):
            field = self._field(current, part) if current is not None else None
            if field is None or current is None:
                break
            column = self.column(current, part)
            if joined and column is not None and joined[-1][0] == column[0]:
                joined[-1] = column
            elif column is not None and own is None:
                own = column
            target: Any = getattr(field, "related_model", None)
            if target is None or isinstance(target, str):
                break
            if field.many_to_many:
                through = getattr(field, "through", None) or field.remote_field.through
                joined.append((through._meta.db_table, through._meta.pk.column))
            joined.append((target._meta.db_table, ""))
            current = name_of(target)
        return joined, own

    def cascades(self, cls: str) -> tuple[Cascade, ...]:
        """Tell what Django deletes or changes when a row of this model is deleted, apart from its own tables."""
        if cls not in self._cascades:
            model = self.models.get(cls)
            found: set[Cascade] = set()
            if model is not None:
                _collect(model, found, set())
            own = set(self.tables(cls))
            self._cascades[cls] = tuple(
                sorted(
                    (each for each in found if each.table not in own),
                    key=lambda each: (each.table, each.verb, each.columns or ()),
                )
            )
        return self._cascades[cls]

    def manager_class(self, manager: Any) -> str:
        """Dotted name of a manager's class; empty for Django's own."""
        cls = type(manager)
        if cls is models.Manager or cls.__name__ == "Manager":
            return ""
        name = name_of(cls)
        queryset = getattr(cls, "_queryset_class", models.QuerySet)
        self.managers[name] = tuple(
            dict.fromkeys(name_of(base) for base in (*cls.__mro__, *queryset.__mro__))
        )
        return name

    def models_managed_by(self, cls: str) -> list[str]:
        """Name the models that have a manager of this class, or one that takes its methods from this queryset's class."""
        return self._managed.get(cls, [])

    @cached_property
    def _managed(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, model in sorted(self.models.items()):
            for manager in model._meta.managers:
                for base in self.managers.get(self.manager_class(manager), ()):
                    if name not in found.setdefault(base, []):
                        found[base].append(name)
        return found

    def _field(self, cls: str, name: str) -> Any:
        model = self.models.get(cls)
        if model is None:
            return None
        if name == "pk":
            return model._meta.pk
        for field in model._meta.get_fields(include_hidden=True):
            if field.name == name or getattr(field, "attname", None) == name:
                return field
        return None

    def _attribute(self, cls: str, name: str) -> Iterable[Type]:
        model = self.models.get(cls)
        if model is None:
            return
        for field in model._meta.get_fields(include_hidden=True):
            reverse = field.auto_created and not field.concrete
            accessor = (
                field.get_accessor_name() if reverse and hasattr(field, "get_accessor_name") else field.name
            )
            if accessor != name:
                continue
            target: Any = getattr(field, "related_model", None)
            if target is None or isinstance(target, str):
                continue
            if field.many_to_many:
                through: Any = getattr(field, "through", None) or getattr(field.remote_field, "through", None)
                yield Rows(
                    name_of(target),
                    self.manager_class(target._default_manager),
                    through._meta.db_table,
                    related=True,
                )
            elif field.one_to_many:
                yield Rows(name_of(target), self.manager_class(target._default_manager), related=True)
            else:
                yield Instance(name_of(target))


def name_of(cls: type) -> str:
    """Dotted name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}".replace(".<locals>", "")


def _collect(model: ModelClass, found: set[Cascade], seen: set[ModelClass], *, certain: bool = True) -> None:
    if model in seen:
        return
    seen.add(model)
    for parent in model._meta.get_parent_list():
        found.add(Cascade(parent._meta.db_table, "delete", None, certain))
    for relation in _incoming(model):
        action = getattr(relation, "on_delete", None)
        target = relation.related_model
        if action is models.CASCADE:
            found.add(Cascade(target._meta.db_table, "delete", None, certain and _is_leaf(target)))
            _collect(target, found, seen, certain=False)
        elif getattr(action, "__name__", "") in {"SET_NULL", "SET_DEFAULT", "set_on_delete", "SET"}:
            found.add(Cascade(target._meta.db_table, "update", (relation.field.column,), certain))
    for field in model._meta.private_fields:
        related: Any = getattr(field, "related_model", None)
        if hasattr(field, "bulk_related_objects") and related is not None and not isinstance(related, str):
            found.add(Cascade(related._meta.db_table, "delete", None, certain=False))
            _collect(related, found, seen, certain=False)


def _incoming(model: ModelClass) -> list[Any]:
    fields = model._meta.get_fields(include_hidden=True)
    return [
        field
        for field in fields
        if field.auto_created and not field.concrete and (field.one_to_one or field.one_to_many)
    ]


def _is_leaf(model: ModelClass) -> bool:
    """True if Django deletes this model's rows by one statement, without looking at them: nothing depends on them, and nobody listens."""
    listened = signals.pre_delete.has_listeners(model) or signals.post_delete.has_listeners(model)
    kept = all(getattr(relation, "on_delete", None) is models.DO_NOTHING for relation in _incoming(model))
    return kept and not listened and not model._meta.parents
