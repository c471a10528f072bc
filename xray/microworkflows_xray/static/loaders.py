"""Loaders: calls that turn strings into models, classes, functions and modules.

Django's ``apps.get_model`` and ``import_string`` are known by name, and so are the class loaders of overridable shops. Any other function
whose name says that it loads something counts as a loader when its strings do name something in the project: that test makes a wrong
guess unlikely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from django.conf import settings

from microworkflows_xray.facts import App

from .names import Names
from .values import UNKNOWN, ClassOf, Items, Outside, Text, Value, text_of, union

_MODELS = frozenset({"get_model", "get_user_model", "get_registered_model", "load_model"})
_LIKELY = re.compile(r"(get|load|import|resolve|lazy|locate|fetch).*(model|class|string|object|module|dotted|path|symbol|callable|attr)", re.IGNORECASE)


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
        if not (function in _MODELS or function in self.extra or _LIKELY.search(function)):
            return UNKNOWN
        return self._load(function, arguments)

    def setting(self, name: str) -> Value:
        """Tell what a setting is, if it is text or a class."""
        try:
            value = getattr(settings, name, None)
        except Exception:  # noqa: BLE001 - settings may be lazy, and fail in any way
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
                members = tuple(self._load(function, [arguments[0], frozenset({Text(each)}), *arguments[2:3]]) for each in wanted)
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
            found = self.names.registry.by_label(label.rpartition(".")[2], name) if "model" in function else None
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
                    for base in filter(None, (app.name, app.forked_from)):
                        found.append((-cut, app.origin == "installed", ".".join([base, *parts[cut:]])))
        candidates = [module for _, _, module in sorted(found)]
        return [label, *candidates, *([f"{prefix}.{label}"] if prefix else [])]


def _texts(value: Value) -> list[str] | None:
    """Give the strings of a list that stands in the code."""
    if len(value) == 1:
        (only,) = value
        if isinstance(only, Items):
            texts = [text_of(each) for each in only.items]
            return [text for text in texts if text is not None] if all(text is not None for text in texts) else None
    return None


def _inside(value: Value) -> Value:
    """Keep what was found in code or memory."""
    return union([frozenset({each}) for each in value if not isinstance(each, Outside)])
