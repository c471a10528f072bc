"""Coupling: where one app holds on to another, by foreign keys of its models and by imports in its code.

Before anything is handed over this says how much there is to let go of, and at the end that nothing is left. What shows
at run time alone is not found: reverse relations such as ``order.payment``, ``apps.get_model`` and SQL.
"""

import ast
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path

from django.apps import AppConfig, apps
from django.db.models import Model

from microworkflows.cutover import conf

FOREIGN_KEY, IMPORT = "foreign key", "import"

_INSTALLED = {"site-packages", "dist-packages"}
_KIT = __name__.partition(".")[0]


@dataclass(frozen=True, order=True, kw_only=True)
class Bond:
    """One place in an app that needs another app."""

    file: Path
    line: int
    kind: str
    """:data:`FOREIGN_KEY` or :data:`IMPORT`."""
    what: str
    """``payments.Payment.order → orders.Order``, or the name that is imported."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Everything with which one app holds on to another."""

    app: str
    on: str
    bonds: list[Bond]
    """By file and line."""

    def count(self, kind: str) -> int:
        """Return how many bonds are of a kind."""
        return sum(bond.kind == kind for bond in self.bonds)


def own_apps() -> list[str]:
    """Return the labels of the apps to look at, where nobody names some.

    Those that are being cut over; as long as there are none, all that are neither installed packages nor the kit.
    """
    return list(conf.contexts()) or [
        app.label
        for app in apps.get_app_configs()
        if not _INSTALLED & set(Path(app.path).parts) and app.name.partition(".")[0] != _KIT
    ]


def pairs(labels: Sequence[str]) -> list[Pair]:
    """Return how these apps hold on to each other, by app; a pair that has nothing in common is left out.

    Raises:
        LookupError: there is no app with such a label.
        SyntaxError: a file of theirs is no Python.
    """
    looked_at = [apps.get_app_config(label) for label in labels]
    found: dict[tuple[str, str], set[Bond]] = defaultdict(set)
    for app in looked_at:
        for on, bond in (*_foreign_keys(app), *_imports(app, looked_at)):
            if on in labels:
                found[app.label, on].add(bond)
    return [Pair(app=app, on=on, bonds=sorted(bonds)) for (app, on), bonds in sorted(found.items())]


def _foreign_keys(app: AppConfig) -> Iterator[tuple[str, Bond]]:
    for model in app.get_models():
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            target = field.related_model
            if not isinstance(target, type) or target._meta.app_label == app.label:
                continue
            file, line = _place(model, field.name)
            what = f"{model._meta.label}.{field.name} → {target._meta.label}"
            yield target._meta.app_label, Bond(file=file, line=line, kind=FOREIGN_KEY, what=what)


def _place(model: type[Model], field: str) -> tuple[Path, int]:
    """Return file and line of a field; of its model, where that inherits the field."""
    lines, first = inspect.getsourcelines(model)
    (definition,) = ast.parse(textwrap.dedent("".join(lines))).body
    assert isinstance(definition, ast.ClassDef)
    for statement in definition.body:
        targets = (
            statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        )
        if any(isinstance(target, ast.Name) and target.id == field for target in targets):
            return Path(inspect.getfile(model)), first + statement.lineno - 1
    return Path(inspect.getfile(model)), first


def _imports(app: AppConfig, others: Sequence[AppConfig]) -> Iterator[tuple[str, Bond]]:
    for file in sorted(Path(app.path).rglob("*.py")):
        inside = file.relative_to(app.path)
        package = ".".join([app.name, *inside.parts[:-1]])
        # Migrations keep what once was; and an app may lie in the folder of another.
        if "migrations" in inside.parts or _owner(package, list(apps.get_app_configs())) != app.label:
            continue
        for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            for name in _names(node, package):
                on = _owner(name, others)
                if on not in {None, app.label}:
                    yield str(on), Bond(file=file, line=node.lineno, kind=IMPORT, what=name)


def _names(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Return what a statement imports, by its full name."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    module = resolve_name("." * node.level + (node.module or ""), package)
    return [f"{module}.{alias.name}" for alias in node.names]


def _owner(name: str, among: Sequence[AppConfig]) -> str | None:
    """Return the label of the app that a module or what is in it belongs to."""
    owners = [app for app in among if f"{name}.".startswith(f"{app.name}.")]
    return max(owners, key=lambda app: len(app.name)).label if owners else None
