"""The statements of a microworkflow: none may end the transaction, and what it sets for its session is not met by others.

The transaction is not the microworkflow's own: it holds the inbox row, and those of others that run in it.
"""

import re
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows.errors import PermanentError

_CONTROL = re.compile(
    r"\s*(?:COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b))\b",
    re.IGNORECASE,
)
_SET = re.compile(r"\s*SET\s", re.IGNORECASE)
_SET_FOR_SESSION = re.compile(r"\s*SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)", re.IGNORECASE)


class TransactionControlError(PermanentError):
    """A microworkflow tried to end the transaction that it runs in."""


class Statements:
    """Watches the statements of microworkflows; an ``execute_wrapper`` of Django's.

    What a function of the database does goes unnoticed, and what goes past Django's cursors.
    """

    def __init__(self) -> None:
        self.made_settings = False
        """True after a statement whose effect may last until the end of the transaction, or longer."""
        self._set_session = False

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Execute a statement.

        Raises:
            TransactionControlError: it would end the transaction; it was not executed.
        """
        text = sql if isinstance(sql, str) else str(sql)
        if found := _CONTROL.match(text):
            raise TransactionControlError(
                f"A microworkflow may not execute {found[0].strip().upper()}: its transaction holds the inbox row, and "
                "perhaps the work of others. Return or raise to end it, and use `with transaction.atomic():` for a part."
            )
        if "set_config" in text or _SET.match(text):
            self.made_settings = True
            self._set_session = self._set_session or _SET_FOR_SESSION.match(text) is not None
        return execute(sql, params, many, context)

    def forget_settings(self, connection: BaseDatabaseWrapper) -> None:
        """Close a session, after its transaction, that has other settings now; the next statement opens a new one."""
        if self._set_session and not connection.in_atomic_block:
            connection.close()
