"""Files that a process writes while it records: complete at any time, and one for each process."""

from __future__ import annotations

import atexit
import os
import secrets
import threading
import time
from pathlib import Path

from microworkflows_xray import facts
from microworkflows_xray.observed import functions, network, statements, transactions
from microworkflows_xray.observed.recording import Recording

NEWS_SECONDS = 30
"""Something seen for the first time is written after this time at the latest, if requests go on."""
COUNTS_SECONDS = 600
"""Numbers alone are written so often."""


class Writer:
    """The recording of this process, and its file."""

    def __init__(self, directory: Path, root: Path, also: tuple[str, ...], sampled: float) -> None:
        """Take the folder for the files, the project's root, packages to look at as well, and the share of requests."""
        self.recording: Recording | None = None
        self._directory = directory
        self._root = root
        self._also = also
        self._sampled = sampled
        self._lock = threading.Lock()
        self._process = 0
        self._file = Path()
        self._written_at = 0.0
        self._news = 0

    def is_ready(self) -> bool:
        """Begin the recording with the first request of a process, and tell whether there is one."""
        # A server may load the program first, and fork its processes then: each begins its own.
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._process = os.getpid()
                    self._begin()
        return self.recording is not None

    def write_if_due(self) -> None:
        """Write the file in a thread of its own, if there is something new or it is long ago."""
        recording = self.recording
        if recording is None:
            return
        age = time.monotonic() - self._written_at
        if age < NEWS_SECONDS or (
            age < COUNTS_SECONDS and recording.tally.news + len(recording.executed) == self._news
        ):
            return
        self._written_at = time.monotonic()
        threading.Thread(target=self._write_guarded, name="xray-writer", daemon=True).start()

    def _begin(self) -> None:
        if self.recording is not None:
            self.recording.close()  # the parent's, with all hooks that were copied
        self.recording = None
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file = self._directory / f"xray-{os.getpid()}-{secrets.token_hex(4)}.json"
        recording = Recording("middleware", self._root, also=self._also, everywhere=False)
        recording.sampled = self._sampled
        recording.hook(statements.hook, transactions.hook, network.hook, functions.hook_cheaply)
        self._written_at = time.monotonic()
        self.recording = recording
        atexit.register(self._write_last, os.getpid())

    def _write_last(self, process: int) -> None:
        if process == os.getpid():
            self._write_guarded()

    def _write_guarded(self) -> None:
        recording = self.recording
        if recording is None:
            return
        try:
            with self._lock:
                self._news = recording.tally.news + len(recording.executed)
                unfinished = self._file.with_suffix(".part")
                facts.dump(recording.observed(), unfinished)
                unfinished.replace(self._file)
        except Exception as error:
            recording.failed(f"writing {self._file}", error)
