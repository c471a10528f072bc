"""Presence: the workers seen at each queue, so that no context goes live without one."""

import logging
import platform
from collections.abc import Sequence

from django.db import Error, connections, router
from django.utils import timezone

from microworkflows.cutover.models import WorkerPresence

logger = logging.getLogger(__name__)


def note(queues: Sequence[str]) -> None:
    """Note that a worker of these queues runs; if the database is away, only log that this was not noted."""
    connection = connections[router.db_for_write(WorkerPresence)]
    try:
        for queue in queues:
            WorkerPresence.objects.update_or_create(
                queue=queue, defaults={"host": platform.node(), "seen_at": timezone.now()}
            )
    except Error as error:
        logger.warning("could not note that a worker of %s runs: %s", ", ".join(queues), error)
    finally:
        connection.close()
