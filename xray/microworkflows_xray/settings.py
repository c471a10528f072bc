"""Find the settings of a project without running any of its code."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable
from pathlib import Path

from microworkflows_xray.errors import ProjectError

VARIABLE = "DJANGO_SETTINGS_MODULE"
_INI = ("pyproject.toml", "pytest.ini", ".pytest.ini", "setup.cfg", "tox.ini")
_IN_INI = re.compile(
    r"""^\s*(?:DJANGO_SETTINGS_MODULE|django_settings_module)\s*=\s*["']?([\w.]+)|--ds[= ]["']?([\w.]+)""",
    re.MULTILINE,
)
_DEPTH = 2
"""Folders below the root in which a manage.py or wsgi.py is looked for."""


def find(given: str | None, root: Path) -> tuple[str, list[Path]]:
    """Tell the settings module, and the folders from which the project imports its code.

    The argument comes first, then the environment, then the default that manage.py names, then pytest's or django-stubs'
    setting, then the default of a wsgi.py or asgi.py.

    Raises:
        ProjectError: nothing names any settings.
    """
    starters = [path for name in ("manage.py", "wsgi.py", "asgi.py") for path in _near(root, name)]
    managers = [path.parent for path in starters if path.name == "manage.py"]
    sources = [
        folder for folder in (root / "src",) if folder.is_dir() and not (folder / "__init__.py").exists()
    ]
    folders = list(dict.fromkeys([*managers[:1], root, *sources]))
    name = given or os.environ.get(VARIABLE) or _first(path for path in starters if path.name == "manage.py")
    name = name or _of_ini(root) or _first(path for path in starters if path.name != "manage.py")
    if not name:
        raise ProjectError(
            f"No settings were found in {root}: no {VARIABLE}, no manage.py with a default, no pytest setting. "
            "Name them with --settings, and the project's folder with --root."
        )
    return name, folders


def _near(root: Path, name: str) -> list[Path]:
    found = [path for depth in range(_DEPTH + 1) for path in root.glob("*/" * depth + name)]
    return sorted(
        (path for path in found if not virtual(path, root)), key=lambda path: (len(path.parts), path)
    )


def virtual(path: Path, root: Path) -> bool:
    """Tell whether a path below the root lies in a virtual environment or in a folder of installed packages."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    if {"site-packages", "dist-packages", "node_modules"} & set(path.parts):
        return True
    folders = [root.joinpath(*parts[: length + 1]) for length in range(len(parts))]
    return any((folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir() for folder in folders)


def _first(paths: Iterable[Path]) -> str:
    return next(filter(None, map(_default, paths)), "")


def _default(path: Path) -> str:
    """Read the default for the settings out of a manage.py or wsgi.py."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and any(_names_it(argument) for argument in node.args[:1])
            and len(node.args) > 1
        ):
            value: ast.expr = node.args[1]
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Subscript)
            and _names_it(node.targets[0].slice)
        ):
            value = node.value
        else:
            continue
        texts = [
            part.value
            for part in ast.walk(value)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        names = [text for text in texts if re.fullmatch(r"[A-Za-z_][\w.]*", text) and text != VARIABLE]
        if names:
            return names[-1]
    return ""


def _names_it(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == VARIABLE


def _of_ini(root: Path) -> str:
    for path in (root / name for name in _INI):
        found = _IN_INI.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
        if found:
            return found[1] or found[2]
    return ""
