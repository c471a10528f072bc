"""How many messages need attention: one number per status, each a link to the rows it counts."""

from dataclasses import dataclass

from django.db.models import Count as CountOf
from django.db.models import QuerySet

from microworkflows.models import InboxEvent, OutboxEvent


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many messages have one status."""

    status: str
    number: int
    model: str
    """Model name, in lower case, of the admin that lists them."""
    meaning: str


def counts() -> list[Count]:
    """Count what is not done, in two queries that the partial indexes on the statuses answer."""
    outbox = _by_status(OutboxEvent.objects.filter(status__in=[_PENDING, _UNHEARD]))
    inbox = _by_status(InboxEvent.objects.filter(status__in=[_WAITING, _PARKED]))
    return [
        Count(
            status=_PENDING.label,
            number=outbox.get(_PENDING, 0),
            model="outboxevent",
            meaning="recorded, not yet relayed to the broker",
        ),
        Count(
            status=_UNHEARD.label,
            number=outbox.get(_UNHEARD, 0),
            model="outboxevent",
            meaning="relayed, but no queue was bound to their type",
        ),
        Count(
            status=_WAITING.label,
            number=inbox.get(_WAITING, 0),
            model="inboxevent",
            meaning="failed, will be tried again",
        ),
        Count(
            status=_PARKED.label,
            number=inbox.get(_PARKED, 0),
            model="inboxevent",
            meaning="failed for good, until somebody replays them",
        ),
    ]


_PENDING, _UNHEARD = OutboxEvent.Status.PENDING, OutboxEvent.Status.UNHEARD
_WAITING, _PARKED = InboxEvent.Status.WAITING, InboxEvent.Status.PARKED


def _by_status(rows: "QuerySet[OutboxEvent] | QuerySet[InboxEvent]") -> dict[int, int]:
    return dict(rows.order_by().values_list("status").annotate(number=CountOf("pk")))
