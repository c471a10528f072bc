"""The ways in which a suite can run a context, as they are written on a command line: ``payments=withheld``."""

from collections.abc import Sequence
from enum import StrEnum


class Way(StrEnum):
    """A way to run a context's steps in a suite."""

    INLINE = "inline"
    """In the transaction that records the event, as before the cut-over: the baseline."""
    SHADOW = "shadow"
    """As inline; the microworkflow runs too, and is compared."""
    WITHHELD = "withheld"
    """The context is live, and its steps have not run yet: the latest that production can be."""
    LIVE = "live"
    """The context is live, and its steps run right after the commit: the earliest that production can be."""


def parse(given: Sequence[str]) -> dict[str, Way]:
    """Return the way of each context.

    Raises:
        ValueError: one is no ``context=way``, or a context has two.
    """
    found: dict[str, Way] = {}
    for text in given:
        context, _, way = text.partition("=")
        if not context or way not in set(Way):
            raise ValueError(
                f"--mode {text}: write a context and one of {', '.join(Way)}: --mode payments=withheld."
            )
        if found.setdefault(context, Way(way)) != way:
            raise ValueError(f"--mode names {context} twice, as {found[context]} and as {way}.")
    return found
