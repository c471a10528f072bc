"""Forks: apps of a project that replace an installed one, as ``get_model`` frameworks invite to, and lie in two places."""

import inspect
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from django.apps import AppConfig


def packages(among: Sequence[AppConfig]) -> dict[str, str]:
    """Return the label of each app by the packages whose code is its own; a fork's are its own one and its original's.

    A package that is installed as an app by itself belongs to that.
    """
    found = {original: app.label for app in among for original in originals(app)}
    return found | {app.name: app.label for app in among}


def folders(app: AppConfig) -> Iterator[tuple[Path, str]]:
    """Yield each folder of an app's code, with the package's name: its own, and of a fork the original's."""
    yield Path(app.path), app.name
    module = app.module
    for path in getattr(module, "__path__", ()) if module else ():
        if Path(path) != Path(app.path):  # a namespace package lies in several folders
            yield Path(path), app.name
    for original in originals(app):
        spec = find_spec(original)
        for path in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(path), original


def originals(app: AppConfig) -> list[str]:
    """Return the packages of which an app is a fork: those of the configs and of the models that it inherits.

    An abstract model of a library makes no fork of its app: the original has the same label, or is its config's parent.
    """
    found = []
    for parent in type(app).__mro__[1:]:
        name = parent.__dict__.get("name")
        if isinstance(name, str) and name != app.name:
            found.append(name)
    for model in app.get_models():
        for parent in model.__mro__[1:]:
            package = _package(parent)
            if (
                package
                and package.rpartition(".")[2] == app.name.rpartition(".")[2]
                and not f"{parent.__module__}.".startswith(f"{app.name}.")
            ):
                found.append(package)
    return list(dict.fromkeys(name for name in found if _is_there(name)))


def _package(parent: type) -> str:
    """Return the package of an abstract model's class; empty for any other class."""
    meta = getattr(parent, "_meta", None)
    if meta is None or not inspect.isclass(parent) or not meta.abstract:
        return ""
    return parent.__module__.rpartition(".")[0]


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
