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
    PAUSE = "pause"
    """The fence goes up around the context's rows in the source."""
    DRAIN = "drain"
    """The events that the context announced go to the broker."""
    COPY = "copy"
    """Its rows are copied and verified."""
    SWITCH = "switch"
    """The source gives the context up."""
    OPEN = "open"
    """The source has given it up; the target's fence comes down."""
    MOVED = "moved"
    """The context lives in the target. Its old tables are still in the source, behind the fence."""
    DROPPED = "dropped"
    """The context lives in the target, and its old tables are empty."""


AWAY = frozenset({MoveStep.OPEN, MoveStep.MOVED, MoveStep.DROPPED})
"""The steps at which the context belongs to the target: it can be moved back, but no longer aborted."""
