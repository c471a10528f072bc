"""One active relay for each context: the holder of a lock leads, as long as it shows signs of life."""

import fcntl
import logging
import os
import socket
import time
import zlib
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from django.db import DatabaseError, ProgrammingError
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import poolers
from microworkflows.models import OutboxEvent

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
"""A leader that shows no sign of life for so long loses the lead to a relay that stands by."""

LONGEST_WAIT_SECONDS = LEASE_SECONDS * 2 / 3
"""Longest time for which a leader may wait for one answer, of the broker or another, without a sign of life."""

_SIGN_SECONDS = LEASE_SECONDS / 6
"""Longest time between two signs of life of a leader that has nothing to do."""

ROLE = "relay, "
"""What the name of a relay's database session begins with; the relay's own name follows."""


def own_name() -> str:
    """Return the name under which a relay of this process is known to the others."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class Leadership(Protocol):
    """A lock that its holder loses with its database session or its process, whichever ends first."""

    def acquire(self) -> bool:
        """Try to lead, without waiting; return True while leading. The leader calls it often: it is its sign of life."""

    def stand_by(self) -> None:
        """Tell once who leads, and take the lead from a leader without signs of life; :meth:`acquire` then gets it."""

    def release(self) -> None:
        """Let the next one lead."""


def leadership(connection: BaseDatabaseWrapper, context: str) -> Leadership:
    """Return the lock of a context for this kind of database."""
    if connection.vendor == "postgresql":
        return _AdvisoryLock(connection, context)
    return _FileLock(Path(str(connection.settings_dict["NAME"])), context)


class _Leader(NamedTuple):
    """The session that holds a lock, as PostgreSQL shows it to others."""

    pid: int
    began_at: datetime | None
    name: str | None
    """Name that its relay gave it; None if this role may not see it."""
    silent: float | None
    """Seconds since its last statement; 0 while the server works at one, None if this role may not see it."""

    def __str__(self) -> str:
        return self.name.removeprefix(ROLE) if self.name else f"PostgreSQL's session {self.pid}"


# A server that still computes an answer is no sign of a dead client; one that waits for its client to read may be.
SILENT = """CASE WHEN session.state = 'active' AND session.wait_event_type IS DISTINCT FROM 'Client' THEN 0
    ELSE extract(epoch FROM clock_timestamp() - session.state_change) END"""
"""SQL for the seconds since the last statement of a session in :data:`HELD`; null if this role may not see it."""
HELD = """pg_locks AS held JOIN pg_stat_activity AS session USING (pid)
    WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 2
        AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
"""SQL for the advisory locks of two keys in this database, and the sessions that hold them."""
_HOLDER = f"{HELD} AND held.classid::bigint = %s AND held.objid::bigint = %s"
_LOOK = f"SELECT pid, session.backend_start, session.application_name, {SILENT} FROM {_HOLDER}"  # noqa: S608
_SCHEMA = """SELECT coalesce(
    (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass(%s)), current_schema(), 'public')"""
"""Two installations may share a database, each in a schema of its own."""
_TAKE = "SELECT pg_try_advisory_lock(%s, %s), pg_backend_pid()"
_TAKE_AND_APPEAR = f"{_TAKE}, pg_try_advisory_lock_shared(%s, %s)"
_END = f"""SELECT pg_terminate_backend(pid) FROM {_HOLDER}
    AND pid = %s AND session.backend_start = %s AND {SILENT} > %s"""  # noqa: S608


class _AdvisoryLock:
    """PostgreSQL session-level advisory lock, on the very session that reads and marks the outbox.

    So a relay that lost its session can mark nothing before it leads again. A pooler in transaction mode would break this: the
    relay looks for one before, and whenever it shows life, it compares the session with the one that took the lock.

    A session's last statement, which PostgreSQL notes by its own clock, is the leader's last sign of life. A relay that
    stands by ends a silent session, and the lock with it.

    Each relay also holds a second, shared lock, by which others see that it is there (:mod:`microworkflows.relay.seen`).
    """

    def __init__(self, connection: BaseDatabaseWrapper, context: str) -> None:
        self._connection = connection
        self._context = context
        self._key = key("public", context)
        self._session: Any = None
        self._appeared_in: Any = None
        self._backend = 0
        self._shown_at = 0.0
        self._told: tuple[int, Any] | None = None
        self._warned = False

    def acquire(self) -> bool:
        if self._session is not None and self._session is self._connection.connection:
            self._show_life()
            return True
        with self._connection.cursor() as cursor:
            self._key = key(schema(cursor), self._context)
            if self._appeared_in is self._connection.connection:
                cursor.execute(_TAKE, [_signed(part) for part in self._key])
            else:
                keys = (*self._key, THERE, self._key[1])
                cursor.execute(_TAKE_AND_APPEAR, [_signed(part) for part in keys])
                self._appeared_in = self._connection.connection
            held, self._backend = cursor.fetchone()[:2]
        self._session = self._connection.connection if held else None
        self._shown_at = time.monotonic()
        return bool(held)

    def stand_by(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(_LOOK, self._key)
            row = cursor.fetchone()
        if row is None:  # the lead is free
            return
        leader = _Leader(*row)
        if self._told != leader[:2]:
            self._told, self._warned = leader[:2], False
            self._tell(leader)
        if leader.silent is not None and leader.silent > LEASE_SECONDS:
            self._end(leader)

    def release(self) -> None:
        session, self._session = self._session, None
        if session is not None and session is self._connection.connection:
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_signed(part) for part in self._key])
            except DatabaseError:
                self._tell_loss()  # the session is gone, and the lock with it

    def _show_life(self) -> None:
        """Run a statement from time to time, as the relay's own are not counted here."""
        if time.monotonic() > self._shown_at + _SIGN_SECONDS:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                (backend,) = cursor.fetchone()
            self._shown_at = time.monotonic()
            if backend != self._backend:
                raise poolers.shared(self._connection)

    def _tell_loss(self) -> None:
        silent = time.monotonic() - self._shown_at
        if silent > LEASE_SECONDS:
            logger.warning(
                "relay %s: lost the lead after %d s without a sign of life; it marks nothing, another may lead by now",
                *(self._context, silent),
                extra={"context": self._context},
            )

    def _tell(self, leader: _Leader) -> None:
        if leader.silent is None:
            logger.warning(
                "relay %s: stands by; %s leads, and this role may not see whether it is alive (pg_read_all_stats lets it)",
                *(self._context, leader),
                extra={"context": self._context},
            )
        else:
            logger.info(
                "relay %s: stands by; %s leads (its session began at %s)",
                *(self._context, leader, f"{leader.began_at:%Y-%m-%d %H:%M:%S %Z}"),
                extra={"context": self._context},
            )

    def _end(self, leader: _Leader) -> None:
        values = [*self._key, leader.pid, leader.began_at, LEASE_SECONDS]
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(_END, values)
                ended = cursor.fetchone() == (True,)
        except ProgrammingError as error:  # insufficient privilege
            if not self._warned:
                self._warned = True
                logger.error(
                    "relay %s: %s leads without a sign of life for %d s, and this role may not end its session %d: %s",
                    *(self._context, leader, leader.silent, leader.pid, str(error).strip()),
                    extra={"context": self._context},
                )
            return
        if ended:
            logger.warning(
                "relay %s: takes over from %s, which has shown no sign of life for %d s",
                *(self._context, leader, leader.silent),
                extra={"context": self._context},
            )


class _FileLock:
    """A lock on a file beside the SQLite database; the kernel releases it with the process.

    There is no lease: a frozen leader keeps the lock until it goes on or is killed.
    """

    def __init__(self, database: Path, context: str) -> None:
        self._path = lock_file(database, context)
        self._context = context
        self._file: IO[bytes] | None = None
        self._told = ""

    def acquire(self) -> bool:
        if self._file is not None:
            return True
        self._path.touch(0o600)  # as whoever may open it may take the lock
        file = self._path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        with suppress(OSError):  # the name is for people; on a full disk it is left out
            file.truncate(0)
            file.write(own_name().encode())
        return True

    def stand_by(self) -> None:
        leader = self._path.read_text() or "another process"
        if self._told != leader:
            self._told = leader
            logger.info(
                "relay %s: stands by; %s leads", *(self._context, leader), extra={"context": self._context}
            )

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


LEADS, THERE = zlib.crc32(b"microworkflows.relay"), zlib.crc32(b"microworkflows.relay.there")
"""First parts of the keys of a context's two locks: that of its leader, and the one that all its relays share."""


def key(schema: str, context: str) -> tuple[int, int]:
    """Return the key of a context's lock; that of the schema ``public`` is the same in each version of the kit."""
    name = context if schema == "public" else f"{schema}.{context}"
    return LEADS, zlib.crc32(name.encode())


def schema(cursor: Any) -> str:
    """Return the schema of the outbox that a cursor of PostgreSQL leads to."""
    cursor.execute(_SCHEMA, [OutboxEvent._meta.db_table])
    return str(cursor.fetchone()[0])


def lock_file(database: Path, context: str) -> Path:
    """Return the file that the leader of a context locks, beside a database of SQLite."""
    return database.with_name(f"{database.name}.relay-{context}.lock")


def _signed(value: int) -> int:
    """Return an unsigned integer of 32 bits as PostgreSQL's signed one."""
    return value - 2**32 if value >= 2**31 else value
