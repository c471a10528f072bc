"""The steps of a move, as ``ContextMove`` keeps them: each is noted before it begins and may be done twice."""

from enum import StrEnum

from microworkflows.errors import MicroworkflowsError


class SplitError(MicroworkflowsError):
    """The context cannot be moved like this, or the move stopped; the text says which, why, and what to do."""


AGAIN = "Run the same command again to go on, or with --abort to give the move up."


class MoveStep(StrEnum):
    """Progress of a move."""

    PREPARE = "prepare"
    """The target gets its tables, and a fence."""
    CAPTURE = "capture"
    """From here on, what changes in the context's rows is noted."""
    COPY = "copy"
    """Its rows are copied, range by range, while it works."""
    CATCH_UP = "catch_up"
    """What has changed meanwhile is copied, too, and all rows are verified."""
    PAUSE = "pause"
    """The fence around the context's rows in the source closes."""
    DRAIN = "drain"
    """The events that the context announced go to the broker."""
    SWITCH = "switch"
    """The last changes are copied, and the source gives the context up."""
    OPEN = "open"
    """The source has given it up; the target's fence opens."""
    TIDY = "tidy"
    """The context works in the target; triggers and old events leave the source."""
    MOVED = "moved"
    """The context lives in the target. Its old tables are still in the source, behind the fence."""
    DROPPED = "dropped"
    """The context lives in the target, and its old tables are empty."""


AWAY = frozenset({MoveStep.OPEN, MoveStep.TIDY, MoveStep.MOVED, MoveStep.DROPPED})
"""The steps at which the context belongs to the target: it can be moved back, but no longer aborted."""

DONE = frozenset({MoveStep.MOVED, MoveStep.DROPPED})
"""The steps after which nothing is left to do."""
