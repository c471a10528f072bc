"""Takes a file for this process alone, until it is let go or the process dies.

The lock is a POSIX record lock, for two of its properties: the kernel drops it when its process ends, however
it ends, and a forked child does not share it, so a pool process that outlives its killed worker holds nothing
back. The price: closing *any* descriptor of a file drops the process's lock on it. So a process opens a message
file here and nowhere else, and never while it holds it: `_taken` is that rule.
"""

import fcntl
import os
import threading
from pathlib import Path

from microworkflows.embedded import files

# Reentrant, because a signal handler may interrupt the thread that holds it.
_guard = threading.RLock()
_taken: dict[Path, int] = {}


def take(path: Path) -> int | None:
    """Lock the file `path` and return its descriptor, open to read and write; None if it is taken or gone."""
    with _guard:
        if path in _taken:
            return None
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_at(path, descriptor):
                _taken[path] = descriptor
                return descriptor
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes: somebody has it
            return None
        finally:
            if path not in _taken:
                os.close(descriptor)
    return None


def release(path: Path) -> None:
    """Let go of `path`, which stays: whoever looks next takes it."""
    with _guard:
        descriptor = _taken.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Delete `path`, if this process holds it, and let go of it."""
    with _guard:
        if path in _taken:
            files.remove_if_there(path)  # it may be gone: its queue was deleted meanwhile
            release(path)


def _is_still_at(path: Path, descriptor: int) -> bool:
    """Whether nobody removed or moved the file between our opening and our locking it."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _forget_the_parents() -> None:
    """In a forked child: its copies carry no locks, and closing them leaves the parent's alone."""
    try:
        for descriptor in _taken.values():
            os.close(descriptor)
        _taken.clear()
    finally:
        _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget_the_parents)
