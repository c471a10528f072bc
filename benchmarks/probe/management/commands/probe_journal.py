"""``manage.py probe_journal``: writes notices of so many orders into the journal, as its collector does."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandParser

_STEPS = 4
"""Events of an order, one causing the next; each is handled by one microworkflow."""
_AT_ONCE = 100


class Command(BaseCommand):
    help = "Write notices of orders of four events, and tell how long it took."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("orders", type=int)

    def handle(self, *args: Any, orders: int, **options: Any) -> None:
        from microworkflows.journal import reading, writing

        memory = writing.Memory()
        sender = {
            "id": str(uuid4()),
            "service": "shop",
            "kind": "pool",
            "name": "pool",
            "host": "one",
            "pid": 1,
            "contexts": [],
            "began_at": time.time(),
        }
        first = 0
        bodies: list[str] = []
        for start in range(0, orders, _AT_ONCE):
            notices = [each for _ in range(min(_AT_ONCE, orders - start)) for each in _order()]
            now = time.time()
            message = {"version": 1, "process": sender, "sent_at": now, "first": first, "notices": notices}
            bodies.append(json.dumps(message))
            first += len(notices)
        began, cpu = time.monotonic(), time.process_time()
        for body in bodies:
            arrived_at = datetime.now(UTC)
            writing.write([reading.message(body, arrived_at=arrived_at, is_fresh=True)], memory)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        self.stdout.write(json.dumps({"notices": first, "seconds": seconds, "cpu": cpu}))


def _order() -> list[list[Any]]:
    flow, cause, at = str(uuid4()), "", time.time()
    notices: list[list[Any]] = []
    ids = [str(uuid4()) for _ in range(_STEPS + 1)]
    for step in range(_STEPS):
        event = {"id": ids[step], "type": f"probe.step{step}.v1", "flow": flow, "time": at, "trace": "a" * 32}
        if cause:
            event["cause"] = cause
        notices.append(["relayed", at, event])
        emitted = [ids[step + 1]] if step + 1 < _STEPS else []
        facts = {"event": event, "consumer": f"probe.take{step}", "number": 1, "seconds": 0.002}
        notices.append(["handled", at, {**facts, "emitted": emitted}])
        cause = ids[step]
    return notices
