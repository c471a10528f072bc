"""Classes: in which order they inherit, who inherits from them, and where a member is defined."""

from __future__ import annotations

import ast
from functools import cached_property

from . import live
from .names import Names
from .registry import name_of
from .sources import Function
from .values import ClassOf, Outside


class Classes:
    """The hierarchy of all classes in the code, and of those outside that they inherit from."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._mro: dict[str, tuple[str, ...]] = {}
        self._methods: dict[str, tuple[str, ...]] = {}
        self._overrides: dict[tuple[str, str], tuple[str, ...]] = {}
        self._strings: dict[str, frozenset[str]] = {}

    def mro(self, cls: str) -> tuple[str, ...]:
        """Names of a class and its bases in the order in which Python looks for members; from the loaded class where there is one."""
        if cls not in self._mro:
            self._mro[cls] = (cls,)  # ends a cycle in broken code
            self._mro[cls] = self._find(cls)
        return self._mro[cls]

    def is_a(self, cls: str, *bases: str) -> bool:
        """True if a class inherits from one of ``bases``, given by dotted name or by class name alone."""
        return not self._all_names(cls).isdisjoint(bases)

    def subclasses(self, cls: str) -> tuple[str, ...]:
        """Name the classes in the code that inherit from a class."""
        return self._subclasses.get(cls, ())

    def method(self, cls: str, name: str, after: str = "") -> str | None:
        """Name the function that defines a method for a class; ``after`` starts behind that class, as ``super()`` does."""
        order = self.mro(cls)
        if after:
            order = order[order.index(after) + 1 :] if after in order else self.mro(after)[1:]
        for base in order:
            if f"{base}.{name}" in self.names.sources.functions:
                return f"{base}.{name}"
            if base in self.names.sources.classes and name in self._assigned(base):
                return None
        return None

    def methods(self, cls: str) -> tuple[str, ...]:
        """Name the methods of a class that the code defines, inherited ones included."""
        if cls not in self._methods:
            found = {each.node.name for base in self.mro(cls) for each in self.defined(base)}
            self._methods[cls] = tuple(sorted(found))
        return self._methods[cls]

    def defined(self, cls: str) -> list[Function]:
        """Give the methods that a class itself defines."""
        return self._defined.get(cls, [])

    def strings(self, cls: str) -> frozenset[str]:
        """Give the strings that stand in a class or in one that it inherits from."""
        return frozenset().union(*map(self._strings_in, self.mro(cls)))

    def overrides(self, cls: str, name: str) -> tuple[str, ...]:
        """Name the functions that define a method for subclasses: their own, or those of mixins that come before the class."""
        key = (cls, name)
        if key not in self._overrides:
            found = {self.method(each, name) for each in self.subclasses(cls)} - {
                None,
                self.method(cls, name),
            }
            self._overrides[key] = tuple(sorted(each for each in found if each))
        return self._overrides[key]

    @cached_property
    def _subclasses(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for cls in sorted(self.names.sources.classes):
            for base in self.mro(cls)[1:]:
                found.setdefault(base, []).append(cls)
        return {base: tuple(classes) for base, classes in found.items()}

    @cached_property
    def _defined(self) -> dict[str, list[Function]]:
        found: dict[str, list[Function]] = {}
        for function in self.names.sources.functions.values():
            if function.cls:
                found.setdefault(function.cls, []).append(function)
        return found

    def _strings_in(self, cls: str) -> frozenset[str]:
        if cls not in self._strings:
            definition = self.names.sources.classes.get(cls)
            self._strings[cls] = frozenset(
                node.value
                for node in (ast.walk(definition.node) if definition else ())
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            )
        return self._strings[cls]

    def _all_names(self, cls: str) -> frozenset[str]:
        order = self.mro(cls)
        return frozenset((*order, *(each.rpartition(".")[2] for each in order)))

    def _assigned(self, cls: str) -> frozenset[str]:
        body = self.names.sources.classes[cls].node.body
        return frozenset(
            target.id
            for node in body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        )

    def _find(self, cls: str) -> tuple[str, ...]:
        if cls in self.names.registry.managers:
            return (cls, *(each for each in self.names.registry.managers[cls] if each != cls))
        if cls.endswith("]"):  # a form class that a factory made for the model in brackets
            return (cls, *self.mro(cls.partition("[")[0]))
        loaded = live.find(cls)
        if loaded is not None and live.is_class(loaded) and name_of(loaded) == cls:
            return tuple(name_of(base) for base in loaded.__mro__)
        model = self.names.registry.get(cls)
        if model is not None:
            return tuple(name_of(base) for base in model.__mro__)
        definition = self.names.sources.classes.get(cls)
        if definition is None:
            return (cls,)
        orders: list[list[str]] = []
        direct: list[str] = []
        for node in definition.node.bases:
            for base in self.names.expression(definition.module, node):
                if isinstance(base, (ClassOf, Outside)):
                    name = base.cls if isinstance(base, ClassOf) else base.name
                    direct.append(name)
                    orders.append(list(self.mro(name)))
        return (cls, *_merge([*orders, direct]))


def _merge(orders: list[list[str]]) -> list[str]:
    """Linearise as Python does (C3); what has no consistent order is taken as it comes."""
    merged: list[str] = []
    orders = [order[:] for order in orders if order]
    while orders:
        for order in orders:
            head = order[0]
            if not any(head in other[1:] for other in orders):
                break
        else:
            head = orders[0][0]
        merged.append(head)
        orders = [[each for each in order if each != head] for order in orders]
        orders = [order for order in orders if order]
    return merged
