"""``manage.py relay``: what a worker runs beside itself; by hand for workers started with ``--no-relay``."""

import os
import signal
import threading
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu import Connection

from microworkflows import registry
from microworkflows.relay.loop import Relay

_LOOK_SECONDS = 0.5
_ORPHAN_SECONDS = 2.0
"""So long an orphan may finish its batch: another relay waits for its lock, and what is not marked is sent again."""


def _broker() -> Connection:
    return current_app.connection_for_write(heartbeat=current_app.conf.broker_heartbeat)


class Command(BaseCommand):
    help = (
        "Relay the events of contexts to the broker, and bring messages due for a retry back to their queues."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "contexts", nargs="*", help="labels of contexts; by default all that are installed"
        )
        parser.add_argument(
            "--parent", type=int, help="stop when the process with this id is no longer the parent"
        )

    def handle(self, *args: Any, contexts: list[str], parent: int | None, **options: Any) -> None:
        unknown = sorted(set(contexts) - set(registry.contexts()))
        if unknown:
            raise CommandError(
                f"No such context: {', '.join(unknown)}. Installed are: {', '.join(registry.contexts()) or 'none'}."
            )
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relays = [
            threading.Thread(
                target=Relay(context, broker=_broker, stop=stop).run,
                name=f"relay-{context}",
                daemon=True,
            )
            for context in contexts or registry.contexts()
        ]
        for relay in relays:
            relay.start()
        patience = None
        while not stop.wait(_LOOK_SECONDS):
            if parent is not None and os.getppid() != parent:
                patience = _ORPHAN_SECONDS
                stop.set()
            elif not all(relay.is_alive() for relay in relays):
                stop.set()
                raise CommandError("A relay ended by an error (see above); start this command again.")
        for relay in relays:
            relay.join(patience)
