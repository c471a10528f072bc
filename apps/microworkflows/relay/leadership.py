"""One active relay for each context: the holder of a lock leads; when it dies, the lock is free for the next."""

import fcntl
import zlib
from pathlib import Path
from typing import IO, Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper


class Leadership(Protocol):
    """A lock that its holder loses with its database session or its process, whichever ends first."""

    def acquire(self) -> bool:
        """Try to lead, without waiting; return True while leading."""

    def release(self) -> None:
        """Let the next one lead."""


def leadership(connection: BaseDatabaseWrapper, context: str) -> Leadership:
    """Return the lock of a context for this kind of database."""
    if connection.vendor == "postgresql":
        return _AdvisoryLock(connection, context)
    return _FileLock(Path(str(connection.settings_dict["NAME"])), context)


class _AdvisoryLock:
    """PostgreSQL session-level advisory lock, on the very session that reads and marks the outbox.

    So a relay that lost its session can mark nothing before it leads again. (A connection pooler in transaction mode
    would break this: the lock belongs to the session.)
    """

    def __init__(self, connection: BaseDatabaseWrapper, context: str) -> None:
        self._connection = connection
        self._key = (_signed_crc32("microworkflows.relay"), _signed_crc32(context))
        self._session: Any = None

    def acquire(self) -> bool:
        if self._session is not None and self._session is self._connection.connection:
            return True
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", self._key)
            (held,) = cursor.fetchone()
        self._session = self._connection.connection if held else None
        return bool(held)

    def release(self) -> None:
        session, self._session = self._session, None
        if session is not None and session is self._connection.connection:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", self._key)


class _FileLock:
    """A lock on a file beside the SQLite database; the kernel releases it with the process."""

    def __init__(self, database: Path, context: str) -> None:
        self._path = database.with_name(f"{database.name}.relay-{context}.lock")
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        if self._file is not None:
            return True
        self._path.touch(0o600)  # as whoever may open it may take the lock
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _signed_crc32(text: str) -> int:
    value = zlib.crc32(text.encode())
    return value - 2**32 if value >= 2**31 else value
