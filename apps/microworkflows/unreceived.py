"""Relayed events that a listener has not received: the broker confirmed them, and then lost them or a queue's binding."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import flows, heartbeats, ids, registry, rows, times, topology
from microworkflows.cloudevents import FACT, FORMER_MARK, MARK, context_of
from microworkflows.models import Header, OutboxEvent

AGE = timedelta(minutes=10)
"""Age from which an event counts; a younger one may still be under way."""
SPAN = timedelta(hours=24)
"""Age up to which events are looked at."""
_CLOCKS = timedelta(hours=1)
"""Most that an id's time and that of the recording may differ."""


class Awaited(NamedTuple):
    """An event that a listener here has not received."""

    event_id: UUID
    flow: str
    listener: str


class Missing(NamedTuple):
    """An event type and a microworkflow that listens to it."""

    event_type: str
    listener: str


class Tally(NamedTuple):
    """The events of one type that a listener has not received."""

    number: int
    oldest_at: datetime
    """When the oldest was recorded."""


def count(*, since: datetime, until: datetime) -> Counter[Missing]:
    """Count the events of :func:`tally`."""
    return Counter({each: found.number for each, found in tally(since=since, until=until).items()})


def tally(*, since: datetime, until: datetime) -> dict[Missing, Tally]:
    """Find the events relayed and recorded in a span of time that a listener, whose inbox is here, has not received.

    A microworkflow that did not listen yet when an event was recorded does not miss it.

    One query looks up each event by the inbox's unique key. What still waits in a queue counts as well, so let ``until``
    lie some minutes back.
    """
    tallies: dict[Missing, Tally] = {}
    is_left_to_nobody = cache(flows.is_left_to_nobody)
    for event_type, listener, mark, number, oldest in _select(
        "event_type, listener, {mark}, count(*), min(added)", _expected(), since, until, "GROUP BY 1, 2, 3"
    ):
        if not is_left_to_nobody(listener, mark):
            missing, oldest_at = Missing(event_type, listener), rows.time(_connection(), oldest)
            former = tallies.get(missing, Tally(0, oldest_at))
            tallies[missing] = Tally(former.number + number, min(former.oldest_at, oldest_at))
    return tallies


def window() -> tuple[datetime, datetime]:
    """Return the times between which events of the last :data:`SPAN` are older than :data:`AGE`."""
    now = times.now()
    return now - SPAN, now - AGE


def recent() -> Counter[Missing]:
    """Count those of the :func:`window`."""
    since, until = window()
    return count(since=since, until=until)


def events(missing: Missing, *, since: datetime, until: datetime, most: int) -> list[UUID]:
    """Return the ids of the oldest events that a listener has not received, as :func:`count` counts them."""
    is_left_to_nobody = cache(flows.is_left_to_nobody)
    found = _select("{id}, {mark}", [missing], since, until, "ORDER BY id")
    return [UUID(event_id) for event_id, mark in found if not is_left_to_nobody(missing.listener, mark)][
        :most
    ]


def of_flows(correlation_ids: Collection[str]) -> list[Awaited]:
    """Return the relayed events of flows that listeners whose inbox is here have not received, however old they are.

    Of a context whose workers were never seen in this database, nobody can tell.
    """
    unknown = {*untold(), *flows.router.contexts_elsewhere()}
    expected = [each for each in _expected() if context_of(each.listener) not in unknown]
    if not expected:
        return []
    connection = _connection()
    ids = list(correlation_ids) if connection.vendor == "postgresql" else json.dumps(list(correlation_ids))
    is_left_to_nobody = cache(flows.is_left_to_nobody)
    found = _run(
        "{id}, {flow}, listener, {mark}", expected, "{is_of_flows} AND {was_surely_heard}", [ids], ""
    )
    return [
        Awaited(UUID(event_id), flow, listener)
        for event_id, flow, listener, mark in found
        if not is_left_to_nobody(listener, mark)
    ]


def remedy(missing: Iterable[Missing], *, since: datetime) -> str:
    """Return the command that relays events of these types once more."""
    types = " ".join(f"--type {event_type}" for event_type in sorted({each.event_type for each in missing}))
    return f"manage.py relay --again --since {times.aware(since).isoformat(timespec='seconds')} {types}"


def told() -> set[str]:
    """Return the contexts of which somebody can tell from here: a worker that does their steps was seen in this database."""
    return {
        context
        for queue in heartbeats.last_seen()
        for context in (queue, *topology.contexts_served_by(queue))
    }


def untold() -> list[str]:
    """Return the contexts that listen and of which nobody can tell from here: no worker of theirs was seen in this database.

    Either their inbox is in another one, or no worker of theirs has ever run.
    """
    return sorted({context_of(each.listener) for each in _expected()} - told())


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(OutboxEvent)]


def _expected() -> Iterator[Missing]:
    for event in registry.announcements():
        for workflow in registry.listeners(event.event_type):
            yield Missing(event.event_type, workflow.label)


_SQL = """
    WITH listeners (event_type, listener) AS (VALUES {pairs})
    SELECT {columns} FROM published JOIN listeners ON destination = event_type
    WHERE status = %s AND {is_ours} AND {where}
        AND NOT EXISTS (SELECT 1 FROM received WHERE msg_id = listener || ':' || {fact})
    {end}"""
_ID_OF_DIGITS = " || '-' || ".join(
    f"substr(published.id, {start}, {length})"
    for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
)
_SPELLINGS: dict[str, dict[str, str]] = {
    "postgresql": {
        "id": "published.id::text",
        "fact": f"coalesce(body ->> '{FACT}', published.id::text)",
        "mark": f"coalesce(body ->> '{MARK}', body ->> '{FORMER_MARK}')",
        "is_ours": f"headers ? '{Header.MICROWORKFLOW}'",
        "was_heard": f"coalesce(headers -> '{Header.LISTENERS}' ? listener, true)",
        "was_surely_heard": f"headers -> '{Header.LISTENERS}' ? listener",
        "flow": "body ->> 'correlationid'",
        "is_of_flows": "(body ->> 'correlationid') = ANY(%s)",
    },
    "sqlite": {
        "id": _ID_OF_DIGITS,
        "fact": f"coalesce(json_extract(body, '$.{FACT}'), {_ID_OF_DIGITS})",
        "mark": f"coalesce(json_extract(body, '$.{MARK}'), json_extract(body, '$.{FORMER_MARK}'))",
        "is_ours": f"json_type(headers, '$.{Header.MICROWORKFLOW}') IS NOT NULL",
        "was_heard": f"coalesce(instr(json_extract(headers, '$.{Header.LISTENERS}'), '\"' || listener || '\":'), 1)",
        "was_surely_heard": f"instr(json_extract(headers, '$.{Header.LISTENERS}'), '\"' || listener || '\":')",
        "flow": "json_extract(body, '$.correlationid')",
        "is_of_flows": "json_extract(body, '$.correlationid') IN (SELECT value FROM json_each(%s))",
    },
}
"""What the databases spell differently: an id, and the one in the inbox's key, a flow's mark, whether the kit wrote a row, and for this listener."""


def _select(
    columns: str, expected: Iterable[Missing], since: datetime, until: datetime, end: str
) -> list[tuple[Any, ...]]:
    """Select from the pairs of an event and a listener without a row in the inbox; one query, however many listen."""
    # The primary key's index leads to the first row in question.
    first = ids.lowest(times.aware(since) - _CLOCKS)
    values = [first, times.stored(since), times.stored(until)]
    where = "published.id >= %s AND added >= %s AND added < %s AND {was_heard}"
    return _run(columns, expected, where, values, end)


def _run(
    columns: str, expected: Iterable[Missing], where: str, values: Sequence[Any], end: str
) -> list[tuple[Any, ...]]:
    if not (pairs := list(expected)):
        return []
    connection = _connection()
    spelt = _SPELLINGS[connection.vendor]
    statement = _SQL.format(
        pairs=", ".join(["(%s, %s)"] * len(pairs)),
        columns=columns.format(**spelt),
        where=where.format(**spelt),
        end=end,
        **spelt,
    )
    adapted = (rows.adapted(connection, value) for value in (OutboxEvent.Status.RELAYED.value, *values))
    with connection.cursor() as cursor:
        cursor.execute(statement, [*chain(*pairs), *adapted])
        return list(cursor.fetchall())
