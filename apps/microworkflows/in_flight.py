"""What is under way, held against the code of this process, before it is deployed: would it read each event, and handle each message?

It knows what tables tell. Pending events and timers are in the outbox, waiting and parked messages in the inbox. An event that was relayed, and
that no inbox here has, is in a queue, or was lost. It takes no message from a queue: the broker would count the look as a delivery.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, Final
from uuid import UUID

from microworkflows import contracts, flows, heartbeats, ids, masking, registry, times, unreceived
from microworkflows.cloudevents import CloudEvent, context_of
from microworkflows.errors import InvalidCloudEventError, InvalidPayloadError
from microworkflows.models import FactOf, InboxEvent, OutboxEvent, message_id
from microworkflows.workflows import Microworkflow

MOST_IDS: Final = 10
"""Number of ids that are named of messages with one problem."""
_BATCH = 1_000
_REMEDIES = {
    "refused": "Let the reading bear them (a default, a looser type), or hear the form that comes under a version of its own.",
    "gone": "Keep the microworkflow until they are handled, or dismiss them: manage.py dismiss ID.",
    "unknown": "Keep the class of the event until they are through; a type that nobody knows is read by nobody.",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why this code would not handle messages that are under way."""

    kind: str
    """``refused``: the reading does not take it. ``gone``: nobody here listens any more. ``unknown``: no such type is declared."""
    state: str
    """``pending``, ``scheduled``, ``queued``, ``waiting`` or ``parked``."""
    event_type: str
    consumer: str
    """Label of the microworkflow, or of the context; empty where nobody listens."""
    reason: str

    @property
    def remedy(self) -> str:
        """What to do."""
        return _REMEDIES[self.kind]


@dataclass
class Found:
    """The outcome of a look."""

    looked_at: Counter[str] = field(default_factory=Counter)
    """Number of messages by their state."""
    problems: dict[Problem, list[str]] = field(default_factory=dict)
    """The first ids of those with each problem: of inbox rows where they wait or are parked, else of events."""
    counts: Counter[Problem] = field(default_factory=Counter)
    unseen: list[str] = field(default_factory=list)
    """What nobody can tell from here, in words."""

    def note(self, problem: Problem, identifier: object) -> None:
        """Count a message with a problem."""
        self.counts[problem] += 1
        named = self.problems.setdefault(problem, [])
        if len(named) < MOST_IDS:
            named.append(str(identifier))


def look(*, since: datetime | None = None) -> Found:
    """Return what of the messages under way the code of this process would not handle.

    Args:
        since: Time from which on relayed events are looked at; by default that of the last 24 hours.
    """
    found = Found()
    here = contracts.contexts_here({}) | set(registry.contexts())
    _look_into_outbox(found, here)
    _look_at_relayed(found, here, since or times.aware(times.now()) - unreceived.SPAN)
    _look_into_inbox(found)
    return found


def _look_into_outbox(found: Found, here: set[str]) -> None:
    unsent = [
        *(OutboxEvent.Status.PENDING, OutboxEvent.Status.SCHEDULED),
        *(OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED),
    ]
    for row in OutboxEvent.objects.filter(status__in=unsent).order_by("pk").iterator(_BATCH):
        state = "scheduled" if row.status == OutboxEvent.Status.SCHEDULED else "pending"
        found.looked_at[state] += 1
        listened = {context_of(label) for label in row.listeners or ()} & here
        for problem in _of_event(state, row.type, row.body, listened):
            found.note(problem, row.pk)


def _look_at_relayed(found: Found, here: set[str], since: datetime) -> None:
    """Look at the events that were relayed and that a listener has not received, as far as its inbox is here."""
    told = unreceived.told()
    elsewhere: Counter[str] = Counter()
    is_left_to_nobody = cache(flows.is_left_to_nobody)
    rows = OutboxEvent.objects.filter(
        status=OutboxEvent.Status.RELAYED, pk__gte=ids.lowest(since), added__gte=times.stored(since)
    )
    rows = rows.only("pk", "destination", "headers").annotate(fact=FactOf()).order_by("pk")
    for batch in _batches(rows.iterator(_BATCH)):
        expected = {
            message_id(label, UUID(row.fact)): (row, label)
            for row in batch
            for label in row.listeners or registry.listening(row.type)
        }
        received = set(
            InboxEvent.objects.many().filter(msg_id__in=list(expected)).values_list("msg_id", flat=True)
        )
        missing = [pair for key, pair in expected.items() if key not in received]
        bodies = dict(
            OutboxEvent.objects.filter(pk__in={row.pk for row, _ in missing}).values_list("pk", "body")
        )
        queued: dict[Any, set[str]] = {}
        for row, label in missing:
            if context_of(label) not in told & here:
                elsewhere[context_of(label)] += 1
            elif not is_left_to_nobody(label, CloudEvent.from_dict(bodies[row.pk]).meta.mark):
                queued.setdefault(row, set()).add(context_of(label))
        for row, listened in queued.items():
            found.looked_at["queued"] += 1
            for problem in _of_event("queued", row.type, bodies[row.pk], listened, only=listened):
                found.note(problem, row.pk)
    found.unseen += [
        f"{number} events relayed for {context}: its inbox is in another database, or no worker of it was ever seen here"
        for context, number in sorted(elsewhere.items())
    ]
    found.unseen += _depths(found.looked_at["queued"])


def _depths(known: int) -> Iterator[str]:
    """Yield the queues in which more waits than the tables tell of: events of other services, whose outbox is elsewhere."""
    seen = heartbeats.last_seen()
    waiting = {queue: each.depth for queue, each in seen.items() if each.depth}
    if sum(waiting.values()) > known:
        queues = ", ".join(f"{depth} in {queue}" for queue, depth in sorted(waiting.items()))
        yield f"messages of other services, whose outbox is elsewhere: by the last heartbeats there wait {queues}, {known} of which are known here"


def _look_into_inbox(found: Found) -> None:
    labels = {workflow.label: workflow for workflow in registry.workflows()}
    for row in InboxEvent.objects.failing().order_by("pk").iterator(_BATCH):
        state = str(InboxEvent.Status(row.status).label)
        found.looked_at[state] += 1
        workflow = labels.get(row.label)
        if workflow is not None and workflow in registry.listeners(row.type):
            refusal = _refusal(workflow, row.body)
            if refusal:
                found.note(_problem("refused", state, row.type, row.label, refusal), row.pk)
        elif row.workflow is None and registry.listeners(row.type, contexts=[row.context]):
            pass  # a message that nobody listened to: somebody does now
        else:
            reason = f"no microworkflow {row.label} listens to {row.type}"
            found.note(_problem("gone", state, row.type, row.label, reason), row.pk)


def _of_event(
    state: str, event_type: str, body: Any, listened: set[str], *, only: set[str] | None = None
) -> Iterator[Problem]:
    """Yield what hinders an event on its way to the contexts that are here.

    Args:
        state: Where it is.
        event_type: Its type.
        body: The CloudEvent.
        listened: Contexts that listened when it was recorded.
        only: Those that have not received it; None for all that listen now.
    """
    listeners = registry.listeners(event_type, contexts=only)
    for workflow in listeners:
        if refusal := _refusal(workflow, body):
            yield _problem("refused", state, event_type, workflow.label, refusal)
    for context in sorted(listened - {workflow.context for workflow in listeners}):
        yield _problem(
            "gone", state, event_type, context, f"no microworkflow of {context} listens to it any more"
        )
    if not listeners and not listened and event_type not in registry.announced():
        yield _problem("unknown", state, event_type, "", "no class announces it, and none reads it")


def _refusal(workflow: Microworkflow[Any], body: Any) -> str:
    """Return why a microworkflow's reading refuses an event; empty if it takes it."""
    try:
        event = CloudEvent.from_dict(body)
    except InvalidCloudEventError as error:
        return str(error)
    try:
        workflow.on.from_cloud_event(event)
    except InvalidPayloadError as error:
        # One problem for all messages that have it: without their ids.
        return masking.scrub(event)(str(error).partition(" does not satisfy ")[2])
    return ""


def _problem(kind: str, state: str, event_type: str, consumer: str, reason: str) -> Problem:
    return Problem(kind=kind, state=state, event_type=event_type, consumer=consumer, reason=reason)


def _batches(rows: Iterable[OutboxEvent]) -> Iterator[list[OutboxEvent]]:
    coming = iter(rows)
    while batch := list(islice(coming, _BATCH)):
        yield batch
