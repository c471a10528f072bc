"""The cut-over's part of the dictionary ``MICROWORKFLOWS``."""

from collections.abc import Sequence

from microworkflows import conf
from microworkflows.conf import Name, Section


class CutoverSettings(Section):
    """The cut-over's settings."""

    cutover: Sequence[Name] = ()
    """Labels of the contexts that a monolith is handing over; empty where there is none (any more)."""


def contexts() -> Sequence[str]:
    """Return the labels of the contexts being handed over; raises as :func:`microworkflows.conf.read` does."""
    return conf.read(CutoverSettings).cutover
