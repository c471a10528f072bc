"""Coupling: places where one app depends on another, by foreign keys of its models and by imports in its code.

Before a cut-over this shows how much coupling there is to remove, and at its end that none is left. It does not find
coupling at run time: reverse relations such as ``order.payment``, ``apps.get_model`` and SQL.
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
    """Foreign key, such as ``payments.Payment.order → orders.Order``, or the imported name."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Everything by which one app depends on another."""

    app: str
    on: str
    bonds: list[Bond]
    """Bonds in the order of file and line."""

    def count(self, kind: str) -> int:
        """Return the number of bonds of a kind."""
        return sum(bond.kind == kind for bond in self.bonds)


def own_apps() -> list[str]:
    """Return the labels of the apps to look at by default.

    These are the contexts that are being cut over, or, while there are none, all apps except installed packages and the
    kit.
    """
    return list(conf.contexts()) or [
        app.label
        for app in apps.get_app_configs()
        if not _INSTALLED & set(Path(app.path).parts) and app.name.partition(".")[0] != _KIT
    ]


def pairs(labels: Sequence[str]) -> list[Pair]:
    """Return the coupling of each pair of these apps, sorted by label; pairs without any are left out.

    Raises:
        LookupError: no app has such a label.
        SyntaxError: one of their files is not valid Python.
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
    """Return file and line of a field, or of its model if that inherits the field."""
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
        # Migrations keep old imports; and an app may lie in the folder of another.
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
    """Return the full names that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    module = resolve_name("." * node.level + (node.module or ""), package)
    return [f"{module}.{alias.name}" for alias in node.names]


def _owner(name: str, among: Sequence[AppConfig]) -> str | None:
    """Return the label of the app to which a module, or a name in it, belongs."""
    owners = [app for app in among if f"{name}.".startswith(f"{app.name}.")]
    return max(owners, key=lambda app: len(app.name)).label if owners else None
