"""The watch: each statement of a run is held against the tables that the process which sends it would find after the move.

The context's own process finds its tables, and those that each database has for itself (:mod:`~..splitting.others`); a table that
belongs to no model stays behind, too. Other processes find all tables but the context's. Views stand for the tables that they read.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import local
from typing import Any
from unittest import mock

from django.apps import apps
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from microworkflows import handling
from microworkflows.cutover.splitting import others
from microworkflows.cutover.unplugging import importing, statements
from microworkflows.cutover.unplugging.findings import Finding, Found
from microworkflows.cutover.unplugging.parties import Parties
from microworkflows.workflows import Microworkflow

_LONGEST = 200
_OF_DATABASES = ("pg_", "sqlite_", "information_schema")
_VIEWS = """
    SELECT DISTINCT view.relname, used.relname FROM pg_depend
    JOIN pg_rewrite ON pg_rewrite.oid = objid JOIN pg_class AS view ON view.oid = ev_class
    JOIN pg_class AS used ON used.oid = refobjid
    WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND view.relkind IN ('v', 'm')
    AND view.oid <> used.oid AND pg_table_is_visible(view.oid)
"""


@contextmanager
def watching(contexts: Sequence[str], parties: Parties) -> Iterator[dict[str, Found]]:
    """Watch all that runs in the block, in every thread; yield what is found of each context, to be read after it."""
    watch = _Watch(contexts, parties)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(handling, "run", watch.noting(handling.run)))
        stack.enter_context(importing.watched(contexts, parties, watch.found))
        stack.enter_context(_wrapped(watch.see))
        yield watch.found


@contextmanager
def _wrapped(wrapper: Callable[..., Any]) -> Iterator[None]:
    """Let each connection call a wrapper for each statement; first of all, for handlers take off the last one put on."""
    wrapped: list[BaseDatabaseWrapper] = []

    def wrap(connection: BaseDatabaseWrapper, **_: Any) -> None:
        if wrapper not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, wrapper)
            wrapped.append(connection)

    connection_created.connect(wrap, weak=False)
    for connection in connections.all(initialized_only=True):
        wrap(connection)
    try:
        yield
    finally:
        connection_created.disconnect(wrap)
        for connection in wrapped:
            if wrapper in connection.execute_wrappers:
                connection.execute_wrappers.remove(wrapper)


class _Watch:
    def __init__(self, contexts: Sequence[str], parties: Parties) -> None:
        self._parties = parties
        self.found = {context: Found() for context in contexts}
        self._models = {
            model._meta.db_table.lower(): model for model in apps.get_models(include_auto_created=True)
        }
        self._own = {
            context: {name for name, model in self._models.items() if model._meta.app_label == context}
            for context in contexts
        }
        self._others = {
            context: {name.lower() for name in others.of_others({context})} for context in contexts
        }
        self._views: dict[str, Mapping[str, set[str]]] = {}
        self._nobodys: dict[str, set[str]] = {}
        self._looking = local()

    def noting(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return what runs a microworkflow and notes that it did."""

        def noted(workflow: Microworkflow[Any], *args: Any, **kwargs: Any) -> Any:
            if (found := self.found.get(workflow.context)) is not None:
                found.steps.add(workflow.label)
            return run(workflow, *args, **kwargs)

        return noted

    def see(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Look at a statement, and execute it."""
        if not getattr(self._looking, "now", False):
            self._looking.now = True
            try:
                self._look(sql, context["connection"])
            finally:
                self._looking.now = False
        return execute(sql, params, many, context)

    def _look(self, sql: Any, connection: BaseDatabaseWrapper) -> None:
        text = statements.text(sql, connection)
        named = self._with_views(statements.tables(text), connection)
        for context, found in self.found.items():
            own = named.keys() & self._own[context]
            foreign = named.keys() & self._others[context]
            nobodys = named.keys() & self._nobodys[connection.alias]
            if not own and not foreign and not nobodys:
                continue
            runs = self._parties.running(sys._getframe(2), context)  # noqa: SLF001  (the stack that sends the statement)
            if runs is None:
                found.nobodys += 1
                continue
            found.own_statements += bool(own and runs.own)
            found.others_statements += bool(foreign and not runs.own)
            for name in sorted(foreign | nobodys if runs.own else own):
                found.findings.append(
                    Finding(
                        *(runs.place.file, runs.place.line, named[name], self._described(name)),
                        who=runs.who,
                        through=str(runs.through or ""),
                        statement=" ".join(text.split())[:_LONGEST],
                    )
                )

    def _described(self, name: str) -> str:
        model = self._models.get(name)
        return f"{name} ({model._meta.label if model else 'of no model'})"

    def _with_views(self, named: Mapping[str, str], connection: BaseDatabaseWrapper) -> Mapping[str, str]:
        if connection.alias not in self._views:
            self._learn(connection)
        views = self._views[connection.alias]
        if not views.keys() & named.keys():
            return named
        found, coming = dict(named), [name for name in named if name in views]
        while coming:
            for used in views[coming.pop()]:
                if used not in found:
                    found[used] = "read"
                    coming += [used] if used in views else []
        return found

    def _learn(self, connection: BaseDatabaseWrapper) -> None:
        """Read which views and tables there are, outside what the run counts."""
        counted, connection.force_debug_cursor = connection.force_debug_cursor, False
        try:
            self._views[connection.alias] = _views(connection)
            known = self._models.keys() | self._views[connection.alias].keys()
            self._nobodys[connection.alias] = {
                name.lower()
                for name in connection.introspection.table_names()
                if name.lower() not in known
                and name != "django_migrations"
                and not name.startswith(_OF_DATABASES)
            }
        finally:
            connection.force_debug_cursor = counted


def _views(connection: BaseDatabaseWrapper) -> dict[str, set[str]]:
    """Return the names that each view of a database reads."""
    found: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_VIEWS)
            for view, used in cursor.fetchall():
                found.setdefault(view.lower(), set()).add(used.lower())
        elif connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'")
            found = {
                view.lower(): set(statements.tables(sql)) - {view.lower()} for view, sql in cursor.fetchall()
            }
    return found
