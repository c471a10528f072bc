"""Filling outbox and inbox by SQL with what months of work leave behind, or with a backlog: millions of rows in minutes.

The rows are those of the measured event: ids that grow with time, and bodies as long as those that the kit writes.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import sql

_PART = 250_000
"""So many rows in one transaction."""

_EVENTS = sql.SQL("""
    SELECT number, added, id, jsonb_build_object(
            'specversion', '1.0', 'id', id, 'source', '/' || {context}, 'type', {context} || '.measured.v1',
            'time', to_char(added AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'datacontenttype', 'application/json', 'correlationid', id,
            'traceparent', '00-' || random || '-' || left(random, 16) || '-01',
            'data', jsonb_build_object(
                'number', number, 'marker', 'm' || lpad(number::text, 9, '0') || 'm', 'filler', {filler}
            )
        ) AS body
    FROM (
        SELECT number, added, random, (
                lpad(to_hex((extract(epoch FROM added) * 1000)::bigint), 12, '0')
                || '7' || left(random, 3) || '8' || substr(random, 4, 15)
            )::uuid AS id
        FROM (
            SELECT number, md5({salt} || number) AS random,
                date_trunc('milliseconds', {began}) + number * interval '1 millisecond' AS added
            FROM generate_series({first}::bigint, {last}::bigint) AS number
            OFFSET 0
        ) AS numbered
        OFFSET 0
    ) AS identified
""")
_INTO_OUTBOX = sql.SQL("""
    INSERT INTO published (id, version, destination, body, added, expires_at, retry, status, headers)
    SELECT id, 'v1', {context} || '.measured.v1', body, added, 'epoch', 0, {status}, '{{"microworkflow": null}}'
    FROM ({events}) AS events
""")
_INTO_INBOX = sql.SQL("""
    INSERT INTO received (id, msg_id, headers, body, added, expires_at, retry, status)
    SELECT id, {context} || '.measure:' || id,
        jsonb_build_object('type', {context} || '.measured.v1', 'correlation_id', id), body, added, added, 0, 2
    FROM ({events}) AS events
""")
_FILLER = "x" * 230
_LONG_AGO = sql.SQL("(current_date - 40)::timestamptz")
_PENDING, _RELAYED = 1, 2


def finished(database: str, count: int, *, first: int = 0) -> None:
    """Add so many events of ``probe`` that were relayed and handled 40 days ago, numbered from ``first``; tidy up."""
    numbers, context = range(first, first + count), sql.Literal("probe")
    with ThreadPoolExecutor(2) as both:
        for table in [
            both.submit(_fill, database, _INTO_OUTBOX, numbers, context, status=_RELAYED, began=_LONG_AGO),
            both.submit(_fill, database, _INTO_INBOX, numbers, context, began=_LONG_AGO),
        ]:
            table.result()
    tidy(database)


def pending(database: str, count: int, *, first: int = 0, contexts: Sequence[str] = ("probe",)) -> None:
    """Add so many events that wait to be relayed, the last one recorded just now, and wake the contexts' relays.

    PostgreSQL's statistics are left as they were. Up to 250,000 are committed at once.
    """
    numbers = range(first, first + count)
    began = sql.SQL("now() - {} * interval '1 millisecond'").format(sql.Literal(numbers.stop))
    taking_turns = sql.SQL("({}::text[])[1 + number % {}]").format(
        sql.Literal(list(contexts)), sql.Literal(len(contexts))
    )
    _fill(database, _INTO_OUTBOX, numbers, taking_turns, status=_PENDING, began=began)
    with psycopg.connect(database, autocommit=True) as connection:
        for context in contexts:
            connection.execute("SELECT pg_notify(%s, '')", [f"microworkflows_{context}"])


def remove_the_rest(database: str) -> None:
    """Leave nothing in outbox and inbox but what was finished 40 days ago, and no trace of the rest."""
    with psycopg.connect(database, autocommit=True) as connection:
        for table in ("published", "received"):
            connection.execute(f"DELETE FROM {table} WHERE added > current_date - 39".encode())  # noqa: S608
        connection.execute("VACUUM (INDEX_CLEANUP ON) published, received")


def tidy(database: str) -> None:
    """Do now what autovacuum does later, so that it does not do it while something is measured."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) published, received, microworkflows_hold")


def _fill(
    database: str,
    into: sql.SQL,
    numbers: range,
    context: sql.Composable,
    *,
    began: sql.Composable,
    status: int = 0,
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        ((began_at,),) = connection.execute(sql.SQL("SELECT {}").format(began))
        for first in range(numbers.start, numbers.stop, _PART):
            events = _EVENTS.format(
                context=context,
                filler=sql.Literal(_FILLER),
                salt=sql.Literal(str(began_at)),
                began=sql.Literal(began_at),
                first=sql.Literal(first),
                last=sql.Literal(min(first + _PART, numbers.stop) - 1),
            )
            connection.execute(into.format(context=context, status=sql.Literal(status), events=events))
