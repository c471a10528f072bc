"""Numbers and places in words, the same in each format."""

from __future__ import annotations

from microworkflows_xray.bonds import Kind
from microworkflows_xray.facts import Gap, Place
from microworkflows_xray.graph import Edge

KINDS: dict[Kind, tuple[str, str]] = {
    "write": ("write", "writes"),
    "foreign key": ("foreign key", "foreign keys"),
    "join": ("join", "joins"),
    "read": ("read", "reads"),
    "generic relation": ("generic relation", "generic relations"),
    "signal": ("signal", "signals"),
    "call": ("call", "calls"),
    "task": ("task", "tasks"),
    "import": ("import", "imports"),
    "loader": ("loaded name", "loaded names"),
}


def many(count: int, one: str, several: str = "") -> str:
    """Return ``1 table``, ``1,234 tables``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def kind(edge: Edge, name: Kind) -> str:
    """Return ``3 foreign keys``."""
    return many(edge.count(name), *KINDS[name])


def kinds(edge: Edge) -> str:
    """Return ``2 writes, 1 foreign key, 4 imports``."""
    return ", ".join(kind(edge, name) for name in edge.kinds)


def gap(missing: Gap) -> str:
    """Return what is missing and why, as ``app loyalty: its models do not import``."""
    return f"{missing.what.rstrip('. ')}: {missing.why}"


def at(place: Place | None) -> str:
    """Return ``orders/operations.py:20``; empty if no place is known."""
    return f"{place.file}:{place.line}" if place and place.file else ""
