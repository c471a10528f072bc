"""Turns: what needs a table for itself waits for its lock in short turns, so that the table's users never queue up behind it for long."""

import logging
import random
import time
from collections.abc import Callable

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows.database_errors import got_no_lock
from microworkflows.errors import MicroworkflowsError

logger = logging.getLogger(__name__)

_SHORTEST_SECONDS = 0.25
"""First wait for a lock; each further one is twice as long, up to the longest."""


class NoLockError(MicroworkflowsError):
    """Others have used what needs to be locked, time and again."""


def take(
    connection: BaseDatabaseWrapper, do: Callable[[str], None], *, what: str, longest: float, patience: float
) -> None:
    """Do in a transaction what needs locks; roll back and try again until they are free.

    Args:
        connection: The database, which is PostgreSQL.
        do: Gets the statement that limits the wait for a lock, which it executes first.
        what: What is locked, for the log.
        longest: Most seconds that a turn waits for a lock: anybody else who comes to the table meanwhile waits behind it.
        patience: Seconds after which no further turn begins.

    Raises:
        NoLockError: others used it for longer.
    """
    ends_at, wait, attempt = time.monotonic() + patience, _SHORTEST_SECONDS, 1
    while True:
        try:
            with transaction.atomic(using=connection.alias):
                do(f"SET LOCAL lock_timeout = '{wait * 1000:.0f}ms'")
            return
        except OperationalError as error:
            if not got_no_lock(error):
                raise
            if time.monotonic() > ends_at:
                raise NoLockError(
                    f"{what} was in use for {patience:g} s: {attempt} attempts got no lock."
                ) from error
        logger.info("%s is in use; attempt %d got no lock", what, attempt)
        time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311  (no secret)
        wait, attempt = min(wait * 2, longest), attempt + 1
