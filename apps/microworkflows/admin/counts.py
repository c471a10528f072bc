"""Counts of messages that need attention: one number per status, each a link to its rows."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count as CountOf

from microworkflows.models import InboxEvent, OutboxEvent


@dataclass(frozen=True, kw_only=True)
class Count:
    """Number of messages with one status."""

    status: str
    number: int
    model: str
    """Model name, in lower case, of the admin that lists them."""
    meaning: str


_COUNTED: tuple[tuple[type[OutboxEvent] | type[InboxEvent], dict[Any, str]], ...] = (
    (
        OutboxEvent,
        {
            OutboxEvent.Status.PENDING: "recorded, not yet relayed to the broker",
            OutboxEvent.Status.UNHEARD: "relayed, but no queue was bound to their type",
            OutboxEvent.Status.REJECTED: "refused by the broker for good, such as one that is too large",
        },
    ),
    (
        InboxEvent,
        {
            InboxEvent.Status.WAITING: "failed, will be tried again",
            InboxEvent.Status.PARKED: "failed for good, until somebody replays them",
        },
    ),
)


def counts() -> list[Count]:
    """Count the messages that are not done, in two queries on the partial indexes of the statuses."""
    found = []
    for model, meanings in _COUNTED:
        rows = model.objects.filter(status__in=meanings).order_by().values_list("status")
        numbers = dict(rows.annotate(number=CountOf("pk")))
        for status, meaning in meanings.items():
            number = numbers.get(status, 0)
            found.append(
                Count(status=status.label, number=number, model=model._meta.model_name, meaning=meaning)
            )
    return found
