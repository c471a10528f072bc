"""Values of a payload on both sides: parameters and keys where the event is recorded, keys and rows where the old code runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from microworkflows_xray.definitions import Function
from microworkflows_xray.scaffold.planning import Plan
from microworkflows_xray.scaffold.spelling import Module, comment
from microworkflows_xray.seams.records import Field

_HOMES = {"Decimal": "decimal", "UUID": "uuid", "date": "datetime", "datetime": "datetime"}
_HOMES |= {"time": "datetime", "timedelta": "datetime"}
_SAMPLES = {"int": "1", "str": '"one"', "bool": "True", "float": "1.0", "bytes": 'b"one"'}


def variable(field: Field) -> str:
    """Return the name by which code holds the value that a field stands for."""
    return field.name.removesuffix("_id") if field.parameter == "self" else field.parameter


def type_of(field: Field, module: Module) -> str:
    """Return the type of a field of the event, and import what it needs."""
    bare = field.type.removesuffix(" | None") or "str"
    if bare in _HOMES:
        module.name(_HOMES[bare], bare)
    return bare if field.required and bare == (field.type or "str") else f"{bare} | None"


def declarations(plan: Plan, module: Module) -> Iterator[str]:
    """Yield the lines that declare the event's fields."""
    for field in plan.seam.payload:
        if field.choices:
            yield comment(
                f"TODO: is {field.parameter} a row of {field.model}, or of {' or '.join(field.choices)}? The code does not tell.",
                indent="    ",
            )
        elif not field.type:
            yield comment(
                f"TODO: which plain values of {field.parameter} do the listeners need?", indent="    "
            )
        default = "" if field.required else " = None"
        yield f"    {field.name}: {type_of(field, module)}{default}"


def parameters(plan: Plan, module: Module) -> list[str]:
    """Return the parameters of the code that records the event: those of the code that it replaces, typed."""
    node = plan.replaced.node
    defaults = dict(_defaults(node)) if isinstance(node, Function) else {}
    found, keywords = [], False
    for field in plan.seam.payload:
        if field.keyword and not keywords:
            found.append("*")
            keywords = True
        hint = plain_type(field, plan, module)
        default = defaults.get(field.parameter, "")
        if default == "None" and hint != "Any" and not hint.endswith("| None"):
            hint = f"{hint} | None"
        found.append(f"{variable(field)}: {hint}" + (f" = {default}" if default else ""))
    return found


def plain_type(field: Field, plan: Plan, module: Module) -> str:
    """Return the type of the value that a field stands for, before it becomes a field."""
    if field.model:
        return module.name(plan.home_of(field.model), field.model.rpartition(".")[2])
    if not field.type:
        return module.name("typing", "Any")
    bare = field.type.removesuffix(" | None")
    if bare in _HOMES:
        module.name(_HOMES[bare], bare)
    return field.type


def recorded(plan: Plan, *, of: str = "{}") -> list[str]:
    """Return the arguments that make the event of the parameters; ``of`` spells a parameter."""
    found = []
    for field in plan.seam.payload:
        value = of.format(variable(field))
        if field.model:
            value = f"{value}.pk" if field.required else f"{value}.pk if {value} else None"
        found.append(f"{field.name}={value}")
    return found


def restored(plan: Plan, module: Module) -> Iterator[tuple[Field, str]]:
    """Yield each field with the expression that makes the old parameter of the event."""
    for field in plan.seam.payload:
        value = f"event.{field.name}"
        if field.model:
            row = module.name(plan.home_of(field.model), field.model.rpartition(".")[2])
            got = f"{row}.objects.get(pk={value})"
            value = got if field.required else f"{got} if {value} else None"
        yield field, value


def sample(field: Field, plan: Plan, module: Module) -> str:
    """Return a value for a test, which is in no database."""
    bare = field.type.removesuffix(" | None") or "str"
    if field.model:
        key = _sample(bare, module)
        return f"{module.name(plan.home_of(field.model), field.model.rpartition('.')[2])}(pk={key})"
    return _sample(bare, module)


def _sample(bare: str, module: Module) -> str:
    if bare in _SAMPLES:
        return _SAMPLES[bare]
    made = {"UUID": "UUID(int=1)", "Decimal": "Decimal(1)", "timedelta": "timedelta(1)", "time": "time(1)"}
    module.name(_HOMES[bare], bare)
    return made.get(bare, f"{bare}(2000, 1, 1)")


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    taken = node.args
    plain = [*taken.posonlyargs, *taken.args]
    with_default = plain[len(plain) - len(taken.defaults) :]
    pairs = [
        *zip(with_default, taken.defaults, strict=True),
        *zip(taken.kwonlyargs, taken.kw_defaults, strict=True),
    ]
    for argument, default in pairs:
        if default is not None:
            yield argument.arg, ast.unparse(default) if isinstance(default, ast.Constant) else "None"
