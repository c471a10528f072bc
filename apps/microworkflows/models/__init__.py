"""The kit's tables: outbox and inbox, which are django-outbox-pattern's two, as this kit uses them; history; heartbeats; bindings; purges; holds; rates.

The columns of the two keep their names, but two have another meaning here. ``expires_at`` is the time at which a row is due: an
outbox row is not relayed, and an inbox row not retried, before it. ``retry`` is the number of failed attempts.

The tables may also hold rows that the library wrote itself, for example before the kit was installed. The managers
leave them out, so that the kit relays, counts, shows and purges its own messages only.
"""

from microworkflows.models.binding import DeclaredBinding
from microworkflows.models.columns import DUE_AT_ONCE, Header, PrimaryManager
from microworkflows.models.erasure import Erasure
from microworkflows.models.expressions import (
    ContextOf,
    CorrelationOf,
    EventOf,
    FactOf,
    FingerprintOf,
    SubjectPart,
)
from microworkflows.models.heartbeat import Heartbeat
from microworkflows.models.history import FAILURES, HistoryEntry
from microworkflows.models.hold import Hold
from microworkflows.models.inbox import (
    DeadLetter,
    InboxEvent,
    InboxQuerySet,
    is_about,
    message_id,
    workflow_of,
)
from microworkflows.models.outbox import OutboxEvent, OutboxQuerySet
from microworkflows.models.purge import Purge
from microworkflows.models.run_rate import RunRate

__all__ = [
    "DUE_AT_ONCE",
    "FAILURES",
    "ContextOf",
    "CorrelationOf",
    "DeadLetter",
    "DeclaredBinding",
    "Erasure",
    "EventOf",
    "FactOf",
    "FingerprintOf",
    "Header",
    "Heartbeat",
    "HistoryEntry",
    "Hold",
    "InboxEvent",
    "InboxQuerySet",
    "OutboxEvent",
    "OutboxQuerySet",
    "PrimaryManager",
    "Purge",
    "RunRate",
    "SubjectPart",
    "is_about",
    "message_id",
    "workflow_of",
]
