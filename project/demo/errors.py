"""How the demo says that it cannot go on: one paragraph with what happened, why, and what to do."""

from django.core.management.base import CommandError


class NotStartedError(CommandError):
    """Something is in the way; nothing was started. The command ends with exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class ProcessFailedError(CommandError):
    """One of the demo's processes does not run; the command ends with exit code 1."""


class StoppedError(Exception):
    """Somebody pressed Ctrl-C, or asked the demo to end by a signal."""
