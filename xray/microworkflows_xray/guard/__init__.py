"""Guard: a ratchet for coupling. Today's violations are written down, new ones fail by name, and the list may only shrink."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from microworkflows_xray.facts import Static

if TYPE_CHECKING:
    from microworkflows_xray.contexts import Contexts


def run(
    static: Static,
    contexts: Contexts,
    *,
    root: Path,
    baseline: Path | None = None,
    init: bool = False,
    update: bool = False,
    allow: str = "",
    format: Literal["text", "json", "sarif", "github"] = "text",  # noqa: A002  (named as the command's option)
    import_linter: Path | None = None,
    out: TextIO = sys.stdout,
) -> int:
    """Compare a look with the baseline; return 0, 1 for a new violation or a partial look, 2 if there is no baseline."""
    raise NotImplementedError
