"""The probe's declarations, kept out of the test process's registry except while a test wants them there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from microworkflows import Subject, outbox, registry
from microworkflows.cloudevents import Metadata
from microworkflows.ids import uuid7

with registry.isolated():
    registry.clear()
    from tests.integration.echo import workflows as _echo  # noqa: F401  (declares)
    from tests.integration.probe import workflows as _probe  # noqa: F401  (declares)
    from tests.integration.probe.events import Answered, Asked, Noted, Whispered

    _announcements, _readings, _workflows = (
        registry.announcements(),
        registry.readings(),
        registry.workflows(),
    )

__all__ = [
    "Answered",
    "Asked",
    "Noted",
    "Whispered",
    "ask",
    "cloud_event",
    "declared",
    "effects",
    "empty_tables",
]

CREATE = (
    "CREATE TABLE IF NOT EXISTS probe_effect (workflow varchar(50), event_id varchar(36), "
    "CONSTRAINT done_once UNIQUE (workflow, event_id))"
)


@contextmanager
def declared() -> Iterator[None]:
    """Make this process know what the probe's processes know, and nothing else."""
    with registry.isolated():
        registry.clear()
        for announcement in _announcements:
            registry.add_announcement(announcement)
        for reading in _readings:
            registry.add_reading(reading)
        for workflow in _workflows:
            registry.add_workflow(workflow)
        yield


def ask(
    count: int = 1,
    *,
    per_transaction: int = 100,
    start: int = 0,
    about: Subject | None = None,
    **fields: Any,
) -> list[Metadata]:
    """Record so many questions, numbered; return their envelopes."""
    recorded = []
    for first in range(start, start + count, per_transaction):
        numbers = range(first, min(first + per_transaction, start + count))
        with transaction.atomic():
            recorded += outbox.record_all([Asked(number=number, **fields) for number in numbers], about=about)
    return recorded


def cloud_event(*, refused: str | None = None, **data: Any) -> str:
    """Return the text of a question that nobody recorded; ``refused`` is an attribute, which the inbox keeps, for a trigger."""
    attributes = {"specversion": "1.0", "id": str(uuid7()), "source": "/probe", "type": Asked.event_type}
    if refused is not None:
        attributes["refused"] = refused
    return json.dumps({**attributes, "data": {"number": 0, **data}})


def empty_tables() -> None:
    """Forget every effect; the kit's tables are emptied by the fixture of pytest-django."""
    with connection.cursor() as cursor:
        cursor.execute(CREATE)
        cursor.execute("DELETE FROM probe_effect")


def effects(workflow: str = "probe.answer") -> list[str]:
    """Return the ids of the events that had their effect, committed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT event_id FROM probe_effect WHERE workflow = %s", [workflow])
        return [event_id for (event_id,) in cursor.fetchall()]
