"""The stamp: the contexts whose steps the monolith does in one flow, decided as it begins, inherited by each event.

It travels as the flow's mark, such as ``inventory=inline payments=shadow``. A context that it does not name is live.
Without a mark every context is live, as they all are once the monolith is gone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from microworkflows import past
from microworkflows.cloudevents import MARK
from microworkflows.errors import UnreadableMarkError

MONOLITH = "monolith"
"""Name of the queue that the monolith's own worker consumes; no context may have this name."""

DONE = "done"
"""The mark of a flow in which nothing is left to do: the code that recorded its event did everything."""

_ENTRY = re.compile(r"([a-z_][a-z0-9_]*)=(inline|shadow)")


class Mode(StrEnum):
    """A way to do a context's steps in a flow."""

    INLINE = "inline"
    """The monolith does them, in the process and transaction that recorded the event."""
    SHADOW = "shadow"
    """The monolith does them, as inline; the new microworkflow runs too, is compared and rolled back."""
    LIVE = "live"
    """The context's own worker does them."""


DISAGREED = "shadow disagreed"
"""What a journey says of a step in shadow whose two runs did not agree."""

BY_MONOLITH = frozenset({Mode.INLINE, Mode.SHADOW})
"""The modes in which the monolith does the steps."""


@dataclass(frozen=True)
class Stamp:
    """The decision made for a flow when it began."""

    entries: tuple[tuple[str, Mode], ...] = ()
    """The contexts whose steps the monolith does, sorted, each with its mode."""
    done: bool = False
    """True if nothing is left to do for any context."""

    @staticmethod
    def of(modes: Mapping[str, Mode]) -> "Stamp":
        """Return the stamp that names these contexts."""
        return Stamp(tuple(sorted(modes.items())))

    @staticmethod
    def parse(mark: str | None) -> "Stamp":
        """Read a flow's mark; an absent mark, None, is :data:`UNSTAMPED`.

        Raises:
            UnreadableMarkError: the mark is not a stamp; acting on it could do a step twice, or not at all.
        """
        return UNSTAMPED if mark is None else _parse(mark)

    def mode(self, context: str) -> Mode | None:
        """Return the mode of a context in this flow; None if its steps are already done."""
        return None if self.done else dict(self.entries).get(context, Mode.LIVE)

    def __str__(self) -> str:
        return DONE if self.done else " ".join(f"{context}={mode}" for context, mode in self.entries)


UNSTAMPED = Stamp()
"""The stamp of a flow in which every context is live."""


@lru_cache(maxsize=256)
def _parse(mark: str) -> Stamp:
    if mark == DONE or past.is_mark(mark):  # of the past: nothing of it is the monolith's to do
        return Stamp(done=True)
    entries = [_ENTRY.fullmatch(part) for part in mark.split(" ")]
    modes = {entry[1]: Mode(entry[2]) for entry in entries if entry is not None}
    if len(modes) != len(entries):
        raise UnreadableMarkError(
            f"The flow is marked {mark!r} (attribute {MARK}), which is not a stamp. A stamp is written as "
            "context=inline or context=shadow, with spaces between."
        )
    return Stamp.of(modes)
