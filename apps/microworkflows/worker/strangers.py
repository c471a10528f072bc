"""Strangers at a queue: consumers that the broker counts, and of which no heartbeat in this database tells.

Two projects with one exchange and one context look alike at the broker: nothing there says that they are two. But the
broker tells how many consume a queue, and the heartbeats tell how many of them are this project's.
"""

import logging
from collections import Counter
from collections.abc import Mapping

from microworkflows import heartbeats, topology

logger = logging.getLogger(__name__)

LOOKS = 12
"""Looks in a row, one with each heartbeat, that find a stranger before it is told: the broker counts a worker that was cut off
for up to half a minute more, and one that starts has its first heartbeat a little later."""


class Strangers:
    """Watches the queues of one worker; told once, and again if they come back after they had gone."""

    def __init__(self) -> None:
        self._looks: Counter[str] = Counter()

    def look(self, consumers: Mapping[str, int | None]) -> None:
        """Compare the number of consumers of each queue, None if unknown, with the workers that are known to live."""
        is_alone = all(
            count is None or count <= 1 for count in consumers.values()
        )  # the usual case asks no database
        known = Counter() if is_alone else Counter(w.queue for w in heartbeats.workers() if w.is_alive)
        for queue, count in consumers.items():
            if count is None:
                continue
            if count <= max(known[queue], 1):
                del self._looks[queue]
                continue
            self._looks[queue] += 1
            if self._looks[queue] == LOOKS:
                logger.warning(
                    "the broker counts %d consumers of the queue %r, and this database knows %d workers of it: somebody else takes "
                    "events there. If it is another project, give one of the two a PREFIX or another virtual host; if it is this "
                    "project's, it has another database, or workers have the same name (-n)",
                    *(count, topology.name(queue), known[queue]),
                    extra={"context": queue},
                )
