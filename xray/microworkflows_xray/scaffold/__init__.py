"""Scaffold: the code for a seam as the kit spells it, ready to edit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from microworkflows_xray.facts import Static

if TYPE_CHECKING:
    from microworkflows_xray.contexts import Contexts


def run(static: Static, contexts: Contexts, *, seam: str, output: Path, out: TextIO = sys.stdout) -> int:
    """Write the files of a seam; return 0, 1 if a file is there already, 2 if there is no such seam."""
    raise NotImplementedError
