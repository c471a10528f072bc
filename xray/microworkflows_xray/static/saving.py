"""Methods of a model's instances: ``save``, ``delete``, ``refresh_from_db``, and those that a library's base class defines."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from microworkflows_xray.facts import Verb

from . import effects, live
from .engine import Frame
from .rows import constants
from .values import UNKNOWN, ClassOf, Instance, Method, Value

if TYPE_CHECKING:
    from .calling import Arguments

_LIBRARY: tuple[tuple[tuple[str, ...], tuple[Verb, ...]], ...] = (
    (("add_", "create", "insert", "save"), ("insert", "update")),
    (("move", "update", "set_", "mark", "publish", "unpublish", "transition"), ("update",)),
    (("delete", "remove"), ("delete",)),
)


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what an instance's method gives; None for what is no model's."""
    owner = method.owner
    if isinstance(owner, ClassOf):
        return _through_class(frame, owner, method, passed, node)
    if not isinstance(owner, Instance) or frame.engine.registry.get(owner.cls) is None:
        return None
    name = (
        method.name.removeprefix("a")
        if method.name in {"asave", "adelete", "arefresh_from_db"}
        else method.name
    )
    if name in {"save", "save_base"}:
        after = method.after or ("" if name == "save" else owner.cls)
        effects.save(
            frame,
            node,
            owner.cls,
            _verbs(owner, method, passed),
            "save",
            columns=_columns(frame, owner, passed, node),
            after=after,
        )
    elif name == "delete":
        effects.delete(frame, node, owner.cls, "delete", after=method.after)
    elif name == "refresh_from_db":
        named = constants(passed.named_nodes.get("fields"))
        columns = [frame.engine.registry.column(owner.cls, each) for each in named or ()]
        frame.access(
            node,
            frame.engine.registry.table(owner.cls),
            "read",
            "query",
            tuple(sorted(each[1] for each in columns if each)) or None,
        )
    else:
        return _library(frame, owner, name, node)
    return UNKNOWN


def _verbs(owner: Instance, method: Method, passed: Arguments) -> tuple[Verb, ...]:
    if "update_fields" in passed.named_nodes or "force_update" in passed.named_nodes:
        return ("update",)
    if owner.new or "force_insert" in passed.named_nodes:
        return ("insert",)
    return ("insert", "update") if method.after else ("update",)


def _columns(frame: Frame, owner: Instance, passed: Arguments, node: ast.Call) -> list[str] | None:
    if "update_fields" in passed.named_nodes:
        return constants(passed.named_nodes["update_fields"])
    if (
        owner.new
        or passed.spread
        or not isinstance(node.func, ast.Attribute)
        or not isinstance(node.func.value, (ast.Name, ast.Attribute))
    ):
        return None
    return sorted(frame.assigned.get(ast.unparse(node.func.value), ())) or None


def _through_class(
    frame: Frame, owner: ClassOf, method: Method, passed: Arguments, node: ast.Call
) -> Value | None:
    """``models.Model.save(self)``, and a library's class methods such as ``Category.add_root(…)``."""
    first = passed.positional[0] if passed.positional else UNKNOWN
    if method.name in {"save", "delete"}:
        for each in first:
            if isinstance(each, Instance) and frame.engine.registry.get(each.cls):
                if method.name == "save":
                    effects.save(frame, node, each.cls, ("insert", "update"), "save", after=owner.cls)
                else:
                    effects.delete(frame, node, each.cls, "delete", after=owner.cls)
        return UNKNOWN
    found = None
    for cls in frame.engine.registry.concrete(owner.cls):
        found = _library(frame, Instance(cls), method.name, node)
    return found


def _library(frame: Frame, owner: Instance, name: str, node: ast.Call) -> Value | None:
    """Judge a method that a library's base class defines by its name."""
    if name.startswith("_") or not _from_library(frame, owner.cls, name):
        return None
    for beginnings, verbs in _LIBRARY:
        if name.startswith(beginnings):
            if verbs == ("delete",):
                effects.delete(frame, node, owner.cls, "library")
            else:
                effects.save(frame, node, owner.cls, verbs, "library")
                # A tree moves its other rows by SQL.
                effects.write(frame, node, owner.cls, ("update",), how="library")
            return frozenset({Instance(owner.cls)})
    if name.startswith("get_"):
        frame.access(node, frame.engine.registry.table(owner.cls), "read", "library")
    return None


def _from_library(frame: Frame, cls: str, name: str) -> bool:
    """True if a package other than Django defines the method."""
    model = frame.engine.registry.get(cls)
    for base in model.__mro__ if model else ():
        if name in vars(base):
            function = getattr(vars(base)[name], "__func__", vars(base)[name])
            module = str(getattr(function, "__module__", "") or "")
            return (
                bool(module)
                and module.partition(".")[0] != "django"
                and not live.is_class(function)
                and hasattr(function, "__code__")
            )
    return False
