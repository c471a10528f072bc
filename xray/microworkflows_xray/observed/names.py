"""Dotted names of functions, as the static half writes them: no ``<locals>``, and lambdas belong to the function around them."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

_INNER = re.compile(r"\.?<(lambda|listcomp|dictcomp|setcomp|genexpr)>.*$")


def of_code(code: CodeType, module: str) -> str:
    """Name the function whose code this is; empty for a module's own."""
    return joined(module, _qualname(code))


def of_callable(function: Any) -> str:
    """Name what is called: a function, a bound method, a partial, a Celery task, or an object with ``__call__``."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            break
    task = getattr(function, "__self__", None)
    if task is not None and hasattr(task, "apply_async") and isinstance(getattr(task, "name", None), str):
        return str(task.name)
    named = function if hasattr(function, "__qualname__") else type(function)
    return joined(getattr(named, "__module__", "") or "", named.__qualname__)


def joined(module: str, qualname: str) -> str:
    """Put a module's name and a ``__qualname__`` together."""
    inner = _INNER.sub("", qualname.replace(".<locals>", ""))
    return f"{module}.{inner}" if inner and inner != "<module>" else ""


if sys.version_info >= (3, 11):

    def _qualname(code: CodeType) -> str:
        return code.co_qualname

else:

    def _qualname(code: CodeType) -> str:
        return _index(code.co_filename).get((code.co_firstlineno, code.co_name), code.co_name)

    @functools.cache
    def _index(file: str) -> dict[tuple[int, str], str]:
        """Names of all functions and classes in a file, which Python 3.10 does not keep in their code."""
        try:
            tree = ast.parse(Path(file).read_bytes())
        except (OSError, SyntaxError):
            return {}  # the bare name stays
        found: dict[tuple[int, str], str] = {}
        _walk(tree, "", lambda line, name, qualname: found.setdefault((line, name), qualname))
        return found

    def _walk(node: ast.AST, prefix: str, add: Callable[[int, str, str], Any]) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = f"{prefix}{child.name}."
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                add(first, child.name, inner[:-1])
            elif prefix and isinstance(
                child, (ast.Lambda, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)
            ):
                kinds = {
                    ast.Lambda: "lambda",
                    ast.GeneratorExp: "genexpr",
                    ast.ListComp: "listcomp",
                    ast.SetComp: "setcomp",
                }
                name = f"<{kinds.get(type(child), 'dictcomp')}>"
                add(child.lineno, name, f"{prefix}{name}")
            _walk(child, inner, add)
