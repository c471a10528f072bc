"""Find who receives and who sends signals: the receivers that are connected, and what the code connects and sends."""

from __future__ import annotations

import ast
import sys
import weakref
from collections.abc import Iterator
from typing import Any

from microworkflows_xray.facts import Place, Signal
from microworkflows_xray.project import Project
from microworkflows_xray.static.sources import Module, Sources
from microworkflows_xray.static.spelling import dotted, keyword, last, nodes
from microworkflows_xray.static.where import Where

_SENDS = {"send", "send_robust", "asend", "asend_robust"}


def find(project: Project, sources: Sources, where: Where) -> list[Signal]:
    """Give the receivers in the code that was looked at, and the places in it that send."""
    known = _known()
    connected = [
        signal
        for signal in _connected(where, known)
        if project.origin_of(signal.place.app) in {"own", "fork"}
    ]
    seen = {(signal.signal, signal.function) for signal in connected}
    written = [signal for module in sources.modules.values() for signal in _written(module, sources, known)]
    return connected + [
        signal
        for signal in written
        if signal.role == "sender" or (signal.signal, signal.function) not in seen
    ]


def _known() -> dict[int, str]:
    """Name each signal object that some module holds, by its identity; by the module that is its most likely home."""
    from django.dispatch import Signal as DjangoSignal

    homes: dict[int, list[tuple[int, str]]] = {}
    for module_name, module in sorted(sys.modules.items()):
        for name, value in sorted(vars(module).items()) if hasattr(module, "__dict__") else ():
            if issubclass(type(value), DjangoSignal):
                strange = 0 if module_name.endswith("signals") else 1
                homes.setdefault(id(value), []).append((strange, f"{module_name}.{name}"))
    return {identity: min(names)[1] for identity, names in homes.items()}


def _objects(known: dict[int, str]) -> Iterator[tuple[str, Any]]:
    for name in sorted(known.values()):
        module, _, attribute = name.rpartition(".")
        yield name, vars(sys.modules[module])[attribute]


def _connected(where: Where, known: dict[int, str]) -> Iterator[Signal]:
    senders = _senders()
    for name, signal in _objects(known):
        for entry in list(signal.receivers):
            key, receiver = entry[0], entry[1]
            receiver = (
                receiver() if isinstance(receiver, (weakref.ReferenceType, weakref.WeakMethod)) else receiver
            )
            if receiver is not None:
                place = where.of(receiver)
                yield Signal(
                    name, "receiver", senders.get(key[1], ""), place.function or _called(receiver), place
                )


def _called(receiver: Any) -> str:
    kind = receiver if hasattr(receiver, "__qualname__") else type(receiver)
    return f"{kind.__module__}.{kind.__qualname__}".replace(".<locals>", "")


def _senders() -> dict[int, str]:
    """Name each model that a receiver may be limited to, by its identity."""
    from django.apps import apps

    return {id(model): model._meta.label for model in apps.get_models(include_auto_created=True)}


def _written(module: Module, sources: Sources, known: dict[int, str]) -> Iterator[Signal]:
    for node in nodes(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and last(decorator.func) == "receiver" and decorator.args:
                    yield from _receives(module, sources, known, decorator, node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            signal = _signal(module, sources, known, node.func.value, node)
            place = sources.place(module, node)
            if signal and node.func.attr in _SENDS:
                sender = keyword(node, "sender") or (node.args[0] if node.args else None)
                yield Signal(signal, "sender", _sender(module, place, sender), place.function, place)
            elif (
                signal
                and node.func.attr == "connect"
                and (receiver := node.args[0] if node.args else keyword(node, "receiver"))
            ):
                yield Signal(
                    signal,
                    "receiver",
                    _sender(module, place, keyword(node, "sender")),
                    _function(module, place, receiver),
                    place,
                )


def _receives(
    module: Module, sources: Sources, known: dict[int, str], decorator: ast.Call, node: Any
) -> Iterator[Signal]:
    first = decorator.args[0]
    place = sources.place(module, node)
    for part in first.elts if isinstance(first, (ast.List, ast.Tuple)) else [first]:
        signal = _signal(module, sources, known, part, decorator) or dotted(module, part)
        if signal:
            yield Signal(
                signal,
                "receiver",
                _sender(module, place, keyword(decorator, "sender")),
                place.function,
                place,
            )


def _signal(module: Module, sources: Sources, known: dict[int, str], node: ast.expr, around: ast.AST) -> str:
    """Name the signal that an expression means; empty if it means none."""
    from django.dispatch import Signal as DjangoSignal

    name = dotted(module, node)
    if name.startswith(("self.", "cls.")):
        function = sources.place(module, around).function
        name = f"{function.rpartition('.')[0]}.{name.partition('.')[2]}"
    found = _loaded(name)
    if found is not None:
        return known.get(id(found), name) if issubclass(type(found), DjangoSignal) else ""
    likely = name.rpartition(".")[0].endswith("signals") or name.rpartition(".")[2].endswith("_signal")
    return name if likely else ""


def _loaded(name: str) -> Any:
    """Give the object of a dotted name if its module is imported. Attributes are read from dictionaries, so that nothing runs."""
    holder, _, rest = name.rpartition(".")
    found: Any = sys.modules.get(holder)
    if found is not None:
        return vars(found).get(rest)
    owner = _loaded(holder) if holder else None
    if not isinstance(owner, type):
        return None
    return next((vars(kind)[rest] for kind in owner.__mro__ if rest in vars(kind)), None)


def _sender(module: Module, place: Place, node: ast.expr | None) -> str:
    """Name the model, by its label, or whatever else a signal is sent for; an instance by its class."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    name = dotted(module, node)
    if name in {"self", "cls", "self.__class__"} or _is_type_of_self(node):
        name = place.function.rpartition(".")[0]
    meta = getattr(_loaded(name), "_meta", None)
    return getattr(meta, "label", "") or name


def _is_type_of_self(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and last(node.func) == "type"
        and len(node.args) == 1
        and last(node.args[0]) == "self"
    )


def _function(module: Module, place: Place, receiver: ast.expr) -> str:
    name = dotted(module, receiver)
    if name.startswith("self."):
        return f"{place.function.rpartition('.')[0]}.{name.partition('.')[2]}"
    return name or place.function
