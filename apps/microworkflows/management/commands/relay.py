"""``manage.py relay``: a worker runs it beside itself; by hand it serves workers started with ``--no-relay``."""

import os
import signal
import threading
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu import Connection

from microworkflows import checks, flows, topology
from microworkflows.relay.loop import Relay

_LOOK_SECONDS = 0.5
_ORPHAN_SECONDS = 2.0
"""Time for an orphan to finish its batch: another relay waits for its lock, and sends unmarked messages again."""


def _broker() -> Connection:
    return current_app.connection_for_write(heartbeat=current_app.conf.broker_heartbeat)


class Command(BaseCommand):
    help = (
        "Relay the events of contexts to the broker, and bring messages due for a retry back to their queues."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "queues",
            nargs="*",
            metavar="context",
            help="labels of contexts; by default all installed ones",
        )
        parser.add_argument(
            "--parent",
            type=int,
            help="stop when the process with this id is no longer the parent; before a stop, relay its last events",
        )

    def handle(self, *args: Any, queues: list[str], parent: int | None, **options: Any) -> None:
        checks.raise_for(checks.problems_at_start(current_app))
        known = topology.queues()
        if unknown := sorted(set(queues) - set(known)):
            raise CommandError(
                f"No such context: {', '.join(unknown)}. Installed are: {', '.join(known) or 'none'}."
            )
        # Beside a worker of the router's own queue, such as the monolith's, the events of every context are recorded.
        serves_router = not set(queues).isdisjoint(flows.router.queues())
        relayed = queues if queues and not serves_router else known
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relays = [
            threading.Thread(
                target=Relay(queue, broker=_broker, stop=stop, drain=parent is not None).run,
                name=f"relay-{queue}",
                daemon=True,
            )
            for queue in relayed
        ]
        for relay in relays:
            relay.start()
        patience = None
        while not stop.wait(_LOOK_SECONDS):
            if parent is not None and os.getppid() != parent:
                patience = _ORPHAN_SECONDS
                stop.set()
        for relay in relays:
            relay.join(patience)
