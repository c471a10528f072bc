"""Finding seams: calls, along a workflow, that lead from one context's code into another's."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from microworkflows_xray.definitions import Definition, Definitions, Function
from microworkflows_xray.facts import WRITES, Access, Call, Observed, Place, Signal, Static
from microworkflows_xray.seams import handing, names, workflows
from microworkflows_xray.seams.records import Field, How, Seam, Written

if TYPE_CHECKING:
    from microworkflows_xray.contexts import Contexts


class NoSuchSeamError(Exception):
    """No seam has this id; the text says how to list them."""


def find(
    static: Static,
    contexts: Contexts,
    *,
    workflow: str = "",
    observed: Observed | None = None,
    root: Path | None = None,
) -> tuple[Seam, ...]:
    """Return the seams of a workflow, sorted by place.

    :func:`.workflows.entries` says how to name it, and :class:`.Definitions` which root is the default.

    Raises:
        UnknownWorkflowError: nothing has that name.
    """
    return _Finder(static, contexts, root).along(workflows.entries(static, workflow, observed))


def pick(seams: Iterable[Seam], wanted: str) -> Seam:
    """Return the seam with an id, or with the only id that begins so.

    Raises:
        NoSuchSeamError: there is none, or more than one.
    """
    exact = [seam for seam in seams if wanted and seam.id.startswith(wanted)]
    exact = [seam for seam in exact if seam.id == wanted] or exact
    if len(exact) != 1:
        which = (
            f"These begin so: {', '.join(seam.id for seam in exact)}." if exact else "`xray seams` lists all."
        )
        raise NoSuchSeamError(f"{'More than one' if exact else 'No'} seam has the id {wanted}. {which}")
    return exact[0]


class _Finder:
    def __init__(self, static: Static, contexts: Contexts, root: Path | None) -> None:
        self._contexts = contexts
        self._definitions = Definitions(static, root)
        self._payload = handing.Payload(static, self._definitions)
        self._columns = {model.table: model for model in static.models}
        self._models = {model.label: model for model in static.models}
        calls = {call for call in static.calls if call.how != "callback"} | {*_sent(static.signals)}
        self._outgoing = _grouped(calls, by="caller")
        self._places = {access.place.function: access.place for access in static.accesses}
        self._places |= {call.place.function: call.place for call in calls}
        self._accesses: dict[str, list[Access]] = defaultdict(list)
        self._users: dict[str, set[str]] = defaultdict(set)
        for access in static.accesses:
            self._accesses[access.place.function].append(access)
            for table in (access.table, *access.joins):
                self._users[table].add(contexts.of_place(access.place))
        self._signals = {(each.function, each.role): each for each in static.signals}

    def along(self, entries: Iterable[str]) -> tuple[Seam, ...]:
        """Return the seams among what these functions reach."""
        crossings: dict[tuple[str, str, str], Call] = {}
        for function in sorted(self._reach(entries)):
            for call in self._outgoing.get(function, ()):
                if self._crosses(call):
                    key = (call.how, call.caller, call.callee)
                    crossings[key] = min(call, crossings.get(key, call))
        return tuple(sorted(map(self._seam, crossings.values()), key=lambda seam: (seam.place, seam.id)))

    def _reach(self, entries: Iterable[str]) -> set[str]:
        seen = set(entries)
        waiting = list(seen)
        while waiting:
            for call in self._outgoing.get(waiting.pop(), ()):
                if call.callee not in seen:
                    seen.add(call.callee)
                    waiting.append(call.callee)
        return seen

    def _crosses(self, call: Call) -> bool:
        here, there = self._context(call.caller), self._context(call.callee)
        return here != there and not {here, there} & {"", self._contexts.SHARED}

    def _context(self, function: str) -> str:
        if (place := self._places.get(function)) is None:
            app = self._definitions.app_of(function)
            place = Place("", 0, function, "" if app is None else app.label)
        return self._contexts.of_place(place)

    def _seam(self, call: Call) -> Seam:
        caller, consumer = self._definitions.of(call.caller), self._definitions.of(call.callee)
        how, replaces = self._variant(call, caller)
        replaced = self._definitions.of(replaces)
        apps = tuple(
            app.label for name in (call.caller, call.callee) if (app := self._definitions.app_of(name))
        )
        signal = self._signal(call) if how == "signal" else ("", "")
        payload = self._payload.of(replaced, apps, row=how == "call", signal_model=signal[1])
        reach = self._reach([call.callee])
        fate = handing.result(caller, call.callee.rpartition(".")[2], call.place.line)
        if replaces == call.caller and caller is not None and fate == "unused":
            around = self._definitions.of(f"{caller.module}.{caller.owner}")
            fate = handing.result(around, replaces.rpartition(".")[2])
        return Seam(
            id=names.identity(how, call.caller, call.callee),
            event=self._event(call, caller, replaced if how == "template method" else None, payload),
            outcome=names.event(consumer.name if consumer else call.callee.rpartition(".")[2]),
            how=how,
            emitter=call.caller,
            emitter_context=self._context(call.caller),
            consumer=call.callee,
            consumer_context=self._context(call.callee),
            place=call.place,
            replaces=replaces,
            payload=payload,
            reads=self._reads(reach, self._context(call.caller), consumer, payload),
            result="unused" if how in {"signal", "task", "on_commit"} else fate,
            can_fail=self._can_fail(call, caller, how),
            raises=handing.raised(consumer),
            writes=self._writes(reach, self._context(call.callee)),
            signal=signal[0],
        )

    def _variant(self, call: Call, caller: Definition | None) -> tuple[How, str]:
        """Return how the seam can be opened, and the function for which the event takes over."""
        assert call.how != "callback"  # left out from the beginning
        if call.how == "call" and caller is not None and self._is_hook(caller):
            return "template method", call.caller
        return call.how, call.callee

    def _is_hook(self, caller: Definition) -> bool:
        """Tell whether installed code, which nobody edits, calls this method of its own, so that a subclass can override it."""
        around = self._definitions.of(f"{caller.module}.{caller.owner}") if caller.owner else None
        if around is None or self._definitions.is_editable(caller):
            return False
        name = caller.name.rpartition(".")[2]
        own_calls = (ast.unparse(call.func) for call in handing.calls_of(around, name))
        return not name.startswith("__") and f"self.{name}" in own_calls

    def _event(
        self, call: Call, caller: Definition | None, hook: Definition | None, payload: tuple[Field, ...]
    ) -> str:
        """Propose the event's name, after the method that the class is called by rather than after its helper."""
        if caller is None:
            return names.event(call.caller.rpartition(".")[2])
        name, about = caller.name, ""
        around = self._definitions.of(f"{caller.module}.{caller.owner}") if caller.owner else None
        if around is not None and (outer := _calling_method(around, caller)):
            name = f"{caller.owner}.{outer}"
        if hook is not None or handing.is_repeated(caller, call.callee.rpartition(".")[2], call.place.line):
            about = next((field.parameter for field in payload if field.parameter != "self"), "")
        return names.event(name, about=about)

    def _signal(self, call: Call) -> tuple[str, str]:
        receiver = self._signals.get((call.callee, "receiver"))
        return ("", "") if receiver is None else (receiver.signal, receiver.sender)

    def _can_fail(self, call: Call, caller: Definition | None, how: How) -> bool:
        if how in {"task", "on_commit"}:
            return False
        if how == "signal":
            return not handing.is_caught(caller, "send_robust", call.place.line) and not (
                caller is not None and handing.calls_of(caller, "send_robust", call.place.line)
            )
        return not handing.is_caught(caller, call.callee.rpartition(".")[2], call.place.line)

    def _reads(
        self, reach: set[str], context: str, consumer: Definition | None, payload: Iterable[Field]
    ) -> tuple[str, ...]:
        found = set()
        for access in (each for function in reach for each in self._accesses.get(function, ())):
            if access.verb == "read" and self._contexts.of_table(access.table) == context:
                found |= {f"{access.table}.{column}" for column in access.columns or ("*",)}
        for field in payload:
            model = self._models.get(field.model)
            if model is not None and consumer is not None and self._contexts.of_table(model.table) == context:
                used = _attributes(consumer, field.parameter)
                found |= {
                    f"{model.table}.{each}"
                    for each in model.columns
                    if {each, each.removesuffix("_id")} & used
                }
        return tuple(sorted(found))

    def _writes(self, reach: set[str], context: str) -> tuple[Written, ...]:
        tables = {
            access.table
            for function in reach
            for access in self._accesses.get(function, ())
            if access.verb in WRITES
        }
        others = {"", self._contexts.SHARED, context}
        return tuple(Written(table, tuple(sorted(self._users[table] - others))) for table in sorted(tables))


def _sent(signals: Iterable[Signal]) -> Iterator[Call]:
    """Yield a call of each receiver by each place that sends its signal."""
    receivers = defaultdict(list)
    for signal in signals:
        if signal.role == "receiver":
            receivers[signal.signal].append(signal)
    for sender in (signal for signal in signals if signal.role == "sender"):
        for receiver in receivers[sender.signal]:
            if not receiver.sender or not sender.sender or receiver.sender == sender.sender:
                yield Call(sender.function, receiver.function, sender.place, "signal")


def _grouped(calls: Iterable[Call], *, by: str) -> Mapping[str, list[Call]]:
    groups: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        groups[getattr(call, by)].append(call)
    return groups


def _calling_method(around: Definition, method: Definition) -> str:
    """Return the first method of the class that calls this one, and that no other calls in turn; empty if none does."""
    if not isinstance(around.node, ast.ClassDef):
        return ""
    name, seen = method.name.rpartition(".")[2], set[str]()
    while name not in seen:
        seen.add(name)
        for other in around.node.body:
            if isinstance(other, Function) and other.name not in seen and _calls_self(other, name):
                name = other.name
                break
    return "" if name == method.name.rpartition(".")[2] else name


def _calls_self(function: ast.AST, name: str) -> bool:
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func) == f"self.{name}" for call in calls)


def _attributes(function: Definition, parameter: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(function.node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == parameter
    }
