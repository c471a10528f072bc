"""Tell whose code an app is: the project's own, a fork of an installed app, or installed."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from microworkflows_xray.facts import App
from microworkflows_xray.settings import virtual


def found(configs: Iterable[Any], root: Path, also: Iterable[str]) -> dict[App, Path]:
    """Describe the apps of these configs, each with the folder, or the file, that holds its code. ``path`` is left empty."""
    configs = list(configs)
    installed = {config.name for config in configs}
    places = {config.name: _place(config) for config in configs}
    apps: dict[App, Path] = {}
    for config in configs:
        path = places[config.name]
        if not (
            own(path, root) or any(config.name == name or config.name.startswith(f"{name}.") for name in also)
        ):
            apps[App(config.label, config.name, "", "installed")] = path
            continue
        original = _original(config, installed, root) if own(path, root) else ""
        apps[App(config.label, config.name, "", "fork" if original else "own", original)] = path
    return apps


def own(path: Path, root: Path) -> bool:
    """Tell whether code at this path is the project's: below its root, or beside it and no installed package."""
    if virtual(path, root) or (path.is_relative_to(Path(sys.prefix)) and not path.is_relative_to(root)):
        return False
    return path.is_relative_to(root) or not any(path.is_relative_to(folder) for folder in _editable())


def location(name: str) -> Path | None:
    """Find the folder, or the file, of a package or module, without importing it; None if there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    if folders:
        return Path(folders[0]).resolve()
    return Path(spec.origin).resolve() if spec.origin and spec.has_location else None


def _place(config: Any) -> Path:
    if not hasattr(config.module, "__path__") and getattr(config.module, "__file__", None):
        return Path(config.module.__file__).resolve()
    return Path(config.path).resolve()


@functools.lru_cache(maxsize=1)
def _editable() -> tuple[Path, ...]:
    """Find the folders of distributions that are installed as links to their sources."""
    folders = []
    for distribution in importlib.metadata.distributions():
        text = distribution.read_text("direct_url.json")
        origin = json.loads(text) if text else {}
        if origin.get("dir_info", {}).get("editable"):
            folders.append(Path(unquote(urlparse(origin["url"]).path)).resolve())
    return tuple(folders)


def _original(config: Any, installed: set[str], root: Path) -> str:
    """Name the installed app of which this own app is a fork; empty if it is none."""
    return (
        _by_config(config, root) or _by_label(config, installed, root) or _by_models(config, installed, root)
    )


def _by_config(config: Any, root: Path) -> str:
    """A fork's config subclasses the original's, which names another package."""
    for kind in type(config).__mro__[1:]:
        name = vars(kind).get("name")
        if isinstance(name, str) and name != config.name and _installed(name, root):
            return name
    return ""


def _by_label(config: Any, installed: set[str], root: Path) -> str:
    """A fork takes the label, and so the place, of an app from a family of which others are installed, and names that app."""
    families = {name.rpartition(".")[0] for name in installed} - {
        "",
        "django.contrib",
        config.name.rpartition(".")[0],
    }
    for name in (f"{family}.{config.label}" for family in sorted(families)):
        if name in installed or not _is_app(name) or not _installed(name, root):
            continue
        files = [path for path in Path(config.path).glob("*.py") if path.is_file()]
        if any(name in path.read_text(encoding="utf-8", errors="replace") for path in files):
            return name
    return ""


def _by_models(config: Any, installed: set[str], root: Path) -> str:
    """A fork's models subclass abstract ones that the original would make concrete under the same name."""
    for model in getattr(config, "models", {}).values():
        for base in model.__mro__[1:]:
            meta = getattr(base, "_meta", None)
            if (
                meta is None
                or not meta.abstract
                or base.__module__.split(".")[0] == config.name.split(".")[0]
            ):
                continue
            package = base.__module__.rpartition(".")[0]
            same = package.rpartition(".")[2] == config.label or base.__name__ == f"Abstract{model.__name__}"
            if same and package not in installed and _is_app(package) and _installed(package, root):
                return str(package)
    return ""


def _installed(name: str, root: Path) -> bool:
    path = location(name)
    return path is not None and not own(path, root)


def _is_app(name: str) -> bool:
    path = location(name)
    return path is not None and (path / "apps.py").is_file()
