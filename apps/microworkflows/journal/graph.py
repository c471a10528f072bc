"""The graph of the process: what contexts declare (who announces, hears, emits), and beside it what the journal saw of it.

The map draws it. Rates, failures and durations are those of the journal's minutes in a window; what waits is what waits now. A number
that nobody can know, because no process of the context was heard of, is None, and never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from microworkflows.cloudevents import context_of
from microworkflows.journal import histograms, presence
from microworkflows.journal.presence import Life, Presence, Seen
from microworkflows.journal.sums import Sums, of_window
from microworkflows.journal.waiting import Waiting, by_consumer
from microworkflows.journal.windows import Window

Declared = Mapping[str, Any]
"""A row's :attr:`Context.declarations`."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """An edge: events of a type go to a consumer."""

    type: str
    consumer: str
    """Label of a microworkflow, or of a context where none of its microworkflows listens."""
    declared: bool
    handled: int | None
    """Deliveries handled in the window; None: unknown."""
    failed: int | None
    """Attempts that failed in the window; None: unknown."""
    parked: int | None
    """Deliveries parked in the window; None: unknown."""
    p50: float | None
    p95: float | None
    """Seconds from recording to handling that half, and 95 of 100, stayed below; None: unknown, or nothing was handled."""
    waiting: Waiting

    @property
    def observed(self) -> bool:
        """True if something came this way in the window."""
        return bool(self.handled or self.failed or self.parked)


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """An event type, and where it comes from."""

    type: str
    sources: tuple[str, ...]
    """Labels of the microworkflows that may emit it; empty: flows begin with it."""
    declared: bool
    relayed: int | None
    """Events relayed in the window; None: unknown."""
    outcome: str = ""
    """Outcome of the flows that end with it."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Everything that the map shows."""

    window: Window
    contexts: Mapping[str, Presence]
    announcements: tuple[Announcement, ...]
    hearings: tuple[Hearing, ...]
    missing: tuple[str, ...] = ()
    """Names of processes of whose notices some are missing from the window: the numbers may be too low."""
    heard_at: datetime | None = None
    """When the journal heard of any process last; None: never."""


def graph(window: Window) -> Graph:
    """Return the graph as declared now, with what was observed in a window."""
    period = (window.since, window.until)
    seen = presence.presences(now=window.until, during=period, flows=False)
    contexts = {each.context: each for each in seen}
    declarations = [each.declarations for each in seen]
    sums = of_window(window)
    return Graph(
        window=window,
        contexts=contexts,
        announcements=tuple(_announcements(declarations, contexts, sums, window)),
        hearings=tuple(_hearings(declarations, contexts, sums, window)),
        missing=tuple(sorted({name for each in seen for name in each.missing})),
        heard_at=presence.last_heard(),
    )


def listeners(declarations: Iterable[Declared]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return what each declared microworkflow emits, by the type that it hears and its label."""
    return {
        (each["on"], each["label"]): tuple(each["emits"])
        for declared in declarations
        for each in declared.get("workflows", ())
    }


def _announcements(
    declarations: Sequence[Declared],
    contexts: Mapping[str, Presence],
    sums: Mapping[tuple[str, str], Sums],
    window: Window,
) -> list[Announcement]:
    declared = listeners(declarations)
    sources: dict[str, list[str]] = {}
    for (_, label), emits in declared.items():
        for each in emits:
            sources.setdefault(each, []).append(label)
    announced = {each for own in declarations for each in own.get("announces", ())}
    outcomes = {each: outcome for own in declarations for each, outcome in own.get("outcomes", {}).items()}
    heard = {event_type for event_type, _ in declared}
    types = announced | heard | {event_type for event_type, _ in sums} | set(sources)
    return [
        Announcement(
            type=each,
            sources=tuple(sorted(sources.get(each, ()))),
            declared=each in announced or each in sources,
            relayed=_known(
                sums[each, ""].count if (each, "") in sums else 0,
                contexts[context_of(each)].relay if context_of(each) in contexts else None,
                window,
            ),
            outcome=outcomes.get(each, ""),
        )
        for each in sorted(types)
    ]


def _hearings(
    declarations: Sequence[Declared],
    contexts: Mapping[str, Presence],
    sums: Mapping[tuple[str, str], Sums],
    window: Window,
) -> list[Hearing]:
    declared, waiting = set(listeners(declarations)), by_consumer()
    observed = {edge for edge in sums if edge[1]}
    found = []
    for event_type, consumer in sorted(declared | observed):
        numbers = sums.get((event_type, consumer), Sums())
        context = contexts.get(context_of(consumer))
        worker = context.worker if context else None
        known = _known(numbers.count or numbers.failed or numbers.parked, worker, window) is not None
        found.append(
            Hearing(
                type=event_type,
                consumer=consumer,
                declared=(event_type, consumer) in declared,
                handled=numbers.count if known else None,
                failed=numbers.failed if known else None,
                parked=numbers.parked if known else None,
                p50=histograms.quantile(numbers.hops, 0.5),
                p95=histograms.quantile(numbers.hops, 0.95),
                waiting=waiting.get(consumer, Waiting(more=waiting[""].more)),
            )
        )
    return found


def _known(count: int, process: Seen | None, window: Window) -> int | None:
    """Return a count, or None if it is 0 and no process of its kind was heard of in the window: nobody can know."""
    if count:
        return count
    if process is None or process.seen_at is None:
        return None
    return 0 if process.life is Life.ALIVE or process.seen_at >= window.since else None
