"""Keeps the migrations of others' apps away from a database that was made for a context: they have no tables there.

Django records such a migration as applied, and leaves the database as it is.
"""

from typing import Any
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper


class OthersAreElsewhere:
    """A router that comes before the project's own; it says nothing but no."""

    def __init__(self) -> None:
        self._made_for: WeakKeyDictionary[BaseDatabaseWrapper, tuple[str, frozenset[str]]] = (
            WeakKeyDictionary()
        )

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        """Return False for others' tables in a context's own database, else None: nothing is known against it."""
        contexts = self._contexts(connections[db or DEFAULT_DB_ALIAS])
        if not contexts:
            return None
        from microworkflows.cutover.splitting import others

        label = f"{app_label}.{model_name}" if model_name else app_label
        return None if others.is_at_home(label, contexts) else False

    def _contexts(self, connection: BaseDatabaseWrapper) -> frozenset[str]:
        if connection.vendor != "postgresql":
            return frozenset()
        name = str(connection.settings_dict["NAME"])
        known = self._made_for.get(connection)
        if known is None or known[0] != name:
            from microworkflows.cutover.splitting import others

            try:
                known = name, frozenset(others.made_for(connection))
            except (OperationalError, InterfaceError):  # out of reach: whoever migrates it will be told
                return frozenset()
            self._made_for[connection] = known
        return known[1]
