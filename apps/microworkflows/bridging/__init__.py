"""Bridging: data that several contexts need, once one of them leaves the monolith. A Django app, installed while that lasts.

``manage.py bootstrap`` records rows of the past as events, for the contexts that need them (:mod:`.bootstrapping`); ``loosen`` makes
ids of foreign keys (:mod:`.loosening`); ``reconcile`` says what differs between two sides (:mod:`.comparing`, :mod:`.receipts`); and events keep copies
of another context's rows (:mod:`.copies`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microworkflows.bridging.comparing import Comparison
    from microworkflows.bridging.copies import Copy
    from microworkflows.bridging.rows import Past

__all__ = ["Comparison", "Copy", "Past"]

_HOMES = {"Comparison": "comparing", "Copy": "copies", "Past": "rows"}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: Django imports this package before any model may be imported."""
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
