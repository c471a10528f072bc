"""Notices: what processes tell the journal, and the form in which it travels.

A message is one JSON object, which holds who sends it and what happened, in the order of happening::

    {"version": 1, "process": {...}, "sent_at": 1795700000.25, "first": 17, "notices": [["handled", 1795700000.11, {...}], ...]}

The notices of a process are numbered without gaps from 0; ``first`` is the number of the message's first. Times are seconds since
1970 (UTC) on the sender's clock. Payloads never travel.
"""

from enum import StrEnum
from typing import Any, Literal, TypedDict

from microworkflows.cloudevents import Metadata

VERSION: Literal[1] = 1


class Kind(StrEnum):
    """What a notice tells."""

    DECLARED = "declared"
    """The first of each process: what its code declares, see :class:`Declarations`."""
    RELAYED = "relayed"
    UNHEARD = "unheard"
    REJECTED = "rejected"
    """The relay's three outcomes of an event: facts of :class:`EventFacts`, and ``error`` for the last."""
    RECEIVED = "received"
    """A microworkflow has run for a second, and still runs: :class:`AttemptFacts` without duration."""
    HANDLED = "handled"
    FAILED = "failed"
    PARKED = "parked"
    """An attempt has ended: :class:`AttemptFacts`."""
    REPLAYED = "replayed"
    DISMISSED = "dismissed"
    """Somebody sent a parked message round again, or gave it up: :class:`ActFacts`."""
    ALIVE = "alive"
    """A process lives: :class:`LifeFacts`."""
    TALLY = "tally"
    """Counts of one context's tables: :class:`TallyFacts`."""
    STOPPED = "stopped"
    """The last of a process that ends in good order."""


Notice = tuple[Kind, float, dict[str, Any]]
"""Kind, time and facts."""


class Sender(TypedDict):
    """Who sends a message."""

    id: str
    """UUID, made when the process sends its first notice."""
    service: str
    kind: Literal["worker", "pool", "relay", "web"]
    name: str
    """Name for people, such as Celery's of a worker."""
    host: str
    pid: int
    contexts: list[str]
    """Contexts whose queues it consumes, or that it relays; empty for others."""
    began_at: float


class Listener(TypedDict):
    """A declared microworkflow."""

    label: str
    on: str
    emits: list[str]


class Promise(TypedDict):
    """A declared deadline; ``within`` is in seconds."""

    awaited: str
    of: str
    within: float


class Declarations(TypedDict):
    """What a service's code declares, so that the journal needs none of it."""

    contexts: list[str]
    workflows: list[Listener]
    announces: list[str]
    outcomes: dict[str, str]
    deadlines: list[Promise]
    admin_url: str
    """Address of the service's admin, for links; empty if unknown."""


class EventFacts(TypedDict, total=False):
    """An event's envelope; what it lacks is left out."""

    id: str
    type: str
    flow: str
    """Correlation id."""
    cause: str
    time: float
    """Time of recording, on the clock of the process that recorded it."""
    by: str
    """Label of the microworkflow that emitted it; only in the relay's notices."""
    mark: str
    hops: int
    about: list[str]
    """Kind, key and name of the subject; the name may be empty."""
    trace: str
    """Trace id."""
    error: str


class AttemptFacts(TypedDict, total=False):
    """One attempt of a consumer at an event."""

    event: EventFacts
    consumer: str
    number: int
    began: float
    seconds: float
    mode: str
    emitted: list[str]
    error: str
    fingerprint: str
    due: float
    """Time of the next attempt."""
    worker: str


class ActFacts(TypedDict, total=False):
    """What somebody did to a message."""

    event: str
    """Id of the event."""
    consumer: str
    by: str
    why: str


class LifeFacts(TypedDict, total=False):
    """Signs of life."""

    depths: dict[str, int | None]
    """Messages that wait, by queue; None: unknown."""
    handling: int
    leads: list[str]
    """Contexts of which a relay has the lead."""


class TallyFacts(TypedDict, total=False):
    """Numbers of one context's rows by status; ``oldest`` is the time at which the oldest pending event was recorded."""

    context: str
    pending: int
    oldest: float
    unheard: int
    rejected: int
    waiting: int
    parked: int
    dead: int


def event_facts(meta: Metadata, *, by: str | None = None) -> EventFacts:
    """Return the facts of an event's envelope."""
    facts = EventFacts(id=str(meta.id), type=meta.type, flow=meta.correlation_id, time=meta.time.timestamp())
    if meta.causation_id is not None:
        facts["cause"] = meta.causation_id
    if by is not None:
        facts["by"] = by
    if meta.mark is not None:
        facts["mark"] = meta.mark
    if meta.hops:
        facts["hops"] = meta.hops
    if meta.subject is not None:
        facts["about"] = [meta.subject.kind, meta.subject.key, meta.subject.name or ""]
    facts["trace"] = meta.traceparent.split("-")[1]
    return facts
