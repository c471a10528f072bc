"""Locks a file for this process alone, until it is released or the process dies.

The lock is a POSIX record lock, for two of its properties: the kernel drops it when its process ends, even by a
kill, and a forked child does not share it, so a pool process that outlives its killed worker holds nothing back.
The price is that closing *any* descriptor of a file drops the process's lock on it. So a process opens a message
file only here, and never while it holds it: `_taken` enforces that rule.
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
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by system: somebody has it
            return None
        finally:
            if path not in _taken:
                os.close(descriptor)
    return None


def release(path: Path) -> None:
    """Release `path`, which stays for the next one to take."""
    with _guard:
        descriptor = _taken.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Delete `path` and release it, if this process holds it."""
    with _guard:
        if path in _taken:
            files.remove_if_there(path)  # it may be gone: its queue was deleted meanwhile
            release(path)


def _is_still_at(path: Path, descriptor: int) -> bool:
    """Return True if nobody removed or moved the file between its opening and its locking here."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _forget_the_parents() -> None:
    """In a forked child, close the copies, which carry no locks; the parent's locks stay."""
    try:
        for descriptor in _taken.values():
            os.close(descriptor)
        _taken.clear()
    finally:
        _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget_the_parents)
