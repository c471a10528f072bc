"""The purge beside the relays: a thread of its own in each process that relays; one of them purges, when it is time to.

It is here, and in no worker's pool, because a relay always runs where events do, and has nothing to do with handlers. Nobody leads:
whoever takes the turn first, by one row, purges.
"""

import logging
import random
import threading
from datetime import UTC, datetime, timedelta

from django.db import Error, connections, router

from microworkflows import conf, purging
from microworkflows.models import OutboxEvent
from microworkflows.models import purge as notes
from microworkflows.relay import session

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 60.0
"""Time between two looks whether it is time; a relay that is started again often purges, too."""


class StoppedError(Exception):
    """The process is to end."""


def start(stop: threading.Event) -> threading.Thread:
    """Begin; the thread ends with the process, and nobody has to wait for it."""
    thread = threading.Thread(target=run, args=[stop], name="purger", daemon=True)
    thread.start()
    return thread


def run(stop: threading.Event) -> None:
    """Purge from time to time, until told to stop. What fails is told, and tried again."""
    using = router.db_for_write(OutboxEvent)
    session.prepare(connections[using], name="microworkflows purge")

    def rest(seconds: float) -> None:
        if stop.wait(seconds):
            raise StoppedError

    while not stop.is_set():
        every = conf.current().purge_every
        try:
            if every is not None:
                look(every=timedelta(seconds=every), rest=rest)
        except StoppedError:
            return
        except Error as error:
            said = str(error).partition("\n")[0]
            logger.warning("could not purge, and tries again later: %s: %s", type(error).__name__, said)
        except Exception:
            logger.exception("could not purge, and tries again later")
        finally:
            connections.close_all()  # this thread's
        # Not all at the same time, where several were started together.
        stop.wait(min(every or _LONGEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1))  # noqa: S311


def look(*, every: timedelta, rest: purging.Rest) -> purging.Purged | None:
    """Purge if the last purge began so long ago; return what was purged, None if it is not time."""
    if not notes.take_turn(every=every):
        return None
    purged = purging.purge(now=datetime.now(UTC), rest=rest)
    level = logging.INFO if purged.outbox or purged.inbox else logging.DEBUG
    logger.log(
        level,
        "purged %d relayed events and %d handled messages; left %d older rows of unfinished flows",
        *(purged.outbox, purged.inbox, purged.spared),
    )
    return purged
