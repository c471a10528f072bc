"""The database as the metrics ask it: over a session of their own, in which no statement takes long."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import flows, poolers, registry, topology, transactions
from microworkflows.models import OutboxEvent
from microworkflows.relay import session

CONNECT_SECONDS: Final = 2
STATEMENT_SECONDS: Final = 2


@contextmanager
def opened(name: str) -> Iterator[BaseDatabaseWrapper]:
    """Connect this thread to the database of outbox and inbox, for the block; the session has this name there.

    Raises:
        Error: it is out of reach.
    """
    connection = connections[alias()]
    usual = connection.settings_dict
    session.prepare(connection, name=name)
    limit = {"postgresql": {"connect_timeout": CONNECT_SECONDS}, "sqlite": {"timeout": STATEMENT_SECONDS}}
    options = {**connection.settings_dict["OPTIONS"], **limit.get(connection.vendor, {})}
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        connection.ensure_connection()
        yield connection
    finally:
        poolers.end_session(connection)
        connection.settings_dict = usual


def limited() -> AbstractContextManager[None]:
    """Return a context in which no statement takes long, see :func:`.transactions.limited`."""
    return transactions.limited(STATEMENT_SECONDS, using=alias())


def alias() -> str:
    """Return the alias of the database of outbox and inbox."""
    return router.db_for_write(OutboxEvent)


def contexts() -> list[str]:
    """Return the labels of the contexts whose outbox and inbox are here."""
    elsewhere = flows.router.contexts_elsewhere()
    return [context for context in registry.contexts() if context not in elsewhere]


def queues() -> list[str]:
    """Return the labels of the queues whose workers are seen here."""
    elsewhere = flows.router.contexts_elsewhere()
    return [queue for queue in topology.queues() if queue not in elsewhere]
