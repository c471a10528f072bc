"""Poolers: is a session of the database this process's own, or may others get it between two transactions?

A pooler in transaction mode, such as PgBouncer's, gives each transaction any session that is free. What belongs to a session
then belongs to whoever comes next, or to nobody: locks, settings, LISTEN. psycopg's pool, which Django can use, passes a session
on once it is given back.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import conf, libpq
from microworkflows.errors import SharedSessionError

_BACKEND = "SELECT pg_backend_pid()"
_ROUNDS = 5
_SECONDS = 3
"""Longest wait of a second connection for a session: in session mode, a pooler may have none to spare."""

WAY_OUT = (
    "Name a direct way: add the same database with the address of PostgreSQL itself to DATABASES, and name that alias in "
    "MICROWORKFLOWS['DIRECT_DATABASE']."
)


def without_pool(options: dict[str, Any]) -> dict[str, Any]:
    """Return the ``OPTIONS`` of a database without psycopg's pool: whoever connects by them has a session to itself."""
    return {name: value for name, value in options.items() if name != "pool"}


def go_direct(connection: BaseDatabaseWrapper) -> None:
    """Let a connection lead to its database past psycopg's pool and, by ``DIRECT_DATABASE``, past any other.

    It keeps its alias, so queries need not know.
    """
    direct = conf.current().direct_database
    if connection.vendor != "postgresql" or not (direct or connection.settings_dict["OPTIONS"].get("pool")):
        return
    connection.close()
    given = connections[direct].settings_dict if direct else connection.settings_dict
    connection.settings_dict = {**given, "OPTIONS": without_pool(given["OPTIONS"])}


def end_session(connection: BaseDatabaseWrapper) -> None:
    """Close a connection and end its session, which psycopg's pool would otherwise keep for others, as it is."""
    session: Any = connection.connection
    if session is not None and connection.vendor == "postgresql":
        session.close()
    connection.close()


def raise_if_shared(connection: BaseDatabaseWrapper) -> None:
    """Raise if a pooler gives the session of this connection to others between two transactions.

    Raises:
        SharedSessionError: it does.
        Error: the database cannot be asked.
    """
    if is_shared(connection):
        raise shared(connection)


def shared(connection: BaseDatabaseWrapper) -> SharedSessionError:
    """Return the error that says that a pooler shares the sessions of this connection out."""
    return SharedSessionError(
        f"The way to {_address(connection)} leads through a pooler in transaction mode, such as PgBouncer's, where no session "
        f"is anybody's own: a lock would hold nobody off, and settings would reach others. {WAY_OUT}"
    )


def raise_if_elsewhere(alias: str, *, table: str) -> None:
    """Raise if ``DIRECT_DATABASE`` leads to another table of this name than the alias by which everybody else goes.

    Raises:
        SharedSessionError: it does.
        Error: one of the two cannot be asked.
    """
    if conf.current().direct_database is None:
        return
    usual, direct = (connections.create_connection(alias) for _ in range(2))
    go_direct(direct)
    for each in (usual, direct):
        options = {"connect_timeout": _SECONDS, **without_pool(each.settings_dict["OPTIONS"])}
        each.settings_dict = {**each.settings_dict, "OPTIONS": options}
    try:
        is_home = are_the_same(usual, direct) and _table(usual, table) == _table(direct, table)
    finally:
        usual.close()
        direct.close()
    if not is_home:
        raise SharedSessionError(
            f"MICROWORKFLOWS['DIRECT_DATABASE'] leads to {_address(direct)}, and the table {table} there is not the one that "
            f"events are recorded in, by way of {_address(usual)}. Correct the alias: server, database and schema "
            "(search_path) must be the same."
        )


def is_own(connection: BaseDatabaseWrapper) -> bool:
    """Return True if no pooler stands between this process and its session.

    Raises:
        Error: the database cannot be asked.
    """
    return _backend(connection) == told(connection)


def told(connection: BaseDatabaseWrapper) -> int:
    """Return the number of the server's process as an open connection was told it.

    PostgreSQL tells it each client, which can cancel a statement by it. A pooler tells another one, for the process may change.
    """
    session: Any = connection.connection
    return int(session.info.backend_pid)


def is_shared(connection: BaseDatabaseWrapper) -> bool:
    """Return True if a pooler gives this connection's session to others between two transactions.

    Without a pooler that is sure. A pooler is put to the test by a second connection: either that gets the session which the first
    one has just left, or, if the pooler takes turns, the first one gets another. While many others use the pooler both may go
    unseen, so who relies on a session looks from time to time whether it is the same.

    Raises:
        Error: the database cannot be asked, or the pooler has no second session to spare, so that nobody can tell.
    """
    if connection.vendor != "postgresql" or is_own(connection):
        return False
    second = _second(connection)
    try:
        for _ in range(_ROUNDS):
            had = {_backend(connection) for _ in range(2)}
            others = {
                int(libpq.ask(second.pgconn, _BACKEND.encode(), seconds=_SECONDS) or 0) for _ in range(2)
            }
            if len(had) > 1 or had & others:
                return True
    except TimeoutError as error:
        raise OperationalError(
            f"A pooler leads to {_address(connection)}, and nobody can tell whether it shares its sessions out while it has no second "
            f"one to spare. {WAY_OUT}"
        ) from error
    finally:
        second.close()
    return False


def loses_prepared(connection: BaseDatabaseWrapper) -> bool:
    """Return True if a pooler leaves a statement that a client prepared in the session at hand, where the next transaction may
    not meet it.

    A pooler that carries them along gives each a name of its own at the server: PgBouncer since 1.21, with
    ``max_prepared_statements``.

    Raises:
        Error: the database cannot be asked.
    """
    name = f"microworkflows_{secrets.token_hex(8)}"
    connection.ensure_connection()
    session: Any = connection.connection
    with _in_transaction(connection):
        session.pgconn.prepare(name.encode(), b"SELECT 1")
        found = _one(connection, "SELECT count(*) FROM pg_prepared_statements WHERE name = %s", [name])
        if found:
            session.execute(f"DEALLOCATE {name}")
    return bool(found)


def are_the_same(connection: BaseDatabaseWrapper, other: BaseDatabaseWrapper) -> bool:
    """Return True if both lead to the same database, even by different names: a lock of one is then seen by the other.

    A copy has another name, or no such lock; so has a standby. The locks end with their transactions, as through a pooler.

    Raises:
        Error: one of the two cannot be asked.
    """
    key = secrets.randbits(62)
    with _in_transaction(connection):
        _one(connection, "SELECT pg_advisory_xact_lock(%s)", [key])
        return not _one(other, "SELECT pg_try_advisory_xact_lock(%s)", [key])


@contextmanager
def _in_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Open a transaction unless one is open, on a connection that ``atomic`` may not find by its alias."""
    if connection.in_atomic_block:
        yield
        return
    connection.set_autocommit(False)
    try:
        yield
    finally:
        connection.rollback()
        connection.set_autocommit(True)


def _backend(connection: BaseDatabaseWrapper) -> int:
    return int(_one(connection, _BACKEND))


def _second(connection: Any) -> Any:
    """Return another session by the same way, as the driver has it: Django would ask it for something at once."""
    other = connection.copy()
    other.settings_dict["OPTIONS"] = {
        "connect_timeout": _SECONDS,
        **without_pool(other.settings_dict["OPTIONS"]),
    }
    with other.wrap_database_errors:
        return other.get_new_connection(other.get_connection_params())


def _table(connection: BaseDatabaseWrapper, table: str) -> Any:
    return _one(connection, "SELECT to_regclass(%s)::oid", [table])


def _one(connection: BaseDatabaseWrapper, query: str, values: Any = None) -> Any:
    """Ask for one value, and prepare nothing: a pooler may lose that."""
    connection.ensure_connection()
    session: Any = connection.connection
    with connection.wrap_database_errors:
        return session.execute(query, values, prepare=False).fetchone()[0]


def _address(connection: BaseDatabaseWrapper) -> str:
    database = connection.settings_dict
    return f"the database {database['NAME']!r} at {database['HOST'] or 'this machine'}:{database['PORT'] or 5432}"
