"""The fixpoint: read each function until nothing new is learnt about parameters, attributes and results.

What one function teaches another is kept under keys: a function's parameter or result, a class's attribute, a name at a module's level.
A function that asked for a key is read again when the key's value grows. Values only grow, and are bounded, so this comes to an end.
"""

from __future__ import annotations

import ast
import sys
import traceback
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from microworkflows_xray.facts import Access, Call, Gap, Place, Verb

from . import live
from .classes import Classes
from .inherited import Inherited
from .names import Names
from .registry import Registry, name_of
from .sources import Function, Module, Sources
from .values import LIMIT, UNKNOWN, Type, Value, plain

Key = tuple[str, str, str]
"""Kind (``parameter``, ``result``, ``attribute``, ``global``, ``closure``), owner, and name."""

_SHARED = 60
"""What functions tell each other is unknown if it may be more things than this."""
_READINGS = 12
"""A function is not read more often than this; what changes later is lost, which has not been seen to matter."""


@dataclass
class Found:
    """What reading one function gave."""

    accesses: list[Access] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


@dataclass(eq=False)
class Frame:
    """One function, or a module's level, while it is read."""

    engine: Engine
    module: Module
    unit: str
    function: Function | None = None
    cls: str = ""
    """Class whose body or method is read."""
    this: Value = UNKNOWN
    """What ``self`` or ``cls`` is."""
    env: dict[str, Value] = field(default_factory=dict)
    assigned: dict[str, set[str]] = field(default_factory=dict)
    """Attributes that were assigned to a variable's object."""
    chained: set[int] = field(default_factory=set)
    """Calls whose result goes straight into another query method, so that they run no query of their own."""
    how: str = "call"
    """How functions are called here: ``on_commit`` inside its argument."""

    def get(self, kind: str, owner: str, name: str = "") -> Value:
        """Ask for what is known under a key, now and when it grows."""
        return self.engine.get((kind, owner, name), self.unit)

    def join(self, kind: str, owner: str, name: str, value: Value) -> None:
        """Tell what was learnt."""
        if kind in {"parameter", "result"}:
            value = plain(value)
        if value:
            self.engine.join((kind, owner, name), value)

    def place(self, node: ast.AST) -> Place:
        return self.engine.sources.place(self.module, node)

    def access(
        self,
        node: ast.AST,
        table: str,
        verb: Verb,
        how: str,
        columns: tuple[str, ...] | None = None,
        *,
        joins: tuple[str, ...] = (),
    ) -> None:
        """Note that the code reads or writes a table here."""
        place = self.place(node)
        others = tuple(sorted({join for join in joins if join != table}))
        self.engine.found[self.unit].accesses.append(Access(table, verb, columns, how, place, others))

    def call(self, node: ast.AST, callee: str, how: str = "") -> None:
        """Note that one function calls another."""
        place = self.place(node)
        kind = how or self.how
        self.engine.found[self.unit].calls.append(
            Call(place.function or self.module.name, callee, place, kind)  # type: ignore[arg-type]  # one of its kinds
        )


class Engine:
    """Everything that is learnt about a project's code."""

    def __init__(self, sources: Sources, registry: Registry, names: Names) -> None:
        self.sources = sources
        self.registry = registry
        self.names = names
        self.classes = Classes(names)
        self.inherited = Inherited(sources)
        self.found: dict[str, Found] = {}
        self.receivers: dict[str, set[tuple[str, str]]] = {}
        """Receivers by signal: function, and the model's class it is limited to, or nothing."""
        self.decorated: dict[str, set[str]] = {}
        """Functions that a decorator of the project's is applied to, by the decorator."""
        self.closures: dict[str, dict[str, Value]] = {}
        """Variables of the function around a nested one."""
        self.gaps: list[Gap] = []
        self._values: dict[Key, Value] = {}
        self._full: set[Key] = set()
        self._readers: dict[Key, set[str]] = {}
        self._waiting: dict[str, None] = {}
        self._readings: Counter[str] = Counter()

    def get(self, key: Key, unit: str) -> Value:
        self._readers.setdefault(key, set()).add(unit)
        return self._values.get(key, UNKNOWN)

    def peek(self, kind: str, owner: str, name: str = "") -> Value:
        """Give what is known under a key, without asking to be told more."""
        return self._values.get((kind, owner, name), UNKNOWN)

    def join(self, key: Key, value: Value) -> None:
        if key in self._full:
            return
        before = self._values.get(key, UNKNOWN)
        after = before | value
        if after == before:
            return
        if len(after) > _SHARED:
            self._full.add(key)
            after = UNKNOWN
        self._values[key] = after
        for unit in sorted(self._readers.get(key, ())):
            self._waiting[unit] = None

    def close_over(self, function: str, env: dict[str, Value]) -> None:
        """Give a nested function the variables of the one around it."""
        before = self.closures.get(function, {})
        after = {name: before.get(name, UNKNOWN) | value for name, value in env.items() if value}
        if any(len(value) > len(before.get(name, UNKNOWN)) for name, value in after.items()):
            self.closures[function] = {**before, **after}
            if function in self.sources.functions:
                self._waiting[function] = None

    def run(self) -> None:
        """Read everything until nothing new is learnt."""
        from . import reading

        for name in sorted(self.sources.modules):
            self._waiting[f"module {name}"] = None
        for name in sorted(self.sources.functions):
            self._waiting[name] = None
        while self._waiting:
            unit = next(iter(self._waiting))
            del self._waiting[unit]
            self._readings[unit] += 1
            if self._readings[unit] > _READINGS:
                continue
            self.found[unit] = Found()
            try:
                if unit.startswith("module "):
                    reading.read_module(self, self.sources.modules[unit.removeprefix("module ")])
                else:
                    reading.read_function(self, self.sources.functions[unit])
            except Exception as error:  # odd code of one function must not cost the rest
                self._gap(unit, error)

    def _gap(self, unit: str, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
        function = self.sources.functions.get(unit)
        module = function.module if function else self.sources.modules[unit.removeprefix("module ")]
        place = self.sources.place(module, function.node if function else module.tree)
        gap = Gap(f"Reads and writes in {unit} may be missing.", why, place)
        if gap not in self.gaps:
            self.gaps.append(gap)

    @cached_property
    def admin_models(self) -> dict[str, set[str]]:
        """Names of the models that loaded admin classes are registered for."""
        module = sys.modules.get("django.contrib.admin.sites")
        found: dict[str, set[str]] = {}
        for site in getattr(module, "all_sites", ()):
            for model, admin in site._registry.items():  # noqa: SLF001  (it has no public name)
                found.setdefault(name_of(type(admin)), set()).add(name_of(model))
        return found

    def loaded_models(self, cls: str) -> list[str]:
        """Name the model of a loaded form, formset or serializer class."""
        loaded = live.find(cls)
        for holder in (getattr(loaded, "_meta", None), getattr(loaded, "Meta", None), loaded):
            model = getattr(holder, "model", None)
            if model is not None and live.is_class(model):
                return [name_of(model)]
        return []

    def loaded_fields(self, cls: str) -> set[str] | None:
        """Name the fields of a loaded form class."""
        fields = getattr(live.find(cls), "base_fields", None)
        return set(fields) if isinstance(fields, dict) else None

    def instances(self, cls: str, *, open_: bool = True) -> Value:
        """Give what an object annotated or known as of a class may be: of an abstract model, its concrete ones."""
        from .values import Instance

        if self.registry.get(cls) is None:
            concrete = self.registry.concrete(cls)
            if concrete:
                types: list[Type] = [Instance(each) for each in concrete]
                return frozenset(types) if len(types) <= LIMIT else UNKNOWN
        return frozenset({Instance(cls, open_)})
