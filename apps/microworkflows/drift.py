"""Drift: the edges of a process that were observed and not declared, or declared and never observed.

An edge leads from who emits an event to its type, or from a type to who hears it. Its name says so: ``orders -> orders.order_accepted.v1``
(flows begin), ``payments.take_payment -> payments.payment_received.v1``, ``orders.order_accepted.v1 -> payments.take_payment``.
A project's CI compares: ``manage.py drift`` from the journal's rows, pytest's option ``--microworkflows-drift`` from a run of tests.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from microworkflows import causes, flows, registry
from microworkflows.cloudevents import CloudEvent, context_of
from microworkflows.models import OutboxEvent

ARROW = " -> "


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Names of edges, sorted."""

    undeclared: tuple[str, ...]
    """Observed, and not declared."""
    unobserved: tuple[str, ...]
    """Declared, and never observed."""
    stale: tuple[str, ...]
    """Allowed, though they are neither: the allowance has nothing to allow."""

    def __bool__(self) -> bool:
        return bool(self.undeclared or self.unobserved or self.stale)

    def lines(self) -> Iterator[str]:
        """Return each with what is to be done."""
        for name in self.undeclared:
            yield f"observed, not declared: {name}. Declare it (announce the event, emits=, on=), or stop it."
        for name in self.unobserved:
            yield f"declared, never observed: {name}. Test it, remove the declaration, or allow it by name."
        for name in self.stale:
            yield f"allowed, without need: {name}. Remove it from the list of what is allowed."


def edge(source: str, target: str) -> str:
    """Return the name of an edge."""
    return f"{source}{ARROW}{target}"


def compare(*, declared: Collection[str], observed: Collection[str], allowed: Collection[str] = ()) -> Drift:
    """Compare edges by their names; those that are allowed count as neither kind of drift."""
    undeclared, unobserved = set(observed) - set(declared), set(declared) - set(observed)
    return Drift(
        undeclared=tuple(sorted(undeclared - set(allowed))),
        unobserved=tuple(sorted(unobserved - set(allowed))),
        stale=tuple(sorted(set(allowed) - undeclared - unobserved)),
    )


def edges(
    *, announces: Iterable[str], listeners: Iterable[tuple[str, str, Sequence[str]]], known: Collection[str]
) -> set[str]:
    """Return the names of declared edges.

    Args:
        announces: Types that contexts announce. Flows begin with those that no listener emits.
        listeners: Of each microworkflow its label, the type that it hears, and the types that it emits.
        known: Contexts that declare; a type that another context announces comes from outside, and is no edge of theirs.
    """
    listeners, announced = list(listeners), set(announces)
    emitted = {each for _, _, emits in listeners for each in emits}
    begun = {each for each in announced - emitted if context_of(each) in known}
    return {
        *(edge(context_of(each), each) for each in begun),
        *(edge(on, label) for label, on, _ in listeners),
        *(edge(label, each) for label, _, emits in listeners for each in emits),
    }


def declared_here() -> set[str]:
    """Return the names of the edges that this process declares."""
    return edges(
        announces=registry.announced(),
        listeners=[
            (each.label, on, each.emitted_types) for each in registry.workflows() for on in each.types
        ],
        known=registry.contexts(),
    )


class Observer(flows.Guest):
    """A guest that notes the edges that it sees in this process."""

    def __init__(self) -> None:
        self.observed: set[str] = set()

    def recorded(self, events: Sequence[CloudEvent]) -> None:
        """Note who recorded the events: a context, where flows begin, or a microworkflow."""
        cause = causes.cause()
        for event in events:
            self.observed.add(edge(cause.workflow if cause else event.meta.context, event.meta.type))

    def handled(self, attempt: flows.Attempt, emitted: Sequence[UUID]) -> None:
        """Note who heard the event, and what it emitted; the outbox knows the types of that.

        Of the versions of a fact, one is handled: so whoever declares several has heard each.
        """
        meta = attempt.event.meta
        heard = {each for each in meta.versions if attempt.consumer in registry.listening(each)}
        self.observed |= {edge(each, attempt.consumer) for each in {meta.type, *heard}}
        of_flow = OutboxEvent.objects.of_flow(meta.correlation_id).filter(body__causationid=str(meta.id))
        rows = of_flow.filter(headers__microworkflow=attempt.consumer)  # with timers, which may never be sent
        self.observed |= {edge(attempt.consumer, each) for each in rows.values_list("destination", flat=True)}
