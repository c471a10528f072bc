"""Isolation: what runs that share a transaction might do to each other is noticed here, so that each is as if alone.

A run is watched at the driver's cursors, through which Django's and raw ones speak alike. Two kinds of statement count:
one that failed by an error that the neighbours may have caused, whatever the handler made of it; and one whose effect may
last until the end of the transaction, such as ``SET LOCAL app.tenant``. That one is not executed.

A statement that changes the session, such as ``SET app.tenant``, ends it: the next run has a new one.

What a function of the database does is not seen in the statement that calls it, or that fires its trigger. So a database
whose functions make settings is looked for beforehand.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import lru_cache, partial
from math import inf
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import database_errors, poolers
from microworkflows.errors import PermanentError

Answer = TypeVar("Answer")

_LOOK_SECONDS = 1.0
"""Time after which functions that were created meanwhile are looked for again."""
_IN_ERROR = 3
"""libpq's PQTRANS_INERROR."""

_BLANK = r"(?>\s|\(|/\*.*?\*/|--[^\n]*\n)*"
_VERB = re.compile(
    _BLANK
    + r"(select|insert|update|delete|merge|with|values|copy|fetch|lock|notify|show|call|savepoint|release|"
    r"rollback to)\b",
    re.DOTALL,
)
"""Beginnings of statements that leave nothing but rows and locks."""
_INTO_TABLE = re.compile(r"(?<!insert)(?<!merge)\s+into\b")
_LOCAL_SETTING = re.compile(r"set_config\s*\([^;]*?,\s*true\s*\)")
_CHANGES_SESSION = re.compile(
    _BLANK + r"(set(?!\s+(local|constraints|transaction)\b)|reset|discard|prepare|listen|load|do|"
    r"create\s+((local|global)\s+)?temp(orary)?(?!.*\bon\s+commit\s+drop\b))\b|.*\b(pg_settings|pg_(try_)?advisory_lock)",
    re.DOTALL,
)
_CONTROL = re.compile(
    _BLANK + r"(commit|end|abort|begin|start\s+transaction|prepare\s+transaction"
    r"|rollback(?!\s+(work\s+|transaction\s+)?to\b))\b",
    re.DOTALL,
)
_LOCKS = re.compile(r"\bfor\s+(update|no\s+key\s+update|share|key\s+share)\b")

# SET without one of these words is UPDATE's. 2078 is the function set_config; a body in standard SQL is kept parsed.
_MAKER = """
    SELECT min(oid::regprocedure::text) FROM pg_proc WHERE oid >= 16384 AND (
        prosrc ~* '\\m(set_config|pg_settings|reset|discard)\\M'
        OR prosrc ~* '\\mset\\s+(local|session|role|constraints|transaction|search_path|time\\s+zone|\\w+\\.\\w|\\w+\\s+to\\M|%)'
        OR prosrc ~* '\\mcreate\\s+(local\\s+|global\\s+)?temp'
        OR prosqlbody::text LIKE '%:funcid 2078 %'
    )
"""

_LONGEST_REMEMBERED = 2_000
"""Characters of a statement beyond which its kind is found out anew each time."""

_looks: dict[str, tuple[float, str | None]] = {}
"""Time and answer of the last look for such functions, by the alias of the database."""


class TransactionControlError(PermanentError):
    """A microworkflow tried to end the transaction that it runs in."""


class NeedsToBeAloneError(BaseException):
    """Ends a run that is to be done again by itself; no ``Exception``, for a handler might catch it."""


class Watch:
    """Watches the statements of a transaction until it notices something.

    Args:
        connection: The connection of the shared transaction.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._others = list(_others(connection))
        self._error_is_known = False
        self.was_hindered = False
        """True if a statement failed by an error that the neighbours may have caused."""
        self.needs_own_transaction = False
        """True if the effect of a statement would have lasted until the end of the transaction."""

    @property
    def noticed(self) -> bool:
        """True if the last run is to be done again by itself, whatever it returned or raised."""
        return self.was_hindered or self.needs_own_transaction

    def raise_if_noticed(self) -> None:
        """Raise if the last run is to be done again by itself.

        Raises:
            NeedsToBeAloneError: it is.
        """
        if self.noticed:
            raise NeedsToBeAloneError

    @contextmanager
    def over_statements(self) -> Iterator[None]:
        """Watch inside the block. SQLite has no settings of a transaction, and locks a database as a whole."""
        if self._connection.vendor != "postgresql":
            yield
            return
        session: Any = self._connection.connection
        factory = session.cursor_factory
        session.cursor_factory = partial(_watched(factory), self)
        try:
            with ExitStack() as stack:
                for other in self._others:
                    stack.enter_context(other.execute_wrapper(self._watch_other))
                yield
        finally:
            session.cursor_factory = factory

    def before(self, session: Any, sql: Any) -> None:
        """Take note of a statement that is about to be executed.

        Raises:
            NeedsToBeAloneError: its effect would outlast the run.
        """
        text = _text(sql)
        verb = _verb_that_leaves_nothing(text)
        if not verb:
            self.needs_own_transaction = True
            raise NeedsToBeAloneError(text[:100])
        if verb == "rollback to":
            # An error that came by another way, as with rows that are fetched or copied, is not known.
            if not self._error_is_known and session.pgconn.transaction_status == _IN_ERROR:
                self.was_hindered = True
            self._error_is_known = False

    def failed(self, error: BaseException) -> None:
        """Take note of a statement's error."""
        if database_errors.may_be_the_neighbours(error):
            self.was_hindered = True
        else:
            self._error_is_known = True

    def _watch_other(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Watch a statement in another database, or in this one by another session, which would wait for the neighbours' locks."""
        text = _text(sql).lower()
        verb = _VERB.match(text)
        if verb is None or verb[1] != "select" or _LOCKS.search(text):
            self.needs_own_transaction = True
            raise NeedsToBeAloneError(text[:100])
        return execute(sql, params, many, context)


def refuse_control(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """Execute a statement of a microworkflow, unless it would end the transaction; an ``execute_wrapper`` of Django's.

    The transaction is not the microworkflow's own: it holds the inbox row, and those of others that run in it.

    Raises:
        TransactionControlError: it would; it was not executed.
    """
    if word := _control(_text(sql)):
        raise TransactionControlError(
            f"A microworkflow may not execute {word.upper()}: its transaction holds the inbox row, and perhaps the work of "
            "others. Return or raise to end it, and use `with transaction.atomic():` for a part."
        )
    return execute(sql, params, many, context)


@contextmanager
def session_ends_if_changed(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """End the session after the block if a statement in it has changed it, or may have, for whoever comes next.

    Raises:
        Error: the session cannot be opened.
    """
    connection.ensure_connection()  # what the project sets at each new connection is no change
    changed = False

    def watch(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        nonlocal changed
        changed = changed or _changes_session(_text(sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield
    if changed and connection.vendor == "postgresql" and not connection.in_atomic_block:
        poolers.end_session(connection)


def maker_of_settings(connection: BaseDatabaseWrapper) -> str | None:
    """Return a function of the database that may make settings, or temporary tables, for whoever calls it unseen.

    Raises:
        Error: the database could not be asked.
    """
    if connection.vendor != "postgresql":
        return None
    looked_at, found = _looks.get(connection.alias, (-inf, None))
    if (now := time.monotonic()) >= looked_at + _LOOK_SECONDS:
        with connection.cursor() as cursor:
            cursor.execute(_MAKER)
            (found,) = cursor.fetchone()
        _looks[connection.alias] = now, found
    return found


def _others(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Yield the connections of this thread by other aliases."""
    for alias in connections:
        if alias != connection.alias:
            with suppress(ImproperlyConfigured):  # by such a one no handler speaks either
                yield connections[alias]


def _remembered(kind: Callable[[str], Answer]) -> Callable[[str], Answer]:
    """Return a function of a statement's text that answers at once for a statement that it has seen: most come again."""
    seen = lru_cache(maxsize=512)(kind)
    return lambda text: seen(text) if len(text) <= _LONGEST_REMEMBERED else kind(text)


@_remembered
def _verb_that_leaves_nothing(text: str) -> str:
    """Return the verb of a statement that leaves nothing but rows and locks; empty for any other."""
    text = text.lower()
    verb = _VERB.match(text)
    return "" if verb is None or _leaves_something(verb[1], text) else verb[1]


@_remembered
def _control(text: str) -> str:
    """Return the words with which a statement would end the transaction; empty for any other."""
    found = _CONTROL.match(text.lower())
    return found[1] if found else ""


def _leaves_something(verb: str, text: str) -> bool:
    return (
        "set_config" in text
        or "pg_settings" in text
        or "advisory_lock" in text  # the session's, not the transaction's
        or ";" in text.rstrip("; \t\n")
        or (verb in {"select", "with"} and "into" in text and _INTO_TABLE.search(text) is not None)
    )


@_remembered
def _changes_session(text: str) -> bool:
    text = text.lower()
    if _VERB.match(text) and not any(each in text for each in (";", "set_config", "pg_")):
        return False  # as nearly always
    made_for_the_session = text.count("set_config") - len(_LOCAL_SETTING.findall(text))
    return made_for_the_session > 0 or any(map(_CHANGES_SESSION.match, text.split(";")))


def _text(sql: Any) -> str:
    """Return the text of a statement as psycopg takes it; empty for what it may take one day."""
    if isinstance(sql, str):
        return sql
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    return str(sql.as_string(None)) if hasattr(sql, "as_string") else ""


@lru_cache
def _watched(factory: Any) -> Any:
    """Return a class of cursors that tell a watch what they execute."""

    class Watched(factory):  # type: ignore[misc]
        def __init__(self, watch: Watch, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._watch = watch

        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            return self._do(super().execute, query, *args, **kwargs)

        def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            return self._do(super().executemany, query, *args, **kwargs)

        def stream(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            return self._do(super().stream, query, *args, **kwargs)

        def copy(self, statement: Any, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
            return self._do(super().copy, statement, *args, **kwargs)  # type: ignore[no-any-return]

        def _do(self, execute: Callable[..., Any], query: Any, *args: Any, **kwargs: Any) -> Any:
            self._watch.before(self.connection, query)
            try:
                return execute(query, *args, **kwargs)
            except BaseException as error:
                self._watch.failed(error)
                raise

    return Watched
