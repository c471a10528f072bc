"""Starting a recording of tests: with every hook in place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from microworkflows_xray.observed import functions, network, requesting, statements, tasks, transactions
from microworkflows_xray.observed.recording import Recording


def start(root: Path, *, also: Iterable[str]) -> Recording:
    """Return a recording of all that happens from now on.

    Args:
        root: The project's root.
        also: Installed packages to look at as if they were the project's.

    Raises:
        LookupError: A package is not there.
    """
    recording = Recording("tests", root, also=also, everywhere=True)
    recording.hook(*(each.hook for each in (statements, transactions, requesting, tasks, network, functions)))
    return recording
