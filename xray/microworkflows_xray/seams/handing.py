"""What is handed over at a seam, read from the source: parameters, the fate of the result, and the fate of an error."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Literal

from microworkflows_xray.definitions import Definition, Definitions, Function
from microworkflows_xray.facts import Model, Static
from microworkflows_xray.seams import names
from microworkflows_xray.seams.records import Field

PLAIN = {"int", "str", "bool", "float", "bytes", "Decimal", "UUID", "date", "datetime", "time", "timedelta"}
"""Types that an event carries as they are."""
_NOT_HANDED = {"sender", "signal", "using", "raw", "update_fields", "created", "request"}


def parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    """Return the parent of each node below this one."""
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def calls_of(caller: Definition, name: str, line: int | None = None) -> list[ast.Call]:
    """Return the calls of a name in a function, those that touch a line if there are any."""
    found = [node for node in ast.walk(caller.node) if isinstance(node, ast.Call) and _called(node) == name]
    there = [node for node in found if line is not None and node.lineno <= line <= (node.end_lineno or line)]
    return there or found


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def result(
    caller: Definition | None, name: str, line: int | None = None
) -> Literal["unused", "used", "unknown"]:
    """Tell whether a caller goes on with what the called function returns."""
    calls = [] if caller is None else calls_of(caller, name, line)
    if caller is None:
        return "unknown"
    if not calls:  # a property is read without a call
        return (
            "used" if any(getattr(node, "attr", "") == name for node in ast.walk(caller.node)) else "unknown"
        )
    above = parents(caller.node)
    for call in calls:
        node = above.get(call)
        while isinstance(node, ast.Await):
            node = above.get(node)
        if not isinstance(node, ast.Expr):
            return "used"
    return "unused"


def is_caught(caller: Definition | None, name: str, line: int) -> bool:
    """Tell whether the caller survives whatever the called function raises."""
    calls = [] if caller is None else calls_of(caller, name, line)
    if caller is None or not calls:
        return False
    above = parents(caller.node)
    return all(any(_guards(block, call) for block in _around(call, above)) for call in calls)


def _around(node: ast.AST, above: dict[ast.AST, ast.AST]) -> Iterator[ast.Try]:
    while (node := above.get(node)) is not None:  # type: ignore[assignment]  # it ends at None
        if isinstance(node, ast.Try):
            yield node


def _guards(block: ast.Try, call: ast.Call) -> bool:
    if not any(call in ast.walk(statement) for statement in block.body):
        return False
    for handler in block.handlers:
        broad = handler.type is None or ast.unparse(handler.type) in {"Exception", "BaseException"}
        if broad and not any(isinstance(node, ast.Raise) for node in ast.walk(handler)):
            return True
    return False


def is_repeated(caller: Definition | None, name: str, line: int) -> bool:
    """Tell whether the call stands in a loop of the caller, so that each thing it goes over is handed over by itself."""
    calls = [] if caller is None else calls_of(caller, name, line)
    loops = (
        []
        if caller is None
        else [node for node in ast.walk(caller.node) if isinstance(node, (ast.For, ast.While, ast.AsyncFor))]
    )
    return bool(calls) and all(any(call in ast.walk(loop) for loop in loops) for call in calls)


def raised(consumer: Definition | None) -> tuple[str, ...]:
    """Return the names of the errors that a function's own code raises."""
    nodes = () if consumer is None else ast.walk(consumer.node)
    errors = (node.exc for node in nodes if isinstance(node, ast.Raise) and node.exc is not None)
    return tuple(
        sorted({ast.unparse(error.func if isinstance(error, ast.Call) else error) for error in errors})
    )


class Payload:
    """Finds the fields of an event for the parameters of a function."""

    def __init__(self, static: Static, definitions: Definitions) -> None:
        self._models = static.models
        self._definitions = definitions

    def of(
        self, function: Definition | None, apps: tuple[str, ...], *, row: bool, signal_model: str = ""
    ) -> tuple[Field, ...]:
        """Return one field for each value that the function takes.

        Args:
            function: The function that is handed over to; None if its source was not found.
            apps: Labels of the apps in which a parameter's model is looked for first, in this order.
            row: True if ``self`` is a row of the function's own class, and so is handed over too.
            signal_model: Label of the model that a model signal's ``instance`` is of.
        """
        if function is None or not isinstance(function.node, Function):
            return ()
        found = []
        taken = function.node.args
        plain = [*taken.posonlyargs, *taken.args]
        first_default = len(plain) - len(taken.defaults)
        if function.owner and plain and plain[0].arg in {"self", "cls"}:
            if row and (model := self._of_class(function)):
                found.append(self._row("self", [model], required=True, keyword=False))
            plain, first_default = plain[1:], first_default - 1
        for position, argument in enumerate(plain):
            found.append(self._field(argument, apps, position < first_default, False, signal_model))
        for argument, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True):
            found.append(self._field(argument, apps, default is None, True, signal_model))
        return tuple(field for field in found if field.parameter not in _NOT_HANDED)

    def _field(
        self, argument: ast.arg, apps: tuple[str, ...], required: bool, keyword: bool, signal_model: str
    ) -> Field:
        hint = "" if argument.annotation is None else ast.unparse(argument.annotation).strip("'\"")
        bare = hint.replace("| None", "").replace("Optional[", "").strip("] ").rpartition(".")[2]
        if bare in PLAIN:
            optional = "" if bare == hint.rpartition(".")[2] else " | None"
            return Field(argument.arg, bare + optional, argument.arg, required=required, keyword=keyword)
        if argument.arg == "instance" and signal_model:
            models = [model for model in self._models if model.label == signal_model]
        else:
            models = self._named(bare or names.camel(argument.arg), apps)
        if models:
            return self._row(argument.arg, models, required=required, keyword=keyword)
        type_ = "int" if argument.arg.endswith("_id") or argument.arg in {"quantity", "pk", "id"} else ""
        return Field(argument.arg, type_, argument.arg, required=required, keyword=keyword)

    def _named(self, name: str, apps: tuple[str, ...]) -> list[Model]:
        """Return the models of that name, those of the apps named first first."""
        wanted = name.casefold()
        found = [model for model in self._models if model.label.rpartition(".")[2].casefold() == wanted]
        rank = {app: number for number, app in enumerate(apps)}
        return sorted(found, key=lambda model: (rank.get(model.app, len(rank)), model.label))

    def _of_class(self, method: Definition) -> Model | None:
        owner = method.owner.rpartition(".")[2]
        app = self._definitions.app_of(method.module)
        label = "" if app is None else app.label
        named = {
            owner,
            owner.removeprefix("Abstract"),
            owner.removesuffix("Base"),
            owner.removeprefix("Base"),
        }
        return next(
            (
                model
                for model in self._models
                if model.app == label and model.label.rpartition(".")[2] in named
            ),
            None,
        )

    def _row(self, parameter: str, models: list[Model], *, required: bool, keyword: bool) -> Field:
        model = models[0]
        stem = names.snake(model.label.rpartition(".")[2]) if parameter in {"self", "instance"} else parameter
        others = tuple(other.label for other in models[1:])
        return Field(f"{stem}_id", _key_type(model), parameter, model.label, others, required, keyword)


def _key_type(model: Model) -> str:
    """Return the type of a model's key; that of Django's default, unless the looked-at project is what runs here."""
    from django.apps import apps

    try:
        running = apps.get_model(model.label) if apps.models_ready else None
    except LookupError:
        running = None
    if running is None or f"{running.__module__}.{running.__qualname__}" != model.place.function:
        return "int"
    key = running._meta.pk
    kind = "" if key is None else key.get_internal_type()
    return {"UUIDField": "UUID", "CharField": "str", "SlugField": "str", "TextField": "str"}.get(kind, "int")
