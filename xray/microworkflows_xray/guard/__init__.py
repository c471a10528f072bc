"""Guard: a ratchet for coupling. Today's violations are written down, new ones fail by name, and the list may only shrink.

A look becomes violations (:mod:`.violations`), which are compared (:mod:`.comparing`) with a file in the repository
(:mod:`.baseline`); :mod:`.telling` says what is new and what has gone, and :mod:`.contracts` writes the same for import-linter.
"""

from __future__ import annotations

from microworkflows_xray.guard.baseline import BaselineError
from microworkflows_xray.guard.running import run

__all__ = ["BaselineError", "run"]
