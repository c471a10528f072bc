"""Presence: which queues have a worker, so that nobody goes live without one."""

import logging
import platform
import time
from collections.abc import Sequence

from django.db import Error, connections, router
from django.utils import timezone

from microworkflows.cutover.models import WorkerPresence

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 30.0


class Presence:
    """Notes, every half minute, that a worker of these queues is there."""

    def __init__(self, queues: Sequence[str]) -> None:
        self._queues = queues
        self._next = 0.0

    def note(self) -> None:
        """Note it, if it is time. While the database is away it is not: that fails nobody."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        connection = connections[router.db_for_write(WorkerPresence)]
        try:
            for queue in self._queues:
                WorkerPresence.objects.update_or_create(
                    queue=queue, defaults={"host": platform.node(), "seen_at": timezone.now()}
                )
        except Error as error:
            logger.warning("worker of %s not noted as seen: %s", ", ".join(self._queues), error)
        finally:
            connection.close()
