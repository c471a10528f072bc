"""``python -m benchmarks.flow_lists``: the journal's list of flows, its search and a journey among ten million events.

It fills the journal's tables by SQL in the empty scratch database that ``DATABASE_URL`` names, then asks each question of the pages
some times over, and prints the median time of its statements and whether one reads a table from end to end.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

_PART = 50_000
_EVENTS_A_FLOW = 9

_FLOWS = """
INSERT INTO microworkflows_journal_flow (id, correlation_id, kind, key, name, trace_id, began_at, last_at, state, since,
    outcome, overdue_at, due_at, waiting_for, variant, events_count, failures_count)
SELECT n, lpad(to_hex(n), 32, '0')::uuid::text, 'orders.order', lpad(to_hex(n), 32, '0')::uuid::text, 'A-' || lpad(n::text, 6, '0'),
    md5('trace' || n), began, began + interval '2 seconds', state, began + interval '2 seconds',
    CASE WHEN state <> 3 THEN '' WHEN n % 9 = 0 THEN 'cancelled' ELSE 'shipped' END,
    CASE WHEN state = 1 AND n % 40 = 0 THEN began + interval '5 minutes' END, NULL,
    CASE state WHEN 1 THEN (CASE WHEN n % 3 = 0 THEN '["shipping.schedule_shipment"]' ELSE '["payments.take_payment"]' END)
        ELSE '[]' END::jsonb,
    CASE WHEN n % 9 = 0 THEN 'b7d1' ELSE '91aa' END, %(each)s, 0
FROM (
    SELECT n, timestamptz '2026-11-01' + n * interval '2 seconds' AS began,
        CASE WHEN n %% 50 = 7 THEN 1 WHEN n %% 400 = 3 THEN 2 WHEN n %% 1100 = 5 THEN 4 ELSE 3 END AS state
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) AS numbered
"""
_EVENTS = """
INSERT INTO microworkflows_journal_event (id, flow_id, type, emitted_by, causation_id, recorded_at, relayed_at, status, error, mark, hops)
SELECT lpad(to_hex(n * 16 + e), 32, '0')::uuid, n, 'orders.step_' || e || '.v1', 'orders.do_step',
    CASE WHEN e > 1 THEN lpad(to_hex(n * 16 + e - 1), 32, '0')::uuid::text ELSE '' END, at, at, 2, '', '', e
FROM (
    SELECT n, e, timestamptz '2026-11-01' + n * interval '2 seconds' + e * interval '100 milliseconds' AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n, generate_series(1, %(each)s) AS e
) AS numbered
"""
_DELIVERIES = """
INSERT INTO microworkflows_journal_delivery (event_id, consumer, status, mode, received_at, handled_at, changed_at, duration, attempts,
    due_at, error, fingerprint, emitted)
SELECT lpad(to_hex(n * 16 + e), 32, '0')::uuid, 'payments.do_step', CASE WHEN failed THEN 4 ELSE 2 END, '', at,
    CASE WHEN NOT failed THEN at END, at, interval '4 milliseconds', 1, NULL,
    CASE WHEN failed THEN 'BankAway: no answer to order A-' || lpad(n::text, 6, '0') ELSE '' END, CASE WHEN failed THEN 'f4a1' ELSE '' END, '[]'
FROM (
    SELECT n, e, n %% 400 = 3 AND e = %(each)s AS failed,
        timestamptz '2026-11-01' + n * interval '2 seconds' + e * interval '100 milliseconds' AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n, generate_series(1, %(each)s) AS e
    WHERE n %% 20 IN (0, 3)
) AS numbered
"""
"""One flow in ten has its deliveries, among them all that failed: no list reads those of the others."""


def main() -> int:
    """Fill what is empty, and measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--flows", type=int, default=1_111_111, help="number of flows, of 9 events each")
    options.add_argument("--rounds", type=int, default=11, help="number of times that each question is asked")
    given = options.parse_args()
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        print("Name an empty scratch database of PostgreSQL in DATABASE_URL: it is filled.", file=sys.stderr)
        return 2
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.flow_settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    fill(given.flows)
    for name, ask in questions(given.flows).items():
        measured = [_measured(ask) for _ in range(given.rounds)]
        milliseconds = statistics.median(took for took, _ in measured) * 1000
        scanned = _scanned(measured[-1][1])
        print(f"{name:<44} {milliseconds:8.1f} ms  {len(measured[-1][1])} statements  {scanned}", flush=True)
    return 0


def fill(flows: int) -> None:
    """Fill the tables by parts, if they are empty."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(flow_id), 0) FROM microworkflows_journal_event")
        (filled,) = cursor.fetchone()
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SET session_replication_role = replica")  # no foreign key is looked up for each row
        for first in range(filled + 1, flows + 1, _PART):
            part = {"first": first, "last": min(first + _PART - 1, flows), "each": _EVENTS_A_FLOW}
            for statement in (_FLOWS, _EVENTS, _DELIVERIES):
                cursor.execute(statement.replace("n % ", "n %% ").replace("%%%", "%%"), part)
            print(f"filled {part['last']:,} flows", file=sys.stderr, flush=True)
        cursor.execute("RESET session_replication_role")
        cursor.execute("RESET synchronous_commit")
        for table in ("flow", "event", "delivery"):
            cursor.execute(f"VACUUM ANALYZE microworkflows_journal_{table}")


def questions(flows: int) -> dict[str, Callable[[], Any]]:
    """Return what the pages ask, by name."""
    from microworkflows.journal import flows as listed
    from microworkflows.journal import journeys
    from microworkflows.journal.flows import Wanted
    from microworkflows.journal.models import Event, Flow

    middle = Flow.objects.get(pk=flows // 2)
    event = Event.objects.filter(flow=middle).values_list("pk", flat=True)[0]
    day = middle.began_at
    wanted = {
        "all, first page": Wanted(),
        "all, page from the middle": Wanted(after=(day, middle.pk)),
        **{f"state {state}": Wanted(state=state) for state in listed.STATES},
        "state done, page from the middle": Wanted(state="done", after=(day, middle.pk)),
        "outcome cancelled": Wanted(outcome="cancelled"),
        "variant b7d1": Wanted(variant="b7d1"),
        "waiting for shipping": Wanted(waiting_for="shipping.schedule_shipment"),
        "waiting for nobody of this name": Wanted(waiting_for="nowhere.to_be_found"),
        "a day": Wanted(began_from=day, began_before=day + timedelta(days=1)),
        "a day, failed": Wanted(began_from=day, began_before=day + timedelta(days=1), state="failed"),
    }
    terms = {
        "name": middle.name,
        "key": middle.key,
        "correlation id": middle.correlation_id,
        "trace id": middle.trace_id,
        "event id": str(event),
        "text of an error": "no answer to order",
        "text of an error that nobody has": "never heard of",
        "fingerprint": "f4a1",
    }
    found: dict[str, Callable[[], Any]] = {}
    found |= {f"list: {name}": partial(listed.page, what) for name, what in wanted.items()}
    found |= {f"count: {state}": partial(listed.count, Wanted(state=state)) for state in listed.STATES}
    found |= {f"search: {name}": partial(listed.page, Wanted(term=term)) for name, term in terms.items()}
    found["outcomes"] = listed.outcomes
    found["standings of 100 objects"] = lambda: listed.standings(
        list(Flow.objects.order_by("-pk").values_list("correlation_id", flat=True)[:100])
    )
    found["needs attention, for a filter"] = listed.in_need
    found["journey"] = lambda: journeys.journey(middle.correlation_id)
    return found


def _measured(ask: Callable[[], Any]) -> tuple[float, list[tuple[str, Any]]]:
    """Return the time that the statements of a question take, and the statements."""
    from django.db import connection

    took, asked = 0.0, []

    def timed(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal took
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took += time.perf_counter() - began
            asked.append((sql, params))

    with ExitStack() as stack:
        stack.enter_context(connection.execute_wrapper(timed))
        ask()
    return took, asked


def _scanned(statements: list[tuple[str, Any]]) -> str:
    """Return which of the large tables a statement reads from end to end."""
    from django.db import connection

    large = [f"Seq Scan on microworkflows_journal_{table}" for table in ("flow", "event", "delivery")]
    with connection.cursor() as cursor:
        plans = []
        for sql, params in statements:
            cursor.execute(f"EXPLAIN {sql}", params)
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
    found = sorted({each for each in large if any(each in plan for plan in plans)})
    return ", ".join(found) or "by index"


if __name__ == "__main__":
    sys.exit(main())
