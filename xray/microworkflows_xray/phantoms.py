"""Stand for packages that the project imports but that are not installed here, so that the rest can be looked at.

A phantom module holds whatever is asked of it. As a decorator it leaves the function as it is, as a base class it adds nothing,
as a field of a model it is no column. What a missing package defines is therefore not seen, which a gap says for each.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import inspect
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any


class Phantoms(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finder that comes after all others and knows the packages to stand for."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        """Top-level names of the packages."""

    def stand_for(self, name: str) -> None:
        """Let imports of this top-level package succeed from now on."""
        if self not in sys.meta_path:
            sys.meta_path.append(self)
        self.names.add(name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in self.names:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _PhantomModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """A phantom has no code."""


def _special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


class _PhantomModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if _special(name):
            raise AttributeError(name)
        return Phantom()


class PhantomBase:
    """What a class inherits in the place of a class that is missing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take whatever the missing class might take."""

    def __getattr__(self, name: str) -> Any:
        if _special(name):
            raise AttributeError(name)
        return Phantom()


class Phantom:
    """Anything that a missing package may hold."""

    def __getattr__(self, name: str) -> Any:
        if _special(name):
            raise AttributeError(name)
        return Phantom()

    def __call__(self, *args: Any, **options: Any) -> Any:
        decorated = (
            len(args) == 1 and not options and (inspect.isroutine(args[0]) or inspect.isclass(args[0]))
        )
        return args[0] if decorated else self

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        others = [base for base in bases if isinstance(base, type) and issubclass(base, PhantomBase)]
        first = next(base for base in bases if isinstance(base, Phantom))
        return (PhantomBase,) if first is self and not others else ()

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __getitem__(self, key: Any) -> Any:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget it."""

    def __contains__(self, item: Any) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<of a package that is not installed>"

    def __int__(self) -> int:
        return 0

    __index__ = __int__

    def __float__(self) -> float:
        return 0.0

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        """Let errors pass."""

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __subclasscheck__(self, subclass: Any) -> bool:
        return False

    def _other(self, other: Any) -> Any:
        return self

    __or__ = __ror__ = __and__ = __rand__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = (
        __truediv__
    ) = __mod__ = _other
    __lt__ = __le__ = __gt__ = __ge__ = _other
