"""Coupling: places where one app depends on another, by foreign keys of its models and by imports in its code.

Before a cut-over this shows how much coupling there is to remove, and at its end that none is left. :data:`NOT_SEEN` says
what it cannot find. What it should have looked at and could not is told as *not looked at*: then the answer is partial.
"""

import ast
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.db.models import Field, Model

from microworkflows.cutover import conf, forks

FOREIGN_KEY, IMPORT, STRING = "foreign key", "import", "string"

NOT_SEEN = (
    "Not looked at: SQL, reverse relations such as order.payment, signals, templates, migrations, names put "
    "together at run time, tables that two apps share, and code in no app. The X-ray finds these: python -m microworkflows_xray report."
)
_NO_CODE = {"__pycache__", "node_modules", ".git", ".venv"}
_INSTALLED = {"site-packages", "dist-packages"}
_KIT = __name__.partition(".")[0]


@dataclass(frozen=True, order=True, kw_only=True)
class Bond:
    """One place in an app that needs another app."""

    file: Path
    line: int
    kind: str
    """:data:`FOREIGN_KEY`, :data:`IMPORT` or :data:`STRING`."""
    what: str
    """Foreign key, such as ``payments.Payment.order → orders.Order``, or the name that is imported or written in a string."""


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


@dataclass(frozen=True, kw_only=True)
class Report:
    """The coupling of some apps."""

    pairs: list[Pair]
    """Sorted by label; pairs without any bond are left out."""
    not_looked_at: list[str]
    """What could not be looked at, and why; if there is anything, the report is partial."""

    @property
    def is_clean(self) -> bool:
        """True if all was looked at and nothing was found."""
        return not self.pairs and not self.not_looked_at


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


def of(labels: Sequence[str]) -> Report:
    """Return the coupling of each pair of these apps.

    Raises:
        LookupError: no app has such a label.
    """
    return _of([apps.get_app_config(label) for label in labels], labels)


def of_app(label: str) -> Report:
    """Return what one app needs of any other installed one, except Django's and the kit's.

    Raises:
        LookupError: no app has such a label.
    """
    of_others = [
        app.label
        for app in apps.get_app_configs()
        if app.label != label and app.name.partition(".")[0] not in {_KIT, "django", "django_outbox_pattern"}
    ]
    return _of([apps.get_app_config(label)], of_others)


def _of(looked_at: Sequence[AppConfig], labels: Sequence[str]) -> Report:
    found: dict[tuple[str, str], set[Bond]] = defaultdict(set)
    gaps: list[str] = []
    for app in looked_at:
        for on, bond in (*_foreign_keys(app), *_names_in_code(app, gaps)):
            if on in labels and on != app.label:
                found[app.label, on].add(bond)
    return Report(
        pairs=[Pair(app=app, on=on, bonds=sorted(bonds)) for (app, on), bonds in sorted(found.items())],
        not_looked_at=sorted(gaps),
    )


def _foreign_keys(app: AppConfig) -> Iterator[tuple[str, Bond]]:
    for model in app.get_models(include_auto_created=True, include_swapped=True):
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            target = field.related_model
            if not isinstance(target, type) or target._meta.app_label == app.label:
                continue
            file, line = _place(model, field)
            what = f"{model._meta.label}.{field.name} → {target._meta.label}"
            yield target._meta.app_label, Bond(file=file, line=line, kind=FOREIGN_KEY, what=what)


def _place(model: type[Model], field: "Field[Any, Any]") -> tuple[Path, int]:
    """Return file and line of a field, or of its model if that inherits the field, or of the field that made the model."""
    for owner in (model, model._meta.auto_created):
        if not isinstance(owner, type):
            continue
        try:
            lines, first = inspect.getsourcelines(owner)
            definition = ast.parse(textwrap.dedent("".join(lines))).body[0]
        except (OSError, TypeError, SyntaxError):  # made at run time
            continue
        for statement in definition.body if isinstance(definition, ast.ClassDef) else ():
            targets = (
                statement.targets
                if isinstance(statement, ast.Assign)
                else [getattr(statement, "target", None)]
            )
            if any(isinstance(target, ast.Name) and target.id == field.name for target in targets):
                return Path(inspect.getfile(owner)), first + statement.lineno - 1
        return Path(inspect.getfile(owner)), first
    return Path(apps.get_app_config(model._meta.app_label).path), 0


def _names_in_code(app: AppConfig, gaps: list[str]) -> Iterator[tuple[str, Bond]]:
    everybody = list(apps.get_app_configs())
    owners = forks.packages(everybody)
    looked_at = 0
    for root, name in forks.folders(app):
        for file in _files(root, gaps):
            inside = file.relative_to(root)
            package = ".".join([name, *inside.parts[:-1]])
            # Migrations keep old imports; and an app may lie in the folder of another.
            if "migrations" in inside.parts or _owner(package, owners) not in {None, app.label}:
                continue
            looked_at += 1
            try:
                tree = ast.parse(file.read_bytes(), filename=str(file))
            except (SyntaxError, ValueError, OSError, RecursionError) as error:
                gaps.append(f"{file}: {type(error).__name__}: {error}")
                continue
            for node in ast.walk(tree):
                for on, kind, what in _named(node, package, owners, gaps, file):
                    yield on, Bond(file=file, line=getattr(node, "lineno", 0), kind=kind, what=what)
    if not looked_at:
        gaps.append(f"{app.label}: there is no Python file of it in {app.path}")


def _files(root: Path, gaps: list[str]) -> Iterator[Path]:
    """Yield the Python files below a folder; links to folders are followed, each folder once."""
    seen: set[Path] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            real, found = folder.resolve(), sorted(folder.iterdir())
        except OSError as error:
            gaps.append(f"{folder}: {error.strerror}")
            continue
        if real in seen:
            continue
        seen.add(real)
        folders += [path for path in found if path.is_dir() and path.name not in _NO_CODE]
        yield from (path for path in found if path.suffix == ".py" and path.is_file())
        gaps += [f"{path}: compiled code" for path in found if path.suffix in {".so", ".pyd", ".pyx"}]


def _named(
    node: ast.AST, package: str, owners: dict[str, str], gaps: list[str], file: Path
) -> Iterator[tuple[str, str, str]]:
    """Yield, for each name of an app's code at a node, that app's label, the kind of bond, and the name."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        try:
            module = resolve_name("." * node.level + (node.module or ""), package)
        except ImportError as error:
            gaps.append(f"{file}:{node.lineno}: {error}")
            return
        names = [f"{module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Call):
        yield from _of_loader(node)
        return
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _of_string(node.value, owners)
        return
    else:
        return
    for name in names:
        if (on := _owner(name, owners)) is not None:
            yield on, IMPORT, name


def _of_loader(call: ast.Call) -> Iterator[tuple[str, str, str]]:
    """Yield what ``get_model("orders", "Order")`` and its like name: any call of a label and a name, both constant."""
    function = (
        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    ).lower()
    if not any(word in function for word in ("get_model", "get_class", "load", "import", "get_app_config")):
        return
    given = [argument.value for argument in call.args[:2] if isinstance(argument, ast.Constant)]
    if given and isinstance(given[0], str) and (label := _loaded_from(given[0])) is not None:
        yield label, STRING, ".".join(str(part) for part in given if part)


def _loaded_from(text: str) -> str | None:
    """Return the label of the app that a loader's first argument names: a label, or the end of a package, and a module of it."""
    name = text
    while name:
        for app in apps.get_app_configs():
            if app.label == name or f".{app.name}".endswith(f".{name}"):
                return app.label
        name = name.rpartition(".")[0]
    return None


def _of_string(text: str, owners: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield what a string names: a model as ``orders.Order``, or code as ``orders.models.Order``."""
    if len(text) > 200 or not all(part.isidentifier() for part in text.split(".")) or "." not in text:
        return
    label, _, name = text.partition(".")
    config = apps.app_configs.get(label)
    if config is not None and name.lower() in config.models:
        yield label, STRING, text
    elif (on := _owner(text, owners)) is not None and _is_module(text, owners):
        yield on, STRING, text


def _is_module(text: str, owners: dict[str, str]) -> bool:
    """Return True if a dotted name leads to a module of an app; the type of an event begins like one and does not."""
    package = text
    while package not in owners:
        package = package.rpartition(".")[0]
    first = text.removeprefix(package).removeprefix(".").partition(".")[0]
    try:
        return not first or find_spec(f"{package}.{first}") is not None
    except (ImportError, ValueError):
        return False


def _owner(name: str, owners: dict[str, str]) -> str | None:
    """Return the label of the app to which a module, or a name in it, belongs; ``owners`` has a label for each package."""
    while name:
        if name in owners:
            return owners[name]
        name = name.rpartition(".")[0]
    return None
