"""Recording in one trip to PostgreSQL: what is recorded travels with the commit, and the relay's wake-up right behind it.

Each statement that waits for its answer makes the transaction longer. An insert into the outbox has no answer that anybody
needs, so an engine with :class:`OneTrip` keeps it until the commit, or until the next statement, which may look for it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import debug_transaction

Statement = tuple[str, Sequence[Any]]
Failed = Callable[[Exception], None]
"""Takes the error of a statement that ran behind a commit."""

_Engine: Any = BaseDatabaseWrapper
"""The stubs leave out what engines override of it."""


class OneTrip(_Engine):  # type: ignore[misc]
    """Mixin for an engine of PostgreSQL: statements without an answer travel with the commit, in one trip.

    The module that ``DATABASES["default"]["ENGINE"]`` names holds the engine as a class ``DatabaseWrapper`` in its module
    ``base``; that class inherits from this one first, then from the engine that it was::

        class DatabaseWrapper(OneTrip, postgis.DatabaseWrapper): ...

    A statement that waits runs before any other of Django's cursors, and goes with the savepoint that is rolled back. One that fails
    makes the commit fail, and nothing is committed. A cursor of psycopg's own does not see what waits.

    Raises:
        ImproperlyConfigured: the driver is not psycopg 3, or its libpq is older than version 14, which knows no pipelines.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        driver = self.Database
        if not hasattr(driver, "Pipeline") or not driver.Pipeline.is_supported():
            raise ImproperlyConfigured(
                f"The engine {type(self).__module__.removesuffix('.base')} records in one trip, which needs psycopg 3 with libpq 14 or "
                "newer. Install psycopg[binary], or name the usual engine of PostgreSQL in DATABASES."
            )
        self._waiting: list[Statement] = []
        self._behind: dict[Statement, Failed] = {}
        self._behind_failed = False
        self.execute_wrappers.append(self._send_first)

    def run_before_commit(self, statement: str, values: Sequence[Any]) -> None:
        """Let a statement run before the transaction commits, at the latest in the same trip."""
        self._cursor().close()  # some engines have a new cursor choose the schema that is to be written to
        self._waiting.append((statement, values))

    def run_behind_commit(self, statement: str, values: tuple[Any, ...], *, failed: Failed) -> None:
        """Let a statement run right behind the commit, in a transaction of its own, once even if it is named twice.

        If it fails, ``failed`` is told; the commit stands. After a savepoint's rollback it runs all the same.
        """
        self._behind[statement, values] = failed

    # Sending what waits

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for statement, values in waiting:
            with debug_transaction(self, statement), self.wrap_database_errors:
                self.connection.execute(statement, values)

    def _send_first(self, execute: Callable[..., Any], *statement: Any) -> Any:
        self._send()
        return execute(*statement)

    def _cursor(self, name: str | None = None) -> Any:
        self._send()  # since not all that a cursor can do goes by way of its execute
        return super()._cursor(name)

    def _savepoint_commit(self, sid: str) -> None:
        # What waits is now the business of the block around: it need not be sent.
        waiting, self._waiting = self._waiting, []
        try:
            super()._savepoint_commit(sid)
        finally:
            self._waiting = waiting

    def _savepoint_rollback(self, sid: str) -> None:
        self._waiting.clear()  # all of it is the savepoint's: setting it sent what waited
        super()._savepoint_rollback(sid)

    def _rollback(self) -> None:
        self._forget()
        super()._rollback()

    def close(self) -> None:
        """Close the connection, with the transaction that is open."""
        self._forget()
        super().close()

    def _forget(self) -> None:
        self._waiting.clear()
        self._behind.clear()

    # Committing

    def commit(self) -> None:
        """Commit, together with what waits."""
        self._behind_failed = False
        super().commit()
        self.errors_occurred = self._behind_failed  # then Django looks at the session before its next use

    def _commit(self) -> None:
        waiting, behind = [*self._waiting], {**self._behind}
        self._forget()
        if self.connection is None or not (waiting or behind):
            super()._commit()
            return
        told = "; ".join(
            [*(statement for statement, _ in waiting), "COMMIT", *(statement for statement, _ in behind)]
        )
        with debug_transaction(self, told), self.wrap_database_errors:
            self._commit_together(waiting, behind)

    def _commit_together(self, waiting: Sequence[Statement], behind: dict[Statement, Failed]) -> None:
        commit = None
        try:
            with self.connection.pipeline():
                for statement in waiting:
                    self.connection.execute(*statement)
                commit = self.connection.execute("COMMIT")
                for statement in behind:
                    self.connection.execute(*statement)
        except self.Database.Error as error:
            if commit is None or commit.statusmessage != "COMMIT":
                raise
            self._behind_failed = True
            for failed in behind.values():
                failed(error)
