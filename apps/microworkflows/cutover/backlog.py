"""Backlog: messages in queues that nobody consumes, as the broker tells at this moment."""

import logging
from collections.abc import Iterable

from microworkflows import celery_app, topology
from microworkflows.loads import Loads

logger = logging.getLogger(__name__)

_SECONDS = 1.0
"""Longest wait for the broker: somebody looks at a page."""


def without_consumer(queues: Iterable[str]) -> dict[str, int | None]:
    """Return, by label, the number of messages in each of these queues in which some wait and that has no consumer.

    None stands for a queue of which the broker does not tell. A queue that nobody has declared holds none.
    """
    loads, found = Loads(celery_app.get(), seconds=_SECONDS), dict[str, int | None]()
    left = list(queues)
    try:
        while left:
            depth, consumers = loads.of(topology.name(left[0]))
            queue = left.pop(0)
            if depth and not consumers:
                found[queue] = depth
    except Exception as error:  # of whatever transport
        logger.warning(
            "the broker does not tell what waits in %s: %s: %s", ", ".join(left), type(error).__name__, error
        )
        found |= dict.fromkeys(left)
    finally:
        loads.close()
    return found
