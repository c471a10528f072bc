"""What a name in a module stands for: definitions, imports, loaders' results, and, where those do not tell, the loaded module."""

from __future__ import annotations

import ast
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import live
from .registry import Registry, name_of
from .sources import Module, Sources
from .spelling import imported, last
from .values import UNKNOWN, ClassOf, FunctionOf, Instance, Items, Many, Outside, Rows, Text, Value, union

if TYPE_CHECKING:
    from .loaders import Loaders


@dataclass
class _Bindings:
    """Names that a module binds at its level, also inside ``if`` and ``try``."""

    values: dict[str, list[tuple[ast.expr, int | None]]] = field(default_factory=dict)
    imports: dict[str, list[str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)


class Names:
    """Resolve names and dotted names."""

    loaders: Loaders

    def __init__(self, sources: Sources, registry: Registry) -> None:
        self.sources = sources
        self.registry = registry
        self._bindings: dict[str, _Bindings] = {}
        self._known: dict[tuple[str, str], Value] = {}
        self._open: set[tuple[str, str]] = set()

    def resolve(self, module: Module, name: str) -> Value:
        """Tell what a name at a module's level is."""
        key = (module.name, name)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            return UNKNOWN
        self._open.add(key)
        try:
            found = self._resolve(module, name)
        finally:
            self._open.discard(key)
        self._known[key] = found
        return found

    def lookup(self, dotted: str) -> Value:
        """Tell what a dotted name such as ``shop.orders.models.Order`` is."""
        if dotted in self.sources.classes:
            return frozenset({ClassOf(dotted)})
        if dotted in self.sources.functions:
            return frozenset({FunctionOf(dotted)})
        if dotted in self.sources.modules:
            return frozenset({Outside(dotted)})
        holder, _, name = dotted.rpartition(".")
        if holder in self.sources.modules:
            found = self.resolve(self.sources.modules[holder], name)
            if found:
                return found
        elif holder:
            for each in self.lookup(holder) if "." in holder else ():
                if isinstance(each, ClassOf) and f"{each.cls}.{name}" != dotted:
                    return self.lookup(f"{each.cls}.{name}")
        loaded = live.find(dotted)
        return (self.of_object(loaded) if loaded is not None else UNKNOWN) or frozenset({Outside(dotted)})

    def of_object(self, thing: Any) -> Value:
        """Tell what a loaded object is."""
        kind = type(thing)
        if live.is_class(thing):
            return frozenset({ClassOf(name_of(thing))})
        if kind is types.ModuleType:
            return frozenset({Outside(thing.__name__)})
        if kind is types.FunctionType:
            name = f"{thing.__module__}.{thing.__qualname__}".replace(".<locals>", "")
            return frozenset({FunctionOf(name) if name in self.sources.functions else Outside(name)})
        if kind is str:
            return frozenset({Text(thing)})
        if hasattr(kind, "_queryset_class") and getattr(thing, "model", None) is not None:
            return frozenset({Rows(name_of(thing.model), self.registry.manager_class(thing))})
        if name_of(kind) in self.sources.classes:
            return frozenset({Instance(name_of(kind))})
        if kind.__module__ == "django.conf":
            return frozenset({Outside("django.conf.settings")})
        return UNKNOWN

    def expression(self, module: Module, node: ast.expr) -> Value:
        """Evaluate an expression at a module's level: names, attributes, strings, tuples, and calls of loaders."""
        if isinstance(node, ast.Name):
            return self.resolve(module, node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return frozenset({Text(node.value)})
        if isinstance(node, (ast.Tuple, ast.List)):
            return frozenset({Items(tuple(self.expression(module, each) for each in node.elts))})
        if isinstance(node, ast.Attribute):
            return union(self.attribute(each, node.attr) for each in self.expression(module, node.value))
        if isinstance(node, ast.Subscript):
            return self.expression(module, node.value)  # Generic[T], List[T]: the class itself
        if isinstance(node, ast.Call):
            arguments = [self.expression(module, each) for each in node.args]
            return self.loaders.call(last(node.func), arguments)
        return UNKNOWN

    def attribute(self, owner: Any, name: str) -> Value:
        """Give an attribute of a module or class by its dotted name."""
        if isinstance(owner, Outside):
            if owner.name == "django.conf.settings":
                return self.loaders.setting(name)
            return self.lookup(f"{owner.name}.{name}")
        if isinstance(owner, ClassOf) and f"{owner.cls}.{name}" in self.sources.classes:
            return frozenset({ClassOf(f"{owner.cls}.{name}")})
        return UNKNOWN

    def _resolve(self, module: Module, name: str) -> Value:
        dotted = f"{module.name}.{name}"
        found: list[Value] = []
        if dotted in self.sources.classes:
            found.append(frozenset({ClassOf(dotted)}))
        if dotted in self.sources.functions:
            found.append(frozenset({FunctionOf(dotted)}))
        bindings = self._bound(module)
        found += [self.lookup(target) for target in bindings.imports.get(name, ())]
        for value, index in bindings.values.get(name, ()):
            if is_signal(value):
                return frozenset({Outside(dotted)})
            found.append(_part(self.expression(module, value), index))
        if not any(found):
            for star in bindings.stars:
                if star in self.sources.modules and star != module.name:
                    found.append(self.resolve(self.sources.modules[star], name))
        if any(found):
            known = [value for value in found if not all(isinstance(each, Outside) for each in value)]
            return union(known or found)
        loaded = live.find(dotted)
        if loaded is not None:
            return self.of_object(loaded)
        if dotted in self.sources.modules:
            return frozenset({Outside(dotted)})
        return UNKNOWN

    def _bound(self, module: Module) -> _Bindings:
        if module.name not in self._bindings:
            bindings = _Bindings()
            _bind(module, module.tree.body, bindings)
            self._bindings[module.name] = bindings
        return self._bindings[module.name]


def is_signal(node: ast.expr) -> bool:
    """True for the call that makes a signal, which is known by the name it is given."""
    return isinstance(node, ast.Call) and last(node.func).endswith("Signal")


def _bind(module: Module, body: list[ast.stmt], bindings: _Bindings) -> None:
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, dotted in imported(module, node):
                if name == "*":
                    bindings.stars.append(dotted)
                else:
                    bindings.imports.setdefault(name, []).append(dotted)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                _bind_target(target, node.value, bindings)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            _bind_target(node.target, node.value, bindings)
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            for block in ("body", "orelse", "finalbody"):
                _bind(module, getattr(node, block, []), bindings)
            for handler in getattr(node, "handlers", ()):
                _bind(module, handler.body, bindings)


def _bind_target(target: ast.expr, value: ast.expr, bindings: _Bindings) -> None:
    if isinstance(target, ast.Name):
        bindings.values.setdefault(target.id, []).append((value, None))
    elif isinstance(target, (ast.Tuple, ast.List)):
        for index, each in enumerate(target.elts):
            if isinstance(each, ast.Name):
                bindings.values.setdefault(each.id, []).append((value, index))


def _part(value: Value, index: int | None) -> Value:
    if index is None:
        return value
    found: list[Value] = []
    for each in value:
        if isinstance(each, Items) and index < len(each.items):
            found.append(each.items[index])
        elif isinstance(each, Many):
            found.append(each.item)
    return union(found)
