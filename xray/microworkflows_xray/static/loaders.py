"""Loaders: calls that turn strings into models, classes, functions and modules.

Django's ``apps.get_model`` and ``import_string`` are known by name, and so are the class loaders of overridable shops. Any other function
whose name says that it loads something counts as a loader when its strings do name something in the project: that test makes a wrong
guess unlikely.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from django.conf import settings

from microworkflows_xray.facts import App, Import
from microworkflows_xray.project import Project

from .names import Names
from .registry import Registry
from .sources import Module, Sources
from .spelling import last
from .values import UNKNOWN, ClassOf, FunctionOf, Items, Outside, Text, Value, text_of, union

_FACTORIES = {
    "modelform_factory": "django.forms.models.ModelForm",
    "modelformset_factory": "django.forms.models.BaseModelFormSet",
    "inlineformset_factory": "django.forms.models.BaseInlineFormSet",
}
_MODELS = frozenset({"get_model", "get_user_model", "get_registered_model", "load_model"})
_LIKELY = re.compile(
    r"(get|load|import|resolve|lazy|locate|fetch).*(model|class|string|object|module|dotted|path|symbol|callable|attr)",
    re.IGNORECASE,
)
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class Loaders:
    """Resolve calls of loaders.

    Args:
        apps: Installed apps; a label such as ``orders.utils`` is looked for in those whose name ends in ``orders``.
        extra: Names of further loaders, without their modules.
    """

    def __init__(self, names: Names, apps: Iterable[App], extra: Iterable[str] = ()) -> None:
        self.names = names
        self.apps = sorted(apps, key=lambda app: (app.origin == "installed", app.name))
        self.extra = frozenset(extra)
        names.loaders = self

    def call(self, function: str, arguments: Sequence[Value]) -> Value:
        """Tell what a call gives; unknown if it is no loader's, or names nothing that is known."""
        if function == "get_user_model":
            return self._model("get_user_model", [str(getattr(settings, "AUTH_USER_MODEL", "auth.User"))])
        if function in _FACTORIES:
            return _made(function, arguments)
        if not (function in _MODELS or function in self.extra or _LIKELY.search(function)):
            return UNKNOWN
        return self._load(function, arguments)

    def setting(self, name: str) -> Value:
        """Tell what a setting is, if it is text or a class."""
        try:
            value = getattr(settings, name, None)
        except Exception:  # settings may be lazy, and fail in any way
            return UNKNOWN
        if isinstance(value, (list, tuple)):
            return frozenset({Items(tuple(self.names.of_object(each) for each in value))})
        return UNKNOWN if value is None else self.names.of_object(value)

    def _load(self, function: str, arguments: Sequence[Value]) -> Value:
        if not arguments:
            return UNKNOWN
        texts = [text_of(value) for value in arguments]
        if texts[0] is None:
            return UNKNOWN
        if len(arguments) > 1 and texts[1] is None:
            wanted = _texts(arguments[1])
            if wanted is not None:
                prefix = texts[2:3]
                members = tuple(
                    self._load(function, [arguments[0], frozenset({Text(each)}), *arguments[2:3]])
                    for each in wanted
                )
                return frozenset({Items(members)}) if any(members) or prefix else UNKNOWN
        strings = [text for text in texts if text is not None]
        return self._model(function, strings) or self._class(strings)

    def _model(self, function: str, strings: Sequence[str]) -> Value:
        if len(strings) >= 2 and "." not in strings[1]:
            label, name = strings[0], strings[1]
        elif len(strings) == 1 and strings[0].count(".") == 1:
            label, name = strings[0].split(".")
        else:
            return UNKNOWN
        found = self.names.registry.by_label(label, name)
        if found is None and "." in label:
            found = (
                self.names.registry.by_label(label.rpartition(".")[2], name) if "model" in function else None
            )
        return frozenset({ClassOf(found)}) if found else UNKNOWN

    def _class(self, strings: Sequence[str]) -> Value:
        if len(strings) == 1:
            found = self.names.lookup(strings[0]) if "." in strings[0] else UNKNOWN
            return _inside(found) or (found if strings[0] in self.names.sources.modules else UNKNOWN)
        label, name, *rest = strings
        for module in self._modules(label, rest[0] if rest else ""):
            found = _inside(self.names.lookup(f"{module}.{name}"))
            if found:
                return found
        return UNKNOWN

    def _modules(self, label: str, prefix: str) -> list[str]:
        """Name the modules that a label may mean: itself, below the loader's prefix, or below an app that it begins with."""
        parts = label.split(".")
        found = []
        for app in self.apps:
            for cut in range(len(parts), 0, -1):
                head = ".".join(parts[:cut])
                if app.name == head or app.name.endswith(f".{head}") or (cut == 1 and app.label == head):
                    for base in filter(
                        None, (app.name, app.forked_from)
                    ):  # a fork's code comes before its original's
                        module = ".".join([base, *parts[cut:]])
                        found.append((-cut, app.origin == "installed", base != app.name, module))
        candidates = [module for *_, module in sorted(found)]
        return [label, *candidates, *([f"{prefix}.{label}"] if prefix else [])]


def _made(factory: str, arguments: Sequence[Value]) -> Value:
    """Tell what a factory of form classes gives: a class whose name has its model in brackets."""
    position = 1 if factory == "inlineformset_factory" else 0
    models = arguments[position] if position < len(arguments) else UNKNOWN
    return frozenset(
        ClassOf(f"{_FACTORIES[factory]}[{each.cls}]") for each in models if isinstance(each, ClassOf)
    )


def _texts(value: Value) -> list[str] | None:
    """Give the strings of a list that stands in the code."""
    if len(value) == 1:
        (only,) = value
        if isinstance(only, Items):
            texts = [text_of(each) for each in only.items]
            return (
                [text for text in texts if text is not None]
                if all(text is not None for text in texts)
                else None
            )
    return None


def _inside(value: Value) -> Value:
    """Keep what was found in code or memory."""
    return union([frozenset({each}) for each in value if not isinstance(each, Outside)])


def find(project: Project, sources: Sources) -> list[Import]:
    """Find calls of loaders that name another app's code, and strings that do so by ``app.Model`` or a dotted path."""
    names = Names(sources, Registry())
    loaders = Loaders(names, project.apps, project.loaders)
    found: set[Import] = set()

    def note(module: Module, node: ast.AST, name: str, how: Literal["loader", "string"]) -> None:
        app = project.app_of_module(name)
        if app and app != module.app:
            found.add(Import(name, app, how, sources.place(module, node)))

    for module in sources.modules.values():
        taken: set[int] = set()
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                taken |= _relation_strings(node)
                for name in _called(loaders, module, node):
                    taken |= {id(each) for each in ast.walk(node) if isinstance(each, ast.Constant)}
                    note(module, node, name, "loader")
        documented = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Constant)
                and id(node) not in taken | documented
                and isinstance(node.value, str)
            ):
                for name in _named(names, node.value):
                    note(module, node, name, "string")
    return sorted(found)


def _called(loaders: Loaders, module: Module, node: ast.Call) -> list[str]:
    value = loaders.call(last(node.func), [loaders.names.expression(module, each) for each in node.args])
    return sorted({name for each in value for name in _dotted(each)})


def _dotted(each: object) -> list[str]:
    if isinstance(each, Items):
        return [name for value in each.items for inner in value for name in _dotted(inner)]
    if isinstance(each, ClassOf):
        return [each.cls]
    return [each.name] if isinstance(each, (FunctionOf, Outside)) else []


def _named(names: Names, text: str) -> list[str]:
    """Name what a string stands for, if that is a model or a definition in the code."""
    if not _PATH.fullmatch(text):
        return []
    label, _, name = text.rpartition(".")
    model = names.registry.by_label(label, name) if "." not in label else None
    if model:
        return [model]
    sources = names.sources
    return [text] if text in sources.classes or text in sources.functions or text in sources.modules else []


def _relation_strings(node: ast.Call) -> set[int]:
    """Give the strings of a relation's field, which are facts of their own."""
    if not last(node.func).endswith(("Field", "ForeignKey", "Relation", "ParentalKey")):
        return set()
    first = [
        *node.args[:1],
        *(keyword.value for keyword in node.keywords if keyword.arg in {"to", "through"}),
    ]
    return {id(each) for each in first if isinstance(each, ast.Constant)}
