"""Progress of the copying, on stderr: a bar on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Callable
from typing import TextIO

_BAR = 30
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 10.0


class Progress:
    """Counts rows and shows the share that is done."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._every = _REDRAW_SECONDS if self._terminal else _LINE_SECONDS
        self._total = self._done = 0
        self._name = ""
        self._shown_at = clock()

    def begin(self, total: int) -> None:
        """Start to count up to ``total``."""
        self._total, self._done, self._shown_at = total, 0, self._clock()

    def name(self, name: str) -> None:
        """Name the table of the next rows."""
        self._name = name

    def add(self) -> None:
        """Count a row."""
        self._done += 1
        if self._done % 100 == 0 and self._clock() >= self._shown_at + self._every:
            self._show()

    def end(self) -> None:
        """Show that all rows are copied."""
        self._name = "all tables"
        self._show()
        if self._terminal:
            self._stream.write("\n")

    def _show(self) -> None:
        self._shown_at = self._clock()
        share = self._done / self._total if self._total else 1.0
        text = f"{share:4.0%}  {self._done} of {self._total} rows  {self._name}"
        if self._terminal:
            bar = ("█" * round(share * _BAR)).ljust(_BAR, "░")
            self._stream.write(f"\r\x1b[K{bar} {text}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()
