"""Receivers of the kit's signals: each notes what it was told in the file that the setting ``PROBE_SIGNALS`` names, and then fails."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.dispatch import Signal

from microworkflows import signals


def connect() -> None:
    """Listen to every signal, where a file is named."""
    if file := getattr(settings, "PROBE_SIGNALS", ""):
        for name in signals.__all__:
            signal: Signal = getattr(signals, name)
            signal.connect(_noting(name, Path(file)), weak=False)


def _noting(name: str, file: Path) -> Any:
    def note(sender: type, signal: Signal, **arguments: Any) -> None:
        told = {"signal": name, "sender": sender.__name__, **arguments}
        with file.open("a") as opened:
            opened.write(json.dumps(told, default=str) + "\n")
        raise RuntimeError("a receiver that fails")

    return note
