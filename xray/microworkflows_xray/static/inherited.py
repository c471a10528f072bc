"""What a method that a class inherits from a library calls of the class's own: ``render_done`` of a wizard, for one, calls ``done``.

The library's code is not parsed; its bytecode says which members of ``self`` it uses.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any

from . import live
from .registry import name_of
from .sources import Sources

_MOST = 200
"""Members that are followed for one method; the hooks are near."""


class Inherited:
    """Hooks of classes, by the library's method that calls them."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._known: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._uses: dict[CodeType, tuple[frozenset[str], bool]] = {}

    def hooks(self, cls: str, name: str, after: str = "") -> tuple[str, ...]:
        """Name the functions of the project's code that a method calls on ``self``, directly or through others of the library's.

        Args:
            after: Class behind which the method is looked for, as ``super()`` does.
        """
        key = (cls, name, after)
        if key not in self._known:
            self._known[key] = tuple(sorted(set(self._find(cls, name, after))))
        return self._known[key]

    def _find(self, cls: str, name: str, after: str) -> Iterator[str]:
        loaded = live.find(cls)
        if loaded is None or not live.is_class(loaded) or name_of(loaded) != cls:
            return
        order = loaded.__mro__
        behind = next((place for place, base in enumerate(order) if name_of(base) == after), -1) + 1
        waiting = [(name, behind)]
        seen = set(waiting)
        while waiting and len(seen) < _MOST:
            member, start = waiting.pop()
            for place, base in enumerate(order[start:], start):
                if member not in vars(base):
                    continue
                function = f"{name_of(base)}.{member}"
                if function in self._sources.functions:
                    if (member, start) != (name, behind):
                        yield function
                    break
                used, passes_on = self._used(vars(base)[member])
                new = {(each, 0) for each in used if not each.startswith("__")}
                new |= {(member, place + 1)} if passes_on else set()
                waiting += new - seen
                seen |= new
                break

    def _used(self, member: Any) -> tuple[frozenset[str], bool]:
        """Name the members of ``self`` that a method or property uses; and tell whether it asks ``super()``."""
        for wrapper in ("fget", "func", "__func__"):
            member = getattr(member, wrapper, member)
        code = getattr(inspect.unwrap(member) if callable(member) else member, "__code__", None)
        if not isinstance(code, CodeType) or not code.co_varnames:
            return frozenset(), False
        if code not in self._uses:
            self._uses[code] = (frozenset(_members_of(code, code.co_varnames[0])), "super" in code.co_names)
        return self._uses[code]


def _members_of(code: CodeType, this: str) -> Iterator[str]:
    """Name the attributes that are read of a variable."""
    loaded: Any = None
    for each in dis.get_instructions(code):
        if each.opname in {"LOAD_ATTR", "LOAD_METHOD"} and loaded == this:
            yield str(each.argval)
        last = each.argval[-1] if isinstance(each.argval, tuple) and each.argval else each.argval
        loaded = last if each.opname.startswith("LOAD_FAST") else None
