"""A database router for a journal in a database of its own: ``DATABASE_ROUTERS = ["microworkflows.journal.routers.JournalRouter"]``."""

from typing import Any

ALIAS = "journal"
_APP = "microworkflows_journal"


class JournalRouter:
    """Leads the journal's tables to the alias ``journal`` in ``DATABASES``, and all others away from it."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """Return the alias that the journal's rows are read from; None for any other model."""
        return ALIAS if model._meta.app_label == _APP else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Return the alias that the journal's rows are written to; None for any other model."""
        return ALIAS if model._meta.app_label == _APP else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Let the journal's tables be made there alone; its database gets no others, but for Django's list of migrations."""
        if app_label == _APP:
            return db == ALIAS
        return False if db == ALIAS else None
