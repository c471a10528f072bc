"""Fingerprints: which failures have the same cause, so that ten thousand parked messages are three problems.

The same are the exception's type, the innermost function of one's own code that it came through, and the microworkflow. A line
number would part failures of one cause at each deployment; a text, at each order's number.
"""

import hashlib
import re
import sysconfig
import traceback
from pathlib import Path
from types import CodeType

LENGTH = 12
"""Characters of a fingerprint."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_PYTHONS = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
_KIT = Path(__file__).resolve().parent
_is_own: dict[str, bool] = {}
"""What was found out of a file, by its name."""


def of_error(error: BaseException, *, consumer: str) -> str:
    """Return the fingerprint of a consumer's failure by an exception."""
    kind = type(error)
    return of_kind(f"{kind.__module__}.{kind.__qualname__}", consumer=consumer, place=_place(error))


def of_kind(kind: str, *, consumer: str, place: str = "") -> str:
    """Return the fingerprint of failures that no code raised, by a word for their kind."""
    told = "\n".join((kind, place, consumer))
    return hashlib.sha256(told.encode()).hexdigest()[:LENGTH]


def is_one(text: str) -> bool:
    """Return True if a text has the form of a fingerprint."""
    return re.fullmatch(f"[0-9a-f]{{{LENGTH}}}", text) is not None


def _place(error: BaseException) -> str:
    """Return module and function of the innermost frame of one's own code; empty if it came through none.

    The module's name, not its file's: where a project is installed differs from machine to machine.
    """
    place = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if _is_ones_own(frame.f_code):
            place = f"{frame.f_globals.get('__name__', '')}:{frame.f_code.co_qualname}"
    return place


def _is_ones_own(code: CodeType) -> bool:
    """Return True for code that is neither Python's, nor installed by pip, nor the kit's."""
    name = code.co_filename
    if (known := _is_own.get(name)) is None:
        known = _is_own[name] = not name.startswith("<") and _is_of_project(Path(name))
    return known


def _is_of_project(file: Path) -> bool:
    if not _INSTALLED.isdisjoint(file.parts):
        return False
    file = file.resolve()
    return not file.is_relative_to(_KIT) and not any(file.is_relative_to(folder) for folder in _PYTHONS)
