"""Cut-over: a monolith hands over its workflow, one context at a time. A Django app, installed while that lasts.

``MICROWORKFLOWS["CUTOVER"]`` names the contexts that are being handed over. The database keeps the mode of each
(:mod:`.switch`), which is stamped into a flow when it begins. The monolith does the steps of the contexts that are not
live yet (:mod:`.inline`), through its old functions where they are registered (:mod:`.legacy_steps`), and compares the
new microworkflows with them (:mod:`.shadow`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microworkflows.cutover.direct_calls import record_done
    from microworkflows.cutover.legacy_steps import legacy
    from microworkflows.cutover.shadow import in_shadow, refuse_in_shadow

__all__ = ["in_shadow", "legacy", "record_done", "refuse_in_shadow"]

_HOMES = {
    "in_shadow": "shadow",
    "legacy": "legacy_steps",
    "record_done": "direct_calls",
    "refuse_in_shadow": "shadow",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: Django imports this package before any model may be imported."""
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
