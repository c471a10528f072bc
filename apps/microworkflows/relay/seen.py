"""The relays of each context as the database shows them to others: the one that leads, and those that stand by."""

import fcntl
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows.relay.leadership import HELD, LEADS, ROLE, SILENT, THERE, key, lock_file, schema

_LOOK = f"""SELECT held.classid::bigint, held.objid::bigint, pid, session.application_name, {SILENT}
    FROM {HELD} AND held.classid::bigint IN (%s, %s) ORDER BY pid"""  # noqa: S608  (own text)
_LONGEST_NAME = 63
"""Characters of a session's name that PostgreSQL keeps."""


class Relay(NamedTuple):
    """A relay, as its session or its lock tells."""

    name: str
    """Such as ``process 12 on payments-7f9c``."""
    silent: float | None
    """Seconds since its last sign of life; None if unknown: in SQLite, or if this role may not see it."""

    def is_on(self, host: str) -> bool:
        """Return True if it runs on this machine, or in this container."""
        found = self.name.rpartition(" on ")[2]
        is_cut = len(ROLE) + len(self.name) >= _LONGEST_NAME
        return found == host or (is_cut and host.startswith(found))

    def __str__(self) -> str:
        silent = "" if self.silent is None else f", whose last sign of life is {self.silent:.0f} s old"
        return f"{self.name}{silent}"


class Relays(NamedTuple):
    """The relays of one context."""

    leader: Relay | None = None
    standing_by: tuple[Relay, ...] = ()
    """In SQLite, none is seen."""


def relays(connection: BaseDatabaseWrapper, contexts: Iterable[str]) -> dict[str, Relays]:
    """Return the relays of each of these contexts that the database knows of.

    Raises:
        Error: the database cannot be asked.
    """
    if connection.vendor != "postgresql":
        database = Path(str(connection.settings_dict["NAME"]))
        return {context: _by_file(lock_file(database, context)) for context in contexts}
    with connection.cursor() as cursor:
        of_schema = schema(cursor)
        by_key = {key(of_schema, context)[1]: context for context in contexts}
        cursor.execute(_LOOK, [LEADS, THERE])
        rows = cursor.fetchall()
    leaders: dict[str, tuple[int, Relay]] = {}
    there: dict[str, dict[int, Relay]] = defaultdict(dict)
    for role, number, pid, name, silent in rows:
        if (context := by_key.get(number)) is None:
            continue
        relay = Relay(
            (name or f"PostgreSQL's session {pid}").removeprefix(ROLE),
            None if silent is None else float(silent),
        )
        if role == LEADS:
            leaders[context] = pid, relay
        else:
            there[context][pid] = relay
    return {
        context: Relays(
            leader=leaders[context][1] if context in leaders else None,
            standing_by=tuple(
                relay for pid, relay in there[context].items() if pid != leaders.get(context, (0,))[0]
            ),
        )
        for context in by_key.values()
    }


def _by_file(path: Path) -> Relays:
    """Look whether a leader holds its lock, by trying to share it for a moment."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # no relay has run yet
        return Relays()
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Relays(leader=Relay(path.read_text() or "another process", None))
    return Relays()
