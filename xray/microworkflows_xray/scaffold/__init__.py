"""Scaffold: the code for a seam as the kit spells it, ready to edit. What only a person can decide is marked TODO.

:mod:`.planning` decides where the files go, :mod:`.files` says what is in them, and :mod:`.writing` writes them.
"""

from __future__ import annotations

from microworkflows_xray.scaffold.planning import ScaffoldError
from microworkflows_xray.scaffold.writing import run

__all__ = ["ScaffoldError", "run"]
