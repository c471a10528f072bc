"""Notices: what processes tell the journal, and the form in which it travels.

A message is one JSON object, which holds who sends it and what happened, in the order of happening::

    {"version": 1, "process": {...}, "sent_at": 1795700000.25, "first": 17, "notices": [["handled", 1795700000.11, {...}], ...]}

The notices of a process are numbered without gaps from 0; ``first`` is the number of the message's first. Times are seconds since
1970 (UTC) on the sender's clock. Payloads never travel.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

from microworkflows import registry
from microworkflows.cloudevents import FACT, HOPS, KEY, KIND, NAME, Metadata, fact_of, mark_of, versions_of
from microworkflows.journal import conf

VERSION: Literal[1] = 1

LONGEST_ERROR = 2_000
"""Number of characters of an error that travel."""


class Kind(StrEnum):
    """What a notice tells."""

    DECLARED = "declared"
    """The first of each process: what its code declares, see :class:`Declarations`."""
    RECORDED = "recorded"
    """It is in the outbox, and not relayed: :class:`EventFacts`. No process tells it; the tables do, where a gap is filled."""
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
    mark: str
    hops: int
    about: list[str]
    """Kind, key and name of the subject; the name may be empty."""
    trace: str
    """Trace id."""
    versions: list[str]
    """Types of a fact that was recorded in several versions, the newest first; all have the oldest one's id."""
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


def event_facts(meta: Metadata) -> EventFacts:
    """Return the facts of an event's envelope."""
    facts = EventFacts(id=str(meta.id), type=meta.type, flow=meta.correlation_id, time=meta.time.timestamp())
    if meta.causation_id is not None:
        facts["cause"] = meta.causation_id
    if meta.mark is not None:
        facts["mark"] = meta.mark
    if meta.hops:
        facts["hops"] = meta.hops
    if meta.subject is not None:
        facts["about"] = [meta.subject.kind, meta.subject.key, meta.subject.name or ""]
    if meta.versions:
        facts["versions"] = list(meta.versions)
    facts["trace"] = meta.traceparent.split("-")[1]
    return facts


def facts_of_body(body: str) -> EventFacts:
    """Return the facts of an event that this service has recorded, from its body as it was sent."""
    found = json.loads(body)
    time = datetime.fromisoformat(found["time"]).timestamp()
    facts = EventFacts(id=fact_of(found), type=found["type"], flow=found["correlationid"], time=time)
    if "causationid" in found:
        facts["cause"] = found["causationid"]
    if (mark := mark_of(found)) is not None:
        facts["mark"] = mark
    if HOPS in found:
        facts["hops"] = found[HOPS]
    if KIND in found:
        facts["about"] = [found[KIND], found[KEY], found.get(NAME, "")]
    if FACT in found:
        facts["versions"] = versions_of(found)
    facts["trace"] = found["traceparent"].split("-")[1]
    return facts


def rejected_facts(body: str, error: str) -> EventFacts:
    """Return the facts of an event that the broker refuses for good."""
    facts = facts_of_body(body)
    facts["error"] = error[:LONGEST_ERROR]
    return facts


def run_facts(meta: Metadata, consumer: str, began: float) -> AttemptFacts:
    """Return the facts of a run that still lasts."""
    return AttemptFacts(event=event_facts(meta), consumer=consumer, began=began)


class Ended(NamedTuple):
    """What is kept of an attempt that has ended until its facts are made: not its payload."""

    meta: Metadata
    consumer: str
    number: int
    seconds: float | None
    mode: str


def handled_facts(ended: Ended, emitted: Sequence[UUID]) -> AttemptFacts:
    """Return the facts of an attempt that succeeded."""
    facts = _attempt(ended)
    if emitted:
        facts["emitted"] = [str(each) for each in emitted]
    return facts


def failed_facts(ended: Ended, error: str, fingerprint: str, due: float | None) -> AttemptFacts:
    """Return the facts of an attempt that failed; without a time of the next one it was the last."""
    facts = _attempt(ended)
    facts["error"] = error[:LONGEST_ERROR]
    if fingerprint:
        facts["fingerprint"] = fingerprint
    if due is not None:
        facts["due"] = due
    return facts


def act_facts(event: UUID, consumer: str, by: str, why: str) -> ActFacts:
    """Return the facts of what somebody did with a message."""
    return ActFacts(event=str(event), consumer=consumer, by=by[:255], why=why[:LONGEST_ERROR])


def _attempt(ended: Ended) -> AttemptFacts:
    facts = AttemptFacts(event=event_facts(ended.meta), consumer=ended.consumer, number=ended.number)
    if ended.seconds is not None:
        facts["seconds"] = round(ended.seconds, 6)
    if ended.mode:
        facts["mode"] = ended.mode
    return facts


def declarations() -> Declarations:
    """Return what this process's code declares."""
    return Declarations(
        contexts=registry.contexts(),
        workflows=[
            Listener(
                label=workflow.label,
                on=on,
                emits=sorted(workflow.emitted_types),
            )
            for workflow in registry.workflows()
            for on in workflow.types
        ],
        announces=sorted(registry.announced()),
        outcomes=registry.outcomes(),
        deadlines=[
            Promise(awaited=each.awaited, of=each.of, within=each.within.total_seconds())
            for each in registry.deadlines()
        ],
        admin_url=conf.current().journal_admin_url,
    )
