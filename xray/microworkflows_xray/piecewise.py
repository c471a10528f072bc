"""Import a module that fails statement by statement, so that one line costs only what depends on it."""

from __future__ import annotations
import __future__

import ast
import importlib.util
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any


def failing(trace: TracebackType | None, belongs: Callable[[str], bool]) -> str:
    """Name the innermost module, of those whose file belongs to the project, that an error passed at its own level; empty if none."""
    name = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name == "<module>" and belongs(code.co_filename):
            name = str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next
    return "" if name == "__main__" else name


def load(name: str, run: Callable[[Callable[[], Any]], Any]) -> bool:
    """Import a module by giving each of its statements to ``run``, which may let it fail. Tell whether that was possible."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin or not spec.has_location:
        return False
    with open(spec.origin, "rb") as file:
        tree = ast.parse(file.read(), spec.origin)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                flags |= getattr(__future__, alias.name).compiler_flag
            continue
        code = compile(ast.Module([statement], []), spec.origin, "exec", flags=flags, dont_inherit=True)
        run(lambda code=code: exec(code, vars(module)))  # type: ignore[misc]  # noqa: S102  # its own code
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)
    return True
