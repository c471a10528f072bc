"""Divide a project into contexts: by app, unless ``xray.ini`` assigns apps, models or modules to contexts of its own naming."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TextIO

from microworkflows_xray import options
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Model, Place, Static


@dataclass(frozen=True)
class Contexts:
    """A division of the project.

    Each app of the project is a context unless the file says otherwise; a fork stands for its original. What belongs to installed
    apps, such as users and content types, is shared: its context is :attr:`SHARED`.
    """

    SHARED: ClassVar[str] = ""

    names: tuple[str, ...]
    """All contexts, sorted, without :attr:`SHARED`."""
    apps: Mapping[str, str]
    """Context of each app, by label."""
    tables: Mapping[str, str]
    """Context of each table."""
    modules: Mapping[str, str]
    """Context of modules, packages and models' classes that do not follow their app, by dotted name."""

    @classmethod
    def read(cls, path: Path | None, static: Static) -> Contexts:
        """Divide by the ``[contexts]`` of this file; by app if the path is None.

        Raises:
            ProjectError: the file cannot be read, names what the project does not have, or puts one thing into two contexts.
        """
        return cls.divide(options.read(path).contexts, static, str(path or options.NAME))

    @classmethod
    def divide(
        cls, groups: Mapping[str, Iterable[str]], static: Static, source: str = options.NAME
    ) -> Contexts:
        """Divide by groups of labels of apps, labels of models, and dotted names; ``source`` is for error messages.

        Raises:
            ProjectError: as :meth:`read`.
        """
        members = _members(groups, source)
        labels = {
            app.label: Contexts.SHARED if app.origin == "installed" else app.label for app in static.apps
        }
        models = {model.label.lower(): model for model in static.models}
        assigned: dict[str, str] = {}
        modules: dict[str, str] = {}
        unknown = []
        for member, context in members.items():
            if member in labels:
                labels[member] = context
            elif member.lower() in models:
                model = models[member.lower()]
                assigned[model.label] = context
                modules[model.place.function or model.label] = context
            elif _is_module(member, static):
                modules[member] = context
            else:
                unknown.append(member)
        if unknown:
            raise ProjectError(
                _unknown(unknown, [*labels, *(model.label for model in static.models)], source)
            )
        by_class = {
            model.place.function: assigned[model.label] for model in static.models if model.label in assigned
        }
        tables = {
            model.table: _context(model, assigned, by_class, modules, labels) for model in static.models
        }
        names = {*groups, *labels.values()} - {Contexts.SHARED}
        return cls(tuple(sorted(names)), labels, tables, modules)

    @staticmethod
    def write(target: Path | TextIO, groups: Mapping[str, Iterable[str]]) -> None:
        """Write an ``xray.ini`` that assigns these labels of apps and models to contexts.

        What the file says in ``[xray]`` stays; contexts that it has are replaced.

        Raises:
            ProjectError: the file is there and cannot be read.
        """
        kept = options.read(target) if isinstance(target, Path) and target.exists() else options.Options()
        text = options.written(
            replace(kept, contexts={name: tuple(sorted(members)) for name, members in groups.items()})
        )
        if isinstance(target, Path):
            target.write_text(text, encoding="utf-8")
        else:
            target.write(text)

    def of_app(self, label: str) -> str:
        """Tell the context of an app; :attr:`SHARED` for an installed one, and for one that is not known."""
        return self.apps.get(label, self.SHARED)

    def of_table(self, table: str) -> str:
        """Tell the context of a table; :attr:`SHARED` for one of an installed app, and for one that is not known."""
        return self.tables.get(table, self.SHARED)

    def of_place(self, place: Place) -> str:
        """Tell the context of a line of code: by its function or file if those are assigned, else by its app; empty if it is in none."""
        file = place.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        holders = [
            name for name in self.modules if _within(place.function, name) or f".{name}." in f".{file}."
        ]
        return self.modules[max(holders, key=len)] if holders else self.of_app(place.app)


def _members(groups: Mapping[str, Iterable[str]], source: str) -> dict[str, str]:
    members: dict[str, str] = {}
    for context, names in groups.items():
        for name in names:
            if members.setdefault(name, context) != context:
                raise ProjectError(
                    f"{source} puts {name} into two contexts, {members[name]} and {context}. Leave it in one."
                )
    return members


def _context(
    model: Model,
    assigned: Mapping[str, str],
    by_class: Mapping[str, str],
    modules: Mapping[str, str],
    apps: Mapping[str, str],
) -> str:
    """A table follows its model; one that Django makes for a many-to-many field the model that asks for it; else its module, its app."""
    if model.label in assigned:
        return assigned[model.label]
    if model.place.function in by_class:
        return by_class[model.place.function]
    holders = [name for name in modules if _within(model.place.function, name)]
    return modules[max(holders, key=len)] if holders else apps.get(model.app, Contexts.SHARED)


def _within(name: str, holder: str) -> bool:
    return name == holder or name.startswith(f"{holder}.")


def _is_module(name: str, static: Static) -> bool:
    """Tell whether some file that was looked at is, or is in, the module or package of this dotted name."""
    path = name.replace(".", "/")
    return any(_within(app.name, name) for app in static.apps) or any(
        f"/{file}".endswith(f"/{path}.py") or f"/{path}/" in f"/{file}" for file in static.files
    )


def _unknown(names: list[str], known: list[str], source: str) -> str:
    hints = [match for name in names for match in difflib.get_close_matches(name, known, 1)]
    hint = f" Did you mean {', '.join(hints)}?" if hints else ""
    return (
        f"{source} names {', '.join(names)}, but the project has no app, model or module of that name.{hint}"
    )
