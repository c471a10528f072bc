"""What a relay declares is noted in its database, so that what is left behind later can be found."""

import logging
from collections.abc import Iterable

from django.db import Error, ProgrammingError

from microworkflows import database_errors, declared
from microworkflows.topology import Bound

logger = logging.getLogger(__name__)


class Record:
    """Notes the bindings of one relay.

    Args:
        context: Label of the context that it relays.
    """

    def __init__(self, context: str) -> None:
        self._context = context
        self._has_told = False

    def note(self, bindings: Iterable[Bound]) -> None:
        """Note that bindings are declared; where it may not, or before the migration, say so, and let the events leave.

        Raises:
            Error: of the database, any other.
        """
        try:
            declared.note(bindings)
        except Error as error:
            if not (isinstance(error, ProgrammingError) or database_errors.is_not_migrated(error)):
                raise
            if not self._has_told:
                logger.warning(
                    "relay %s: cannot note what it declares at the broker, so that manage.py topology knows nothing of it; run "
                    "manage.py migrate, or grant the right to the table: %s",
                    *(self._context, error),
                    extra={"context": self._context},
                )
            self._has_told = True
