"""The stamp: which contexts' steps the monolith does in one flow, decided when it begins and inherited by each event.

It travels as the CloudEvents extension attribute ``cutover``, such as ``inventory=inline payments=shadow``. A context
that it does not name is live. No stamp at all: every context is, as it is once the monolith is gone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

ATTRIBUTE = "cutover"
"""Name of the extension attribute (CloudEvents 1.0: lower-case letters and digits)."""

MONOLITH = "monolith"
"""Name of the queue that feeds the monolith's own worker; no context may be called so."""

_DONE = "done"
_ENTRY = re.compile(r"([a-z_][a-z0-9_]*)=(inline|shadow)")


class Mode(StrEnum):
    """Who does a context's steps in a flow."""

    INLINE = "inline"
    """The monolith, in the process and transaction that recorded the event."""
    SHADOW = "shadow"
    """The monolith, as inline; the new microworkflow runs too, is compared and rolled back."""
    LIVE = "live"
    """The context's own worker."""
    DONE = "done"
    """Nobody: the code that recorded the event did everything that follows from it."""


BY_MONOLITH = frozenset({Mode.INLINE, Mode.SHADOW})
"""The modes in which the monolith does the steps."""


@dataclass(frozen=True)
class Stamp:
    """What a flow was stamped with when it began."""

    entries: tuple[tuple[str, Mode], ...] = ()
    """The contexts whose steps the monolith does, sorted, each with its mode."""
    done: bool = False
    """Whether nothing is left to do for anybody."""

    @staticmethod
    def of(modes: Mapping[str, Mode]) -> "Stamp":
        """Return the stamp that names these contexts."""
        return Stamp(tuple(sorted(modes.items())))

    @staticmethod
    def parse(text: str | None) -> "Stamp":
        """Read the attribute's value; None, which stands for its absence, is :data:`UNSTAMPED`.

        Raises:
            ValueError: it is no stamp. Whoever acted on it could do a step twice, or not at all.
        """
        return UNSTAMPED if text is None else _parse(text)

    def mode(self, context: str) -> Mode:
        """Return who does the steps of a context in this flow."""
        return Mode.DONE if self.done else dict(self.entries).get(context, Mode.LIVE)

    def __str__(self) -> str:
        if self.done:
            return _DONE
        return " ".join(f"{context}={mode}" for context, mode in self.entries)

    def __bool__(self) -> bool:
        return self.done or bool(self.entries)


UNSTAMPED = Stamp()
"""Every context is live."""


@lru_cache(maxsize=256)
def _parse(text: str) -> Stamp:
    if text == _DONE:
        return Stamp(done=True)
    entries = [_ENTRY.fullmatch(part) for part in text.split(" ")]
    modes = {entry[1]: Mode(entry[2]) for entry in entries if entry is not None}
    if len(modes) != len(entries):
        raise ValueError(
            f"{ATTRIBUTE} is {text!r}; write context=inline or context=shadow, with spaces between."
        )
    return Stamp.of(modes)
