"""Database errors by their meaning: the database is away, a transaction gave way, or somebody's statement is at fault.

PostgreSQL tells by SQLSTATE. Where it could not answer, as when it refuses a connection, the state of the connection
tells. SQLite tells by its result codes.
"""

import sqlite3
from typing import Any

from django.db import DataError, Error, IntegrityError
from django.db.backends.base.base import BaseDatabaseWrapper

_AWAY = {
    "25006",  # the session only reads: it was opened on a standby, or before one took over
    "53300",  # too many connections
    "XX001",  # data corrupted
    "XX002",  # index corrupted
}
_NO_TABLE = "42P01"
_AWAY_CLASSES = {
    "08",  # connection lost
    "28",  # login refused
    "3D",  # no such database
    "57",  # shut down, starting up, crashed
    "58",  # I/O error and the like
    "F0",  # configuration broken
}
_CANCELLED = "57014"
"""A statement took too long, by ``statement_timeout`` for example; the database is well."""
_GIVE_WAY = {"40001", "40P01"}
"""Serialization failure, deadlock."""
_PLAN_IS_OLD = "RevalidateCachedQuery"
"""PostgreSQL's own function that refuses a statement prepared before its table was altered. Its SQLSTATE means much else, too."""
_NO_LOCK = "55P03"
_LOCKED = {_NO_LOCK, _CANCELLED}
_REFUSED_CLASSES = {
    "22",  # data
    "23",  # integrity
}
PERMANENT = "42MW1"
"""Raised by functions that the kit puts into a database, for what no retry heals: a code of its own in the class of
statements that must not be made, so that Django raises a ProgrammingError."""
_SHORT_CLASS = "53"
"""No memory, disk full, and the like."""

_SQLITE_AWAY = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}
_SQLITE_GIVE_WAY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_away(error: Error, connection: BaseDatabaseWrapper, *, session: Any) -> bool:
    """Return True if one of the kit's own statements failed because this database is out of reach, or takes no writes.

    Where no code tells, such as for a missing table, the answer is False. ``session`` as in :func:`is_lost`.
    """
    if (state := _sqlstate(error)) is not None:
        return state in _AWAY or (state[:2] in _AWAY_CLASSES and state != _CANCELLED)
    return _sqlite_code(error) in _SQLITE_AWAY or is_lost(error, connection, session=session)


def is_not_migrated(error: BaseException) -> bool:
    """Return True if one of the kit's own statements met no table."""
    return _sqlstate(error) == _NO_TABLE or "no such table" in str(error)


def is_lost(error: BaseException, connection: BaseDatabaseWrapper, *, session: Any) -> bool:
    """Return True for a database's error if the session of this one, ``connection.connection`` before it, has ended.

    When a transaction ends by such an error, Django has replaced the session already.
    """
    if not isinstance(error, Error) and _sqlstate(error) is None:
        return False
    return session is None or session is not connection.connection or bool(getattr(session, "closed", False))


def gives_way(error: BaseException) -> bool:
    """Return True if a transaction was rolled back in favour of another, and may succeed when it is done again.

    So it is after a table was altered for which a statement was prepared: the driver forgets what it prepared with the rollback.
    """
    return (
        _sqlstate(error) in _GIVE_WAY
        or _sqlite_code(error) in _SQLITE_GIVE_WAY
        or _refused_by(error) == _PLAN_IS_OLD
    )


def is_kept_waiting(error: BaseException) -> bool:
    """Return True if a statement gave way, or waited too long, for a lock most likely."""
    return gives_way(error) or _sqlstate(error) in _LOCKED


def got_no_lock(error: BaseException) -> bool:
    """Return True if a statement waited for a lock as long as ``lock_timeout`` allowed."""
    return _sqlstate(error) == _NO_LOCK


def is_short_of_resources(error: BaseException) -> bool:
    """Return True if memory or disk did not suffice: the database's trouble, or that of a statement that wants too much."""
    return (_sqlstate(error) or "")[:2] == _SHORT_CLASS or _sqlite_code(error) == sqlite3.SQLITE_FULL


def is_permanent(error: BaseException) -> bool:
    """Return True if a function of the kit refused a statement for good (:data:`PERMANENT`)."""
    return _sqlstate(error) == PERMANENT


def may_be_the_neighbours(error: BaseException) -> bool:
    """Return True if an error may be due to what others did in the same transaction, or to its session.

    They may hold locks, have made settings or temporary tables, or have used memory up. Values that the database refuses
    are refused in any company.
    """
    if (state := _sqlstate(error)) is not None:
        return state[:2] not in _REFUSED_CLASSES
    return isinstance(error, Error) and not isinstance(error, IntegrityError | DataError)


def _sqlstate(error: BaseException) -> str | None:
    """Return the server's code, which the driver's error bears: this one, or the cause of Django's."""
    state = getattr(_drivers(error), "sqlstate", None)
    return state if isinstance(state, str) else None


def _refused_by(error: BaseException) -> str | None:
    """Return the name of the function of PostgreSQL's source that refused a statement."""
    return getattr(getattr(_drivers(error), "diag", None), "source_function", None)


def _sqlite_code(error: BaseException) -> int | None:
    code = getattr(_drivers(error), "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None  # the higher bits name the kind of, say, I/O error


def _drivers(error: BaseException) -> BaseException | None:
    return error.__cause__ if isinstance(error, Error) else error
