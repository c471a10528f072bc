"""Find the imports by which code of one app names code of another: grimp reads the project, the syntax tree what grimp cannot."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from microworkflows_xray.facts import Gap, Import
from microworkflows_xray.project import Project
from microworkflows_xray.static.sources import Module, Sources
from microworkflows_xray.static.spelling import nodes
from microworkflows_xray.tolerance import reason


def find(project: Project, sources: Sources) -> tuple[list[Import], list[Gap]]:
    """Give each import from one app, or from the project's code in no app, of another app, and what grimp could not read."""
    graph, gaps = _graph(sources, project.root)
    found: list[Import] = []
    for module in sources.modules.values():
        read = graph is not None and module.name in graph.modules
        named = dict(_by_grimp(graph, module.name)) if read else {}
        for line, name, node in _statements(module):
            target = _deepest(named.get(line, ()), name) if read and _known(graph, name) else name
            app = project.app_of_module(target)
            if app and app != module.app and target:
                found.append(Import(name, app, "import", sources.place(module, node)))
    return found, gaps


def _graph(sources: Sources, root: Path) -> tuple[Any, list[Gap]]:
    """Let grimp read the packages, all in one graph; those that it cannot read are left to the syntax tree."""
    import grimp

    packages = sorted(
        {name.partition(".")[0] for name, module in sources.modules.items() if module.package or "." in name}
    )
    try:
        return grimp.build_graph(*packages, cache_dir=None), []
    except (
        Exception
    ):  # grimp raises errors of its own and of Rust; which package it was, the next lines find out
        readable, gaps = [], []
    for package in packages:
        try:
            grimp.build_graph(package, cache_dir=None)
        except Exception as error:
            gaps.append(
                Gap(
                    f"imports of {package}",
                    f"grimp cannot read it, so the syntax tree was read: {reason(error, root)}",
                )
            )
        else:
            readable.append(package)
    return (grimp.build_graph(*readable, cache_dir=None) if readable else None), gaps


def _by_grimp(graph: Any, importer: str) -> Iterator[tuple[int, list[str]]]:
    lines: dict[int, list[str]] = {}
    for imported in graph.find_modules_directly_imported_by(importer):
        for details in graph.get_import_details(importer=importer, imported=imported):
            lines.setdefault(details["line_number"], []).append(imported)
    yield from lines.items()


def _known(graph: Any, name: str) -> bool:
    return any(root in graph.modules for root in [name.partition(".")[0]])


def _deepest(modules: Iterable[str], name: str) -> str:
    """Pick the module that holds what the statement names; empty if grimp saw no import of it there."""
    holders = [module for module in modules if name == module or name.startswith(f"{module}.")]
    return max(holders, key=len, default="")


def _statements(module: Module) -> Iterator[tuple[int, str, ast.stmt]]:
    """Give the line and the dotted name of each thing that a module imports."""
    for node in nodes(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.resolve(node.level, node.module)
            for alias in node.names:
                yield node.lineno, base if alias.name == "*" else f"{base}.{alias.name}", node
