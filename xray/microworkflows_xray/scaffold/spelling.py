"""Spelling Python as formatters and linters want it: sorted imports, short lines, one trailing comma."""

from __future__ import annotations

import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WIDTH = 88
"""Longest line: the default of the common formatters; what is broken at it stays so under longer ones."""


@dataclass
class Module:
    """A module that is being written."""

    says: str
    """Its docstring."""
    own: frozenset[str]
    """Top-level packages of the project, whose imports come last."""
    parts: list[str] = field(default_factory=list)
    """Definitions, with two empty lines between them."""
    _names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def name(self, module: str, name: str) -> str:
        """Import a name from a module, and return it as the code spells it."""
        self._names[module].add(name)
        return name.partition(" as ")[2] or name

    def module(self, dotted: str) -> str:
        """Import a module, and return it as the code spells it."""
        package, _, last = dotted.rpartition(".")
        if not package:
            self._names[""].add(last)
            return last
        return self.name(package, last)

    def text(self) -> str:
        """Return the source."""
        blocks = [docstring(self.says)]
        sections: dict[int, list[str]] = defaultdict(list)
        for module, names in self._names.items():
            lines = [f"import {name}" for name in sorted(names)] if not module else [_from(module, names)]
            sections[self._section(module or min(names))] += lines
        for _, lines in sorted(sections.items()):
            plain = sorted(line for line in lines if line.startswith("import "))
            named = sorted(
                (line for line in lines if line.startswith("from ")),
                key=lambda line: line.split()[1].casefold(),
            )
            blocks.append("\n".join(plain + named))
        head = "\n\n".join(blocks)
        return "\n\n\n".join([head, *self.parts]) + "\n"

    def _section(self, module: str) -> int:
        top = module.partition(".")[0]
        return 0 if top in sys.stdlib_module_names else 2 if top in self.own else 1


def docstring(says: str, more: str = "", *, indent: str = "") -> str:
    """Return a docstring: one short line, and, where there is more to say, a paragraph below it."""
    if not more:
        return f'{indent}"""{says}"""'
    lines = [f'"""{says}', "", *textwrap.wrap(more, WIDTH - len(indent)), '"""']
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def comment(says: str, *, indent: str = "") -> str:
    """Return a comment, in several lines if it is long."""
    return "\n".join(f"{indent}# {line}" for line in textwrap.wrap(says, WIDTH - len(indent) - 2))


def listed(before: str, items: Sequence[str], after: str, *, indent: str = "") -> str:
    """Return ``before(items)after`` in one line, or with one item a line."""
    line = f"{indent}{before}{', '.join(items)}{after}"
    if len(line) <= WIDTH or not items:
        return line
    inner = "".join(f"{indent}    {item},\n" for item in items)
    return f"{indent}{before}\n{inner}{indent}{after}"


def _from(module: str, names: Iterable[str]) -> str:
    ordered = sorted(names, key=_rank)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"


def _rank(name: str) -> tuple[int, str]:
    """Sort constants, then classes, then the rest, as import sorters do."""
    plain = name.partition(" as ")[0]
    kind = 0 if plain.isupper() and len(plain) > 1 else 1 if plain[:1].isupper() else 2
    return kind, plain
