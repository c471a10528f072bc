"""Ctrl-C and its relatives, noticed where the demo waits and nowhere else, so that no process is lost half started."""

import signal
import time
from types import FrameType

from project.demo.errors import StoppedError

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 0.05


class Interruption:
    """Counts the signals that ask the demo to end."""

    def __init__(self) -> None:
        self.count = 0

    def listen(self) -> None:
        """Take the signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: the demo is asked to end.
        """
        ends_at = time.monotonic() + seconds
        while True:
            if self.count:
                raise StoppedError
            left = ends_at - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_SECONDS))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
