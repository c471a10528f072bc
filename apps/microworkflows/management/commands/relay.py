"""``manage.py relay``: what a worker runs beside itself; by hand for workers started with ``--no-relay``."""

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu import Connection

from microworkflows import checks, conf, topology
from microworkflows.relay.loop import Relay
from microworkflows.stamps import MONOLITH

if TYPE_CHECKING:
    from microworkflows.cutover.presence import Presence

_LOOK_SECONDS = 0.5
_ORPHAN_SECONDS = 2.0
"""So long an orphan may finish its batch: another relay waits for its lock, and what is not marked is sent again."""


def _broker() -> Connection:
    return current_app.connection_for_write(heartbeat=current_app.conf.broker_heartbeat)


def _presence(queues: list[str]) -> "Presence | None":
    """Return what notes that a worker is there, where a monolith is being cut over: its app is installed there alone."""
    if not conf.current().cutover:
        return None
    from microworkflows.cutover.presence import Presence

    return Presence(queues)


class Command(BaseCommand):
    help = (
        "Relay the events of contexts to the broker, and bring messages due for a retry back to their queues."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "contexts", nargs="*", help="labels of contexts; by default all that are installed"
        )
        parser.add_argument(
            "--parent",
            type=int,
            help="stop when the process with this id is no longer the parent; told to stop, relay what it recorded",
        )

    def handle(self, *args: Any, contexts: list[str], parent: int | None, **options: Any) -> None:
        checks.raise_for(checks.problems_at_start(current_app))
        unknown = sorted(set(contexts) - set(topology.feeds()))
        if unknown:
            raise CommandError(
                f"No such context: {', '.join(unknown)}. Installed are: {', '.join(topology.feeds()) or 'none'}."
            )
        served, contexts = contexts, topology.feeds() if MONOLITH in contexts else contexts
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relays = [
            threading.Thread(
                target=Relay(context, broker=_broker, stop=stop, drain=parent is not None).run,
                name=f"relay-{context}",
                daemon=True,
            )
            for context in contexts or topology.feeds()
        ]
        for relay in relays:
            relay.start()
        presence, patience = _presence(served) if parent is not None else None, None
        while not stop.wait(_LOOK_SECONDS):
            if parent is not None and os.getppid() != parent:
                patience = _ORPHAN_SECONDS
                stop.set()
            elif presence is not None:
                presence.note()
        for relay in relays:
            relay.join(patience)
