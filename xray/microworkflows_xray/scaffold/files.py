"""The files of a seam: event and reading, microworkflow, legacy step, the code that records, settings, and a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from microworkflows_xray.definitions import Definition, Function
from microworkflows_xray.scaffold import values
from microworkflows_xray.scaffold.planning import Plan
from microworkflows_xray.scaffold.spelling import Module, comment, docstring, listed
from microworkflows_xray.seams import names

SETTINGS = "microworkflows_settings"
_UNSENT = {"sender", "signal", "using", "raw", "update_fields", "request"}


def files(plan: Plan) -> dict[Path, str]:
    """Return the files by their paths, relative to the project's root."""
    emitter, consumer = plan.emitter.folder, plan.consumer.folder
    made = {
        emitter / "events.py": _announced(plan),
        emitter / "announcing.py": _announcing(plan),
        consumer / "events.py": _heard(plan),
        consumer / "workflows.py": _workflows(plan),
        consumer / "legacy.py": _legacy(plan),
        consumer / f"test_{names.snake(plan.event)}.py": _test(plan),
        Path(f"{SETTINGS}.py"): _settings(plan),
    }
    for side in (plan.emitter, plan.consumer):
        if side.new:
            made[side.folder / "__init__.py"] = docstring(f"Events of {side.label}.") + "\n"
    return made


def _module(says: str, plan: Plan) -> Module:
    return Module(says, plan.own)


def _announced(plan: Plan) -> str:
    module = _module(f"What {plan.emitter.label} announces.", plan)
    base = module.name("microworkflows", "DomainEvent")
    module.parts.append(
        _event(plan, module, base, "Something happened.", f"It used to be told to {plan.old}.")
    )
    return module.text()


def _heard(plan: Plan) -> str:
    module = _module(f"What {plan.consumer.label} reads in the events that it hears.", plan)
    base = module.name("microworkflows", "IncomingEvent")
    module.parts.append(_event(plan, module, base, "As far as it is read here."))
    return module.text()


def _event(plan: Plan, module: Module, base: str, says: str, more: str = "") -> str:
    head = listed(f"class {plan.event}(", [base, f'type="{plan.type}"'], "):")
    fields = list(values.declarations(plan, module))
    return "\n".join([head, docstring(says, more, indent="    "), *([""] if fields else []), *fields])


def _announcing(plan: Plan) -> str:
    variant = {"template method": _overriding, "signal": _receiving}.get(plan.seam.how, _calling)
    module = _module(f"Where {plan.emitter.label} hands over: by an event.", plan)
    variant(plan, module)
    return module.text()


def _record(plan: Plan, module: Module, *, indent: str, of: str = "{}") -> str:
    outbox = module.name("microworkflows", "outbox")
    event = module.name(f"{plan.emitter.package}.events", plan.event)
    arguments = values.recorded(plan, of=of)
    line = f"{indent}{outbox}.record({event}({', '.join(arguments)}))"
    if len(line) <= 88:
        return line
    return (
        f"{indent}{outbox}.record(\n"
        + listed(f"{event}(", arguments, ")", indent=f"{indent}    ")
        + f"\n{indent})"
    )


def _calling(plan: Plan, module: Module) -> None:
    place = f"{plan.seam.place.file}:{plan.seam.place.line}"
    module.parts.append(
        "\n".join(
            [
                comment(
                    f"TODO: call it in place of {plan.function} at {place}, in the transaction of the change."
                ),
                listed(f"def {plan.announcement}(", values.parameters(plan, module), ") -> None:"),
                docstring("Record the event.", f"The legacy step calls {plan.old}.", indent="    "),
                _record(plan, module, indent="    "),
            ]
        )
    )


def _overriding(plan: Plan, module: Module) -> None:
    owner = plan.owner.rpartition(".")[2]
    before = module.name(plan.replaced.module, f"{owner} as {owner}Before")
    parameters = ["self", *values.parameters(plan, module)]
    module.parts.append(
        "\n".join(
            [
                comment(
                    f"TODO: let the project use this class wherever it uses {plan.replaced.module}.{owner}."
                ),
                f"class {owner}({before}):",
                docstring("As before, but the work follows from an event.", indent="    "),
                "",
                listed(f"def {plan.function}(", parameters, ") -> None:", indent="    "),
                docstring("Record the event; the legacy step calls the method of before.", indent="        "),
                _record(plan, module, indent="        "),
            ]
        )
    )


def _receiving(plan: Plan, module: Module) -> None:
    any_ = module.name("typing", "Any")
    module.parts.append(
        "\n".join(
            [
                comment(
                    f"TODO: legacy.py of {plan.consumer.label} connects it; do so in ready() once that file is deleted."
                ),
                listed(f"def {plan.announcement}(", [f"sender: {any_}", f"**kwargs: {any_}"], ") -> None:"),
                docstring("Record the event.", f"The legacy step calls {plan.old}.", indent="    "),
                _record(plan, module, indent="    ", of='kwargs["{}"]'),
            ]
        )
    )


def _sender(plan: Plan, module: Module) -> str:
    """Return the model to which the old receiver is limited, imported; empty for none."""
    return _model_of(plan, module, role="receiver", function=plan.seam.consumer)


def _model_of(plan: Plan, module: Module, *, role: Literal["receiver", "sender"], function: str) -> str:
    """Return the model that a signal's receiver, or the place that sends it, names as its sender, imported; empty for none."""
    among = (each for each in plan.static.signals if (each.role, each.function) == (role, function))
    sender = next((each.sender for each in among if each.signal == plan.seam.signal), "")
    if sender not in {model.label for model in plan.static.models}:
        return ""
    return module.name(plan.home_of(sender), sender.rpartition(".")[2])


def _workflows(plan: Plan) -> str:
    module = _module(f"Microworkflows of {plan.consumer.label}.", plan)
    decorator = module.name("microworkflows", "microworkflow")
    event = module.name(f"{plan.consumer.package}.events", plan.event)
    tables = ", ".join(written.table for written in plan.seam.writes) or "what the old code writes"
    module.parts.append(
        "\n".join(
            [
                f"@{decorator}(on={event})",
                listed(f"def {plan.workflow}(", [f"event: {event}"], ") -> None:"),
                docstring(
                    "Take over from the old code.", f"Until then legacy.py calls {plan.old}.", indent="    "
                ),
                comment(f"TODO: the new step reads the event alone, and writes {tables}.", indent="    "),
                f'    raise NotImplementedError("Not written yet: leave {plan.consumer.label} inline.")',
            ]
        )
    )
    return module.text()


def _legacy(plan: Plan) -> str:
    module = _module(f"The steps of {plan.consumer.label} as its old code does them.", plan)
    decorator = module.name("microworkflows.cutover", "legacy")
    event = module.name(f"{plan.consumer.package}.events", plan.event)
    workflow = module.name(f"{plan.consumer.package}.workflows", plan.workflow)
    lines = [*_registered(plan, module, decorator, workflow)]
    lines += [listed(f"def {plan.workflow}_as_before(", [f"event: {event}"], ") -> None:")]
    lines += [docstring("Call the old code, untouched.", indent="    "), *_old_call(plan, module)]
    module.parts.append("\n".join(lines))
    if plan.seam.how == "signal":
        module.parts.append(_reconnected(plan, module))
    return module.text()


def _registered(plan: Plan, module: Module, decorator: str, workflow: str) -> Iterator[str]:
    rows = list(_observed(plan, module))
    if not rows:
        yield comment(
            "TODO: observe=lambda event: [querysets of the rows that it changes], before it goes to shadow."
        )
        yield f"@{decorator}({workflow})"
        return
    if any(".all()" in row for row in rows):
        yield comment("TODO: narrow the observed rows to those that this event changes.")
    yield from (f"@{decorator}(", f"    {workflow},")
    yield listed("observe=lambda event: [", rows, "],", indent="    ")
    yield ")"


def _observed(plan: Plan, module: Module) -> Iterator[str]:
    """Yield a queryset for each table that the step writes, of the event's rows where a relation leads to them."""
    labels = {model.table: model.label for model in plan.static.models}
    for written in plan.seam.writes:
        label = labels.get(written.table, "")
        name = label.rpartition(".")[2]
        if not name or "_" in name:  # the table of a many-to-many field, whose model nobody imports
            continue
        yield f"{module.name(plan.home_of(label), name)}.objects.{_filter(plan, label)}"


def _filter(plan: Plan, label: str) -> str:
    for field in plan.seam.payload:
        if field.model == label:
            return f"filter(pk=event.{field.name})"
        for relation in plan.static.relations:
            if (relation.model, relation.to) == (label, field.model) and relation.kind in {
                "foreign key",
                "one to one",
            }:
                return f"filter({relation.field}=event.{field.name})"
    return "all()"


def _old_call(plan: Plan, module: Module) -> Iterator[str]:
    arguments, row = [], ""
    for field, value in values.restored(plan, module):
        if field.parameter == "self":
            row = value
        else:
            named = field.keyword or plan.seam.how == "signal"
            arguments.append(f"{field.parameter}={value}" if named else value)
    missing = [name for name in _required(plan.replaced) if name in _UNSENT]
    if plan.seam.how == "signal":
        arguments = [f"{name}={_stand_in(name, plan, module)}" for name in missing] + arguments
    elif missing:
        yield comment(
            f"TODO: an event carries no {' and no '.join(missing)}; what does the old code need of it?",
            indent="    ",
        )
        arguments += [f"{name}=None" for name in missing]
    old = f"{row}.{plan.function}" if row else _spelled(plan, module)
    if not row and plan.owner and not _is_static(plan.replaced):
        starts = plan.definitions.of(f"{plan.replaced.module}.{plan.owner}.__init__")
        if starts is not None and _required(starts):
            yield comment(f"TODO: {plan.owner}() takes {', '.join(_required(starts))}.", indent="    ")
    yield listed(f"{old}(", arguments, ")", indent="    ")


def _stand_in(name: str, plan: Plan, module: Module) -> str:
    if name == "sender":
        sent = _model_of(plan, module, role="sender", function=plan.seam.emitter)
        return _sender(plan, module) or sent or "None"
    return "False" if name == "raw" else "None"


def _spelled(plan: Plan, module: Module) -> str:
    """Return the old function as the code calls it, imported."""
    if not plan.owner:
        return f"{module.module(plan.replaced.module)}.{plan.function}"
    top, _, inner = plan.owner.partition(".")
    owner = module.name(plan.replaced.module, top) + (f".{inner}" if inner else "")
    return f"{owner}.{plan.function}" if _is_static(plan.replaced) else f"{owner}().{plan.function}"


def _is_static(function: Definition) -> bool:
    decorators = getattr(function.node, "decorator_list", [])
    return bool({ast.unparse(each) for each in decorators} & {"staticmethod", "classmethod"})


def _required(function: Definition) -> list[str]:
    """Return the parameters without a default, but for ``self``."""
    if not isinstance(function.node, Function):
        return []
    taken = function.node.args
    plain = [*taken.posonlyargs, *taken.args]
    plain = plain[: len(plain) - len(taken.defaults)]
    plain += [
        each for each, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if default is None
    ]
    return [each.arg for each in plain if each.arg not in {"self", "cls"}]


def _reconnected(plan: Plan, module: Module) -> str:
    home, _, name = plan.seam.signal.rpartition(".")
    signal, announcing = module.name(home, name), module.name(plan.emitter.package, "announcing")
    limited = [f"sender={model}"] if (model := _sender(plan, module)) else []
    error = module.name("django.core.exceptions", "ImproperlyConfigured")
    return "\n".join(
        [
            listed(f"if not {signal}.disconnect(", [_spelled(plan, module), *limited], "):"),
            f"    raise {error}(",
            f'        "{plan.function} is not connected, so the event cannot take its place. "',
            '        "List its app before microworkflows.cutover."',
            "    )",
            listed(f"{signal}.connect(", [f"{announcing}.{plan.announcement}", *limited], ")"),
        ]
    )


def _test(plan: Plan) -> str:
    module = _module("An event runs the old code, inline and once.", plan)
    case, patch = module.name("django.test", "TestCase"), module.name("unittest.mock", "patch")
    transaction = module.name("django.db", "transaction")
    announcing = module.name(plan.emitter.package, "announcing")
    legacy = module.name(plan.consumer.package, "legacy")
    patched, old = _patched(plan)
    arguments = []
    for field in plan.seam.payload:
        value = values.sample(field, plan, module)
        named = field.keyword or plan.seam.how == "signal"
        arguments.append(f"{variable}={value}" if named and (variable := values.variable(field)) else value)
    recording = f"{announcing}.{plan.announcement}"
    if plan.seam.how == "template method":
        recording = f"{announcing}.{plan.owner.rpartition('.')[2]}().{plan.function}"
    elif plan.seam.how == "signal":
        arguments.insert(0, "sender=None")
    lines = [
        f"class {plan.event}Test({case}):",
        docstring(
            "What follows while the context is inline.", f"It is the seam {plan.seam.id}.", indent="    "
        ),
        "",
        f"    def test_{names.snake(plan.event)}_runs_the_old_code_once(self) -> None:",
        "        with (",
        *(
            f'            {patch}.object({legacy}, "{name}"){" as old" if name == old else ""},'
            for name in patched
        ),
        f"            {transaction}.atomic(),",
        "        ):",
        listed(f"{recording}(", arguments, ")", indent="            "),
        "",
        f"        self.assertEqual({_asked(plan)}.call_count, 1)",
    ]
    module.parts.append("\n".join(lines))
    return module.text()


def _patched(plan: Plan) -> tuple[list[str], str]:
    """Return the names of legacy.py that the test replaces, and the one through which the old code is called."""
    rows = [field.model.rpartition(".")[2] for field in plan.seam.payload if field.model]
    of_self = [field.model.rpartition(".")[2] for field in plan.seam.payload if field.parameter == "self"]
    old = of_self[0] if of_self else plan.owner.partition(".")[0] or plan.replaced.module.rpartition(".")[2]
    return sorted({*rows, old}), old


def _asked(plan: Plan) -> str:
    if any(field.parameter == "self" for field in plan.seam.payload):
        return f"old.objects.get.return_value.{plan.function}"
    if not plan.owner:
        return f"old.{plan.function}"
    inner = "".join(f".{part}" for part in plan.owner.split(".")[1:])
    return (
        f"old{inner}.{plan.function}"
        if _is_static(plan.replaced)
        else f"old{inner}.return_value.{plan.function}"
    )


def _settings(plan: Plan) -> str:
    before = plan.static.settings
    new = [side.package for side in (plan.emitter, plan.consumer) if side.new]
    apps = [
        f'"{name}"' for name in (*new, "django_outbox_pattern", "microworkflows", "microworkflows.cutover")
    ]
    return "\n".join(
        [
            docstring("The project's settings with events; take these lines over into your own."),
            "",
            f"from {before} import *  # noqa: F403",
            f"from {before} import INSTALLED_APPS as BEFORE",
            "",
            listed("ADDED = [", apps, "]"),
            "INSTALLED_APPS = [*BEFORE, *(app for app in ADDED if app not in BEFORE)]",
            f'MICROWORKFLOWS = {{"CUTOVER": ["{plan.consumer.label}"]}}',
            comment(
                "TODO: inline steps need no worker. Before a context goes live, add a Celery app for events, and delete this."
            ),
            'SILENCED_SYSTEM_CHECKS = [*globals().get("SILENCED_SYSTEM_CHECKS", [])]',
            'SILENCED_SYSTEM_CHECKS += ["microworkflows.E030"]',
            "",
        ]
    )
