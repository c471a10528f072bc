"""What an annotation says: ``Order``, ``"Order"``, ``Order | None``, ``list[Order]``, ``QuerySet[Order]``, ``type[Order]``."""

from __future__ import annotations

import ast

from .engine import Frame
from .values import UNKNOWN, ClassOf, Items, Rows, Value, many, union

_COLLECTIONS = frozenset(
    {
        "list", "set", "frozenset", "tuple", "List", "Set", "FrozenSet", "Tuple", "Iterable", "Iterator", "Sequence", "Collection",
        "Generator", "AsyncIterator", "dict", "Dict", "Mapping", "defaultdict", "DefaultDict", "MutableMapping", "deque",
    }
)  # fmt: skip
_ROWS = frozenset({"QuerySet", "Manager", "BaseManager", "ValuesQuerySet", "RelatedManager", "QuerySetType"})
_WRAPPERS = frozenset(
    {
        "Optional",
        "Union",
        "Annotated",
        "Final",
        "ClassVar",
        "Required",
        "NotRequired",
        "Awaitable",
        "Coroutine",
    }
)


def value(frame: Frame, node: ast.expr | None) -> Value:
    """Tell what a thing with this annotation may be; unknown for plain data."""
    if node is None:
        return UNKNOWN
    if isinstance(node, ast.Constant):
        return _text(frame, node.value) if isinstance(node.value, str) else UNKNOWN
    if isinstance(node, ast.BinOp):
        return union([value(frame, node.left), value(frame, node.right)])
    if isinstance(node, ast.Subscript):
        return _subscript(frame, node)
    if not isinstance(node, (ast.Name, ast.Attribute)):
        return UNKNOWN
    kinds = frame.engine.names.expression(frame.module, node)
    return union([frame.engine.instances(each.cls) for each in kinds if isinstance(each, ClassOf)])


def _subscript(frame: Frame, node: ast.Subscript) -> Value:
    name = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    parts = [value(frame, each) for each in inside]
    if name in _WRAPPERS:
        return union(parts)
    if name in {"type", "Type"}:
        return frozenset(
            ClassOf(each.cls, open=True) for part in parts for each in part if hasattr(each, "cls")
        )
    if name in {"tuple", "Tuple"} and not any(
        isinstance(each, ast.Constant) and each.value is Ellipsis for each in inside
    ):
        return frozenset({Items(tuple(parts))}) if any(parts) else UNKNOWN
    if name in _COLLECTIONS:
        return many(union(parts))
    if name in _ROWS or name.endswith(("QuerySet", "Manager")):
        models = [each.cls for part in parts[:1] for each in part if hasattr(each, "cls")]
        return frozenset(Rows(model) for model in models if frame.engine.registry.get(model))
    return value(frame, node.value)


def _text(frame: Frame, text: str) -> Value:
    try:
        return value(frame, ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError):
        return UNKNOWN
