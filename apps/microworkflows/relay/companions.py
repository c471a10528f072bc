"""Companions: what guests of the core do beside a relay, each in a thread of its own."""

import logging
import threading
from collections.abc import Sequence

from django.db import connections

from microworkflows import flows
from microworkflows.flows import Guest

logger = logging.getLogger(__name__)

_SHORTEST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0


def start(contexts: Sequence[str], stop: threading.Event) -> list[threading.Thread]:
    """Let each guest that works beside a relay begin; return the threads, which end once ``stop`` is set."""
    threads = [
        threading.Thread(
            target=_run, args=[guest, contexts, stop], name=type(guest).__name__.lower(), daemon=True
        )
        for guest in flows.beside_relay()
    ]
    for thread in threads:
        thread.start()
    return threads


def _run(guest: Guest, contexts: Sequence[str], stop: threading.Event) -> None:
    """Let a guest work until told to stop; whatever ends it before, it begins anew after a pause."""
    wait = _SHORTEST_WAIT_SECONDS
    while not stop.is_set():
        try:
            guest.beside_relay(contexts, stop)
        except Exception:
            logger.exception(
                "%s failed beside the relay, which goes on; it begins anew in %d s",
                type(guest).__qualname__,
                wait,
            )
        finally:
            connections.close_all()  # this thread's
        stop.wait(wait)
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
