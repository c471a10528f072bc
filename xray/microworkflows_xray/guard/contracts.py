"""Contracts of import-linter for the contexts' borders; today's violations are ignored by name, and a new import breaks them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import grimp

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Static
from microworkflows_xray.guard.baseline import BaselineError

HEAD = """\
# Borders between contexts, written by `xray guard --import-linter`. `lint-imports` fails for a new import across one, and for
# an ignored one that is gone: delete its line then, or write the file anew.
[importlinter]
root_packages =
{roots}
exclude_type_checking_imports = true
"""
CONTRACT = """
[importlinter:contract:{name}]
name = {name} imports no other context
type = forbidden
source_modules =
{sources}
forbidden_modules =
{forbidden}
allow_indirect_imports = true
"""


def write(static: Static, contexts: Contexts, *, root: Path, path: Path) -> None:
    """Write a contract for each context whose code lies in the project.

    Raises:
        BaselineError: the project's packages cannot be found or read, so there would be nothing to hold.
    """
    packages: dict[str, list[str]] = {}
    for app in sorted(static.apps, key=lambda app: app.name):
        if (root / app.path).is_dir() and (context := contexts.of_app(app.label)) != Contexts.SHARED:
            packages.setdefault(context, []).append(app.name)
    roots = sorted({name.partition(".")[0] for names in packages.values() for name in names})
    graph = _graph(roots, root)
    text = HEAD.format(roots=_listed(roots))
    for context, own in sorted(packages.items()):
        others = sorted(name for other, names in packages.items() if other != context for name in names)
        if not others:
            continue
        text += CONTRACT.format(name=context, sources=_listed(own), forbidden=_listed(others))
        if ignored := sorted(_crossing(graph, own, others)):
            text += f"ignore_imports =\n{_listed(ignored)}\n"
    path.write_text(text, encoding="utf-8")


def _graph(roots: list[str], root: Path) -> grimp.ImportGraph:
    if not roots:
        raise BaselineError(
            "No app of the project's own was looked at, so import-linter has nothing to guard."
        )
    before = list(sys.path)
    sys.path[:0] = [str(root), str(root / "src")]
    try:
        return grimp.build_graph(*roots, exclude_type_checking_imports=True, cache_dir=None)
    except Exception as error:  # grimp raises what the foreign code makes it raise, such as SyntaxError
        raise BaselineError(
            f"grimp cannot read {', '.join(roots)}: {error}. So import-linter could not either."
        ) from error
    finally:
        sys.path[:] = before


def _crossing(graph: grimp.ImportGraph, own: list[str], others: list[str]) -> Iterator[str]:
    for module in graph.modules:
        if not _inside(module, own) or _inside(module, others, than=own):
            continue
        for imported in graph.find_modules_directly_imported_by(module):
            if _inside(imported, others):
                yield f"{module} -> {imported}"


def _inside(module: str, packages: list[str], *, than: list[str] = []) -> bool:  # noqa: B006  (it is only read)
    """Tell whether a module lies in one of the packages, and deeper than in any of the others."""
    depth = max((len(each) for each in packages if f"{module}.".startswith(f"{each}.")), default=0)
    return depth > max((len(each) for each in than if f"{module}.".startswith(f"{each}.")), default=0)


def _listed(names: list[str]) -> str:
    return "\n".join(f"    {name}" for name in names)
