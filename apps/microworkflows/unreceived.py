"""Relayed events that a listener has not received: the broker confirmed them, and then lost them or a queue's binding."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce

from microworkflows import flows, registry, times
from microworkflows.cloudevents import FORMER_MARK, MARK
from microworkflows.errors import UnreadableMarkError
from microworkflows.models import Header, InboxEvent, OutboxEvent, message_id

_AT_ONCE = 1_000


class Missing(NamedTuple):
    """An event type and a microworkflow that listens to it."""

    event_type: str
    listener: str


def count(*, since: datetime, until: datetime) -> Counter[Missing]:
    """Count the events relayed and recorded in a span of time that a listener, whose inbox is here, has not received.

    A microworkflow that did not listen yet when an event was recorded does not miss it.

    It looks up each event by the inbox's unique key, a thousand at once. What still waits in a queue counts as well, so
    let ``until`` lie some minutes back.
    """
    missing: Counter[Missing] = Counter()
    listeners, relayed = cache(_listeners), _relayed(times.stored(since), times.stored(until))
    while rows := list(islice(relayed, _AT_ONCE)):
        expected = {
            message_id(label, event_id): Missing(event_type, label)
            for event_id, event_type, mark, headers in rows
            for label in listeners(event_type, mark)
            if label in headers.get(Header.LISTENERS, (label,))
        }
        received = InboxEvent.objects.filter(msg_id__in=expected).values_list("msg_id", flat=True)
        missing.update(expected[key] for key in expected.keys() - set(received))
    return missing


def _relayed(since: datetime, until: datetime) -> Iterator[tuple[UUID, str, str | None, dict[str, Any]]]:
    types = [event.event_type for event in registry.announcements() if registry.listeners(event.event_type)]
    rows: Any = OutboxEvent.objects.filter(
        status=OutboxEvent.Status.RELAYED, destination__in=types, added__gte=since, added__lt=until
    ).order_by("added")
    rows = rows.annotate(
        mark=Coalesce(*(KeyTextTransform(name, "body") for name in (MARK, FORMER_MARK)))
    ).values_list("pk", "destination", "mark", "headers")
    return iter(rows.iterator(chunk_size=_AT_ONCE))


def _listeners(event_type: str, mark: str | None) -> list[str]:
    """Return the microworkflows that are to receive an event in a flow with this mark."""
    workflows = registry.listeners(event_type)
    return [workflow.label for workflow in workflows if not _is_left_to_nobody(workflow.context, mark)]


def _is_left_to_nobody(context: str, mark: str | None) -> bool:
    try:
        return flows.queue_for(context, mark) is None
    except UnreadableMarkError:
        return False
