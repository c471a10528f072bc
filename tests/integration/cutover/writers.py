"""Writers that go on writing the rows of payments while it is moved, until its fence refuses them."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

MORE = (
    "INSERT INTO payments_payment (id, order_id, idempotency_key, amount, currency, state, reference, decline_reason,"
    " refund_reference, taken_at) SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1 + i % 900, 'EUR', 'received',"
    " 'ref-' || i, '', '', now() FROM generate_series(1, {}) AS i"
)
"""SQL that adds payments."""

_KEYS = (
    "SELECT format('ALTER TABLE payments_payment DROP CONSTRAINT %I', conname), format('ALTER TABLE payments_payment ADD"
    " CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint"
    " WHERE conrelid = 'payments_payment'::regclass AND contype IN ('p', 'u') ORDER BY contype, conname"
)

_REFUSED = "57P03"
_WRITES: dict[str, LiteralString] = {
    "insert": MORE.format(1),
    "update": "UPDATE payments_payment SET amount = amount + 1 WHERE id = (SELECT id FROM payments_payment"
    " WHERE id >= gen_random_uuid() ORDER BY id LIMIT 1)",
    "delete": "DELETE FROM payments_payment WHERE id = (SELECT id FROM payments_payment WHERE id >= gen_random_uuid()"
    " ORDER BY id LIMIT 1) AND state <> 'declined'",
    "new key": "UPDATE payments_payment SET id = gen_random_uuid() WHERE id = (SELECT id FROM payments_payment"
    " WHERE id >= gen_random_uuid() ORDER BY id LIMIT 1)",
}
_TWO = "SELECT array_agg(id) FROM (SELECT id FROM payments_payment WHERE id >= gen_random_uuid() ORDER BY id LIMIT 2) AS two"


@dataclass
class Writers:
    """What they did, and why they ended."""

    written: Counter[str] = field(default_factory=Counter)
    ends: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def writing(url: str, *, number: int = 2, pause: float = 0.0) -> Iterator[Writers]:
    """Let so many of them write to a database in the block, and end at its end at the latest."""
    writers = Writers()
    threads = [
        threading.Thread(target=_write, args=(url, writers, pause), daemon=True) for _ in range(number)
    ]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        writers.stop.set()
        for thread in threads:
            thread.join(timeout=30)


def add(url: str, number: int) -> None:
    """Add many payments: their keys are made once all are there, which is several times as fast."""
    with psycopg.connect(url, autocommit=True) as connection:
        keys = connection.execute(_KEYS).fetchall()
        statements = [drop for drop, _ in keys] + [MORE.format(number)] + [make for _, make in keys]
        for statement in (*statements, "ANALYZE payments_payment"):
            connection.execute(statement)


def checksum(url: str, table: str = "payments_payment") -> tuple[int, str]:
    """Return number and checksum of the rows of a table."""
    query = f"SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint::numeric), 0)::text FROM {table} AS t"
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()  # type: ignore[return-value]


def _write(url: str, writers: Writers, pause: float) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not writers.stop.wait(pause):
            kind = random.choice([*_WRITES, "swap"])
            try:
                with connection.transaction():
                    if kind == "swap":
                        _swap(connection)
                    else:
                        connection.execute(_WRITES[kind])
            except psycopg.errors.DeadlockDetected:
                continue
            except psycopg.Error as error:
                writers.ends.append(error.sqlstate or str(error))
                return
            writers.written[kind] += 1


def _swap(connection: psycopg.Connection) -> None:
    """Exchange a unique value of two rows."""
    (ids,) = connection.execute(_TWO).fetchone()  # type: ignore[misc]
    if ids is None or len(ids) < 2:
        return
    query = "SELECT order_id FROM payments_payment WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
    values = [value for (value,) in connection.execute(query, [ids])]
    if len(values) < 2:
        return
    first, second = sorted(ids)
    update = "UPDATE payments_payment SET order_id = %s WHERE id = %s"
    connection.execute(update, ["00000000-0000-0000-0000-000000000000", first])
    connection.execute(update, [values[0], second])
    connection.execute(update, [values[1], first])


def refused(writers: Writers) -> bool:
    """Return True if the fence ended them all, and nothing else."""
    return bool(writers.ends) and set(writers.ends) == {_REFUSED}
