"""The stamp: which contexts' steps the monolith does in one flow, decided when it begins and inherited by each event.

It travels as the flow's mark, such as ``inventory=inline payments=shadow``. A context that it does not name is live. No
mark at all: every context is, as it is once the monolith is gone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from microworkflows.cloudevents import MARK

MONOLITH = "monolith"
"""Name of the queue that the monolith's own worker consumes; no context may be called so."""

DONE = "done"
"""The mark of a flow of which nothing is left to do: the code that recorded its event did everything."""

_ENTRY = re.compile(r"([a-z_][a-z0-9_]*)=(inline|shadow)")


class Mode(StrEnum):
    """Who does a context's steps in a flow."""

    INLINE = "inline"
    """The monolith, in the process and transaction that recorded the event."""
    SHADOW = "shadow"
    """The monolith, as inline; the new microworkflow runs too, is compared and rolled back."""
    LIVE = "live"
    """The context's own worker."""


BY_MONOLITH = frozenset({Mode.INLINE, Mode.SHADOW})
"""The modes in which the monolith does the steps."""


@dataclass(frozen=True)
class Stamp:
    """The decision that was taken for a flow when it began."""

    entries: tuple[tuple[str, Mode], ...] = ()
    """The contexts whose steps the monolith does, sorted, each with its mode."""
    done: bool = False
    """Whether nothing is left to do for anybody."""

    @staticmethod
    def of(modes: Mapping[str, Mode]) -> "Stamp":
        """Return the stamp that names these contexts."""
        return Stamp(tuple(sorted(modes.items())))

    @staticmethod
    def parse(mark: str | None) -> "Stamp":
        """Read a flow's mark; None, which stands for its absence, is :data:`UNSTAMPED`.

        Raises:
            ValueError: it is no stamp. Whoever acted on it could do a step twice, or not at all.
        """
        return UNSTAMPED if mark is None else _parse(mark)

    def mode(self, context: str) -> Mode | None:
        """Return who does the steps of a context in this flow; None: nobody, for they are done."""
        return None if self.done else dict(self.entries).get(context, Mode.LIVE)

    def __str__(self) -> str:
        return DONE if self.done else " ".join(f"{context}={mode}" for context, mode in self.entries)


UNSTAMPED = Stamp()
"""Every context is live."""


@lru_cache(maxsize=256)
def _parse(mark: str) -> Stamp:
    if mark == DONE:
        return Stamp(done=True)
    entries = [_ENTRY.fullmatch(part) for part in mark.split(" ")]
    modes = {entry[1]: Mode(entry[2]) for entry in entries if entry is not None}
    if len(modes) != len(entries):
        raise ValueError(f"{MARK} is {mark!r}; write context=inline or context=shadow, with spaces between.")
    return Stamp.of(modes)
