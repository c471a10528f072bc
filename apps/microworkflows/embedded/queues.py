"""A queue as a folder: one file per message, whose name is its place in the queue."""

import contextlib
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from microworkflows.embedded import files, locks

logger = logging.getLogger(__name__)

# Reading a folder takes time in proportion to its size, so one listing serves for a moment.
LISTING_SECONDS = 0.1
# A publisher that is killed leaves an unfinished file; one of this age belongs to nobody.
ABANDONED_SECONDS = 3600

# Per thread, so that it takes no lock that a fork could copy in its locked state.
_stamps = threading.local()


class Taken(NamedTuple):
    """A message that this process holds until it is removed or released."""

    queue: str
    path: Path
    descriptor: int
    deliveries: int  # number of times that it was taken before

    def body(self) -> bytes:
        """Return the body that was put."""
        return _read(self.descriptor).rstrip(b"\n")

    def remove(self) -> None:
        """Delete the message, which was settled."""
        locks.remove(self.path)

    def release(self) -> None:
        """Release the message: it stays at its place in the queue, for the next consumer to take."""
        locks.release(self.path)


class FileQueue:
    """The queue `name` of the broker in the folder `root`."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / "queues" / files.name_to_file(name)
        self._arguments = self.folder / ".arguments.json"
        self._listing: deque[str] = deque()
        self._listed_at = 0.0

    def exists(self) -> bool:
        """Return True if somebody declared the queue, or put a message in."""
        return self.folder.is_dir()

    def declare(self, arguments: Mapping[str, Any] | None = None) -> None:
        """Create the queue if it does not exist. `arguments`, if any, replace those of earlier declarations.

        Damaged ones are replaced in any case: an earlier version may have left half of them on a full disk.
        """
        files.make_folder(self.folder)
        try:
            present = self.arguments()
        except files.BrokerFolderError:
            files.remove_if_there(self._arguments)
            logger.error("%s was damaged; the arguments of this declaration take its place", self._arguments)
            present = {}
        if arguments and dict(arguments) != present:
            files.write_durably(self._arguments, json.dumps(dict(arguments)).encode())
        self._sweep()

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its declaration.

        Raises BrokerFolderError if their file is damaged; to declare the queue mends it.
        """
        try:
            return dict(json.loads(self._arguments.read_bytes()))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError) as error:
            raise files.BrokerFolderError(
                f"{self._arguments} is not what the embedded broker wrote: {error!r}. "
                "Restart the workers: they mend it when they declare it again."
            ) from error

    def put(self, body: bytes) -> Path:
        """Add a message at the end; return its file. When this returns, the message survives a power cut.

        Raises OSError, and then the message is not in the queue, unless the disk lets nothing be removed either.
        """
        path = self.folder / f"{_next_stamp():020d}-{uuid.uuid4().hex}.json"
        try:
            try:
                files.write_durably(path, body)
            except FileNotFoundError:  # deleted, or never declared: keep the message all the same
                files.make_folder(self.folder)
                files.write_durably(path, body)
        except OSError:
            take_back(path)
            raise
        return path

    def take(self) -> Taken | None:
        """Take the oldest message that nobody holds; return None if there is none. The file counts its deliveries."""
        listed = False
        while True:
            if not self._listing or time.monotonic() - self._listed_at > LISTING_SECONDS:
                if listed:
                    return None
                self._listing, self._listed_at, listed = deque(self.messages()), time.monotonic(), True
            while self._listing:
                path = self.folder / self._listing.popleft()
                descriptor = locks.take(path)
                if descriptor is not None:
                    return _taken(self.name, path, descriptor)

    def look_again(self) -> None:
        """Forget the listing, because a message went back to its place."""
        self._listing.clear()

    def messages(self) -> list[str]:
        """Return the file names of all messages, held ones too, the oldest first."""
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries]
        except FileNotFoundError as error:
            raise files.BrokerFolderError(
                f"The queue {self.name!r} is not declared, or its folder {self.folder} was removed. "
                "A worker that starts or reconnects declares its queues."
            ) from error
        return sorted(name for name in names if name.endswith(".json") and not name.startswith("."))

    def purge(self) -> int:
        """Remove the messages that nobody holds; return their number."""
        paths = [self.folder / name for name in self.messages()]
        purged = 0
        for path in paths:
            if locks.take(path) is not None:
                locks.remove(path)
                purged += 1
        return purged

    def delete(self) -> None:
        """Remove the queue with all its messages, atomically."""
        doomed = self.folder.with_name(f".deleted-{uuid.uuid4().hex}")
        try:
            self.folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed)

    def _sweep(self) -> None:
        for unfinished in self.folder.glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):  # it was finished, or swept, meanwhile
                if time.time() - unfinished.stat().st_mtime > ABANDONED_SECONDS:
                    unfinished.unlink()


def take_back(path: Path) -> None:
    """Remove a message that was put, perhaps under the eyes of who has taken it; it may come again, as any may."""
    with contextlib.suppress(OSError):
        files.remove_if_there(path)


def _taken(queue: str, path: Path, descriptor: int) -> Taken:
    try:
        content = _read(descriptor)
        # One line break for each delivery: JSON allows them, and no second file has to be kept in step.
        deliveries = len(content) - len(content.rstrip(b"\n"))
        with contextlib.suppress(OSError):  # a full disk must not stop those who make room
            os.pwrite(descriptor, b"\n", len(content))
    except BaseException:
        locks.release(path)
        raise
    return Taken(queue, path, descriptor, deliveries)


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _next_stamp() -> int:
    """Return wall-clock nanoseconds, which outlive a restart of the machine; always more than this thread's last."""
    stamp: int = max(getattr(_stamps, "last", 0) + 1, time.time_ns())
    _stamps.last = stamp
    return stamp
