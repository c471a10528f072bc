"""Signals: who receives what, and which receivers a sending place, a save or a deletion calls."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .engine import Frame
from .values import UNKNOWN, ClassOf, FunctionOf, Instance, Method, Outside, Text, Value

if TYPE_CHECKING:
    from .calling import Arguments

_SENDING = frozenset({"send", "send_robust", "asend", "asend_robust"})


def receive(frame: Frame, function: str, passed: Arguments) -> None:
    """Take in ``@receiver(signal, sender=Model)``."""
    for signal in _signals(passed.get(0, "signal")):
        _register(frame, signal, function, passed.named.get("sender", UNKNOWN))


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Take in ``signal.connect(function, sender=Model)``, and follow ``signal.send(…)`` to its receivers."""
    signal = method.owner
    if not isinstance(signal, Outside):
        return None
    return outside(frame, signal.name, method.name, passed, node)


def outside(frame: Frame, signal: str, name: str, passed: Arguments, node: ast.Call) -> Value | None:
    """As :func:`call`, by the signal's dotted name."""
    if name == "connect":
        for each in passed.get(0, "receiver"):
            if isinstance(each, FunctionOf):
                _register(frame, signal, each.name, passed.named.get("sender", UNKNOWN))
        return UNKNOWN
    if name in _SENDING:
        engine = frame.engine
        frame.get("receivers", signal)
        for function, _ in sorted(engine.receivers.get(signal, ())):
            if function in engine.sources.functions:
                frame.call(node, function, "signal")
                for argument, value in passed.named.items():
                    frame.join("parameter", function, argument, value)
        return UNKNOWN
    return None


def of_model(frame: Frame, node: ast.AST, cls: str, names: tuple[str, ...]) -> None:
    """Note which receivers a save or deletion of a model calls."""
    for name in names:
        signal = f"django.db.models.signals.{name}"
        frame.get("receivers", signal)
        for function, sender in sorted(frame.engine.receivers.get(signal, ())):
            if not sender or sender in (cls, *frame.engine.registry.mro(cls)):
                frame.call(node, function, "signal")


def _register(frame: Frame, signal: str, function: str, senders: Value) -> None:
    engine = frame.engine
    known = [each.cls for each in senders if isinstance(each, ClassOf)] or [
        _by_label(frame, each.text) for each in senders if isinstance(each, Text)
    ]
    for sender in known or [""]:
        engine.receivers.setdefault(signal, set()).add((function, sender))
        if sender and signal.startswith("django.db.models.signals."):
            models = engine.registry.concrete(sender)
            frame.join("parameter", function, "instance", frozenset(Instance(each) for each in models))
            frame.join("parameter", function, "sender", frozenset(ClassOf(each) for each in models))
    frame.join("receivers", signal, "", frozenset({FunctionOf(function)}))


def _by_label(frame: Frame, text: str) -> str:
    label, _, name = text.partition(".")
    return frame.engine.registry.by_label(label, name) or ""


def _signals(value: Value) -> list[str]:
    from .values import Items, Many

    found = []
    for each in sorted(value, key=repr):
        if isinstance(each, Outside):
            found.append(each.name)
        elif isinstance(each, Items):
            found += [name for item in each.items for name in _signals(item)]
        elif isinstance(each, Many):
            found += _signals(each.item)
    return found
