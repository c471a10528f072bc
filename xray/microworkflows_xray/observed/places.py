"""Places of code, found by walking the stack: the innermost line that is looked at, and the functions around it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import CodeType, FrameType

from microworkflows_xray.facts import Place
from microworkflows_xray.observed import names
from microworkflows_xray.observed.looked import Looked

_MIDDLEWARE = os.path.join("django", "core", "handlers", "exception.py")
"""The code that stands between one middleware and the next; what is beyond has nothing to do with the one that runs."""
_VIEW = os.path.join("django", "core", "handlers", "base.py")
"""The code that calls the view."""
_MODELS = os.path.join("django", "db", "models") + os.sep
_SKIP, _OWN, _TEST, _IN_VIEW, _IN_MIDDLEWARE, _ORM = range(6)


class Spot:
    """A line that was on the stack. There is one object for each, so that it can be looked up by identity."""

    __slots__ = ("how", "place")

    def __init__(self, place: Place, how: str) -> None:
        self.place = place
        self.how = how


@dataclass(frozen=True)
class Stack:
    """The part of a stack that matters."""

    spot: Spot | None
    """Innermost line that is looked at; None if there is none before the view's call or a test."""
    test: bool
    """True if a test did it by itself, without any code that is looked at."""
    functions: tuple[str, ...]
    """Dotted names of the functions that are looked at, innermost first; only filled when asked for."""


class Places:
    """Reads stacks. Each code object is classified once."""

    def __init__(self, looked: Looked) -> None:
        self._looked = looked
        self._kinds: dict[CodeType, int] = {}
        self._names: dict[CodeType, str] = {}
        self._elsewhere: dict[tuple[str, str], Spot] = {}
        self._spots: dict[tuple[CodeType, int, str], Spot] = {}

    def read(self, frame: FrameType | None, *, whole: bool = False) -> Stack:
        """Walk from a frame outwards; *whole* goes on beyond the innermost place, and names all functions."""
        kinds = self._kinds
        spot: Spot | None = None
        how = "SQL"
        functions: dict[str, None] = {}
        inner = frame
        while frame is not None:
            code = frame.f_code
            kind = kinds.get(code)
            if kind is None:
                kind = kinds[code] = self._kind(code)
            if kind == _OWN:
                if spot is None:
                    spot = self._spot(frame, how)
                    if not whole:
                        return Stack(spot, test=False, functions=())
                functions[self.name(code, frame)] = None
            elif kind == _TEST:
                return Stack(spot, test=spot is None, functions=tuple(functions))
            elif kind == _IN_VIEW:
                break
            elif kind == _IN_MIDDLEWARE:
                spot = spot or self._middleware(inner, how)
                break
            elif kind == _ORM:
                how = "ORM"
            inner, frame = frame, frame.f_back
        return Stack(spot, test=False, functions=tuple(functions))

    def name(self, code: CodeType, frame: FrameType) -> str:
        """Give the dotted name of a frame's function."""
        name = self._names.get(code)
        if name is None:
            name = self._names[code] = names.of_code(code, frame.f_globals.get("__name__", ""))
        return name

    def is_own(self, code: CodeType) -> bool:
        """Tell whether code is looked at."""
        kind = self._kinds.get(code)
        if kind is None:
            kind = self._kinds[code] = self._kind(code)
        return kind == _OWN

    def _middleware(self, frame: FrameType | None, how: str) -> Spot | None:
        """Return a place without a file: a middleware of a package, which does something by itself."""
        middleware = frame.f_locals.get("self") if frame is not None else None
        return self.elsewhere(names.of_callable(type(middleware)), how) if middleware is not None else None

    def elsewhere(self, name: str, how: str) -> Spot:
        """Return the spot of a class or function that is not looked at; it has a name, but no file."""
        found = self._elsewhere.get((name, how))
        if found is None:
            found = self._elsewhere[name, how] = Spot(Place("", 0, name), how)
        return found

    def _spot(self, frame: FrameType, how: str) -> Spot:
        code = frame.f_code
        line = frame.f_lineno or code.co_firstlineno
        return self._spots.get((code, line, how)) or self._made(code, line, self.name(code, frame), how)

    def _made(self, code: CodeType, line: int, name: str, how: str) -> Spot:
        file = self._looked.file(code.co_filename)
        return self._spots.setdefault((code, line, how), Spot(Place(file.shown, line, name, file.app), how))

    def _kind(self, code: CodeType) -> int:
        kind = self._looked.file(code.co_filename).kind
        if kind:
            return _OWN if kind == "own" else _TEST
        if code.co_filename.endswith(_MIDDLEWARE):
            return _IN_MIDDLEWARE
        if code.co_filename.endswith(_VIEW) and code.co_name.startswith("_get_response"):
            return _IN_VIEW
        return _ORM if _MODELS in code.co_filename else _SKIP
