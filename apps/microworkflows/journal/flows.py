"""Flows: the list of all of them by state, and the search; each statement takes an index, and reads no more than a page.

The list is read by keyset: a page begins after the last flow of the one before, so that the hundredth costs what the first does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast, Lower

from microworkflows.journal.journeys import state_word
from microworkflows.journal.models import Delivery, Event, Flow
from microworkflows.overviews import Standing

TONES: Final[Mapping[str, str]] = {
    "on its way": "busy",
    "failed": "bad",
    "overdue": "bad",
    "done": "good",
    "unknown": "idle",
}
"""Tones of the states' badges."""
PAGE: Final = 50
MOST_COUNTED: Final = 10_000
"""Up to so many flows are counted; more are said to be more."""
MOST_IN_NEED: Final = 1_000
"""Number of flows that a filter finds in need of attention, the newest first."""
_MOST_FOUND: Final = 1_000
_MOST_FAILED: Final = 10_000
"""Number of open failures in which the text of an error is looked for."""

NEED = Q(state__in=[Flow.State.FAILED, Flow.State.UNKNOWN]) | Q(overdue_at__isnull=False)
"""Flows that need attention; a partial index has the same condition."""

STATES: Final[Mapping[str, Q]] = {
    "needs attention": NEED,
    "on its way": Q(state=Flow.State.ON_ITS_WAY),
    "overdue": Q(overdue_at__isnull=False),
    "failed": Q(state=Flow.State.FAILED),
    "done": Q(state=Flow.State.DONE, overdue_at__isnull=True),
    "unknown": Q(state=Flow.State.UNKNOWN),
}
"""Conditions of the list, by their word."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the list is to show; empty is everything."""

    state: str = ""
    """A key of :data:`STATES`."""
    outcome: str = ""
    waiting_for: str = ""
    """Label of a microworkflow, or of a context for its relay."""
    variant: str = ""
    began_from: datetime | None = None
    began_before: datetime | None = None
    term: str = ""
    """What is searched for."""
    after: tuple[datetime, int] | None = None
    """Beginning and key of the last flow of the page before."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the list, the newest flows first."""

    flows: Sequence[Flow]
    next: tuple[datetime, int] | None
    """What the next page comes after; None if this is the last."""


def page(wanted: Wanted) -> Page:
    """Return a page of the flows that are wanted, in one statement; a search takes some more."""
    rows = _filtered(wanted)
    if wanted.after is not None:
        began_at, key = wanted.after
        rows = rows.filter(Q(began_at__lt=began_at) | Q(pk__lt=key), began_at__lte=began_at)
    found = list(rows.order_by("-began_at", "-pk")[: PAGE + 1])
    last = found[PAGE - 1] if len(found) > PAGE else None
    return Page(flows=found[:PAGE], next=(last.began_at, last.pk) if last else None)


def count(wanted: Wanted) -> int:
    """Return the number of flows that are wanted, at most one more than :data:`MOST_COUNTED`."""
    return _filtered(wanted).order_by()[: MOST_COUNTED + 1].count()


def search(term: str, *, most: int = _MOST_FOUND) -> list[str]:
    """Return the correlation ids of the flows that a term means, the newest first.

    It may be a flow's correlation id, trace id, or the name or key of what it is about; or an event's id; or, if it is
    none of these, a part of an error's text or a fingerprint, among the failures that are still open.
    """
    found = Flow.objects.filter(pk__in=_keys(term)[:most]).order_by("-began_at")
    return list(found.values_list("correlation_id", flat=True))


def standings(correlation_ids: Collection[str]) -> dict[str, Standing]:
    """Return where flows stand, by correlation id, in one statement; the unknown are left out."""
    rows = Flow.objects.filter(correlation_id__in=list(correlation_ids))
    fields = rows.only("correlation_id", "state", "overdue_at")
    return {flow.correlation_id: standing(flow) for flow in fields}


def standing(flow: Flow) -> Standing:
    """Return where a flow stands."""
    word = state_word(flow)
    needs = word in ("failed", "overdue", "unknown")
    return Standing(state=word, tone=TONES[word], needs_attention=needs)


def in_need() -> list[str]:
    """Return correlation ids, and keys of what they are about, of the newest flows that need attention; in one statement."""
    rows = Flow.objects.filter(STATES["needs attention"]).order_by("-began_at")
    found = rows.values_list("correlation_id", "key")[:MOST_IN_NEED]
    return list({text for pair in found for text in pair if text})


def outcomes() -> list[str]:
    """Return the outcomes that some flow has had, read by jumps over the index: one statement for each."""
    found: list[str] = []
    while True:
        after = Flow.objects.filter(outcome__gt=found[-1] if found else "").order_by("outcome", "-began_at")
        following = after.values_list("outcome", flat=True).first()
        if following is None:
            return found
        found.append(following)


def _filtered(wanted: Wanted) -> QuerySet[Flow]:
    rows = Flow.objects.filter(STATES.get(wanted.state, Q()))
    exact: dict[str, Any] = {"outcome": wanted.outcome, "variant": wanted.variant}
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    if wanted.waiting_for:
        waiting = rows.exclude(state=Flow.State.DONE)
        rows = waiting.alias(labels=Cast("waiting_for", TextField())).filter(
            labels__contains=f'"{wanted.waiting_for}"'
        )
    if wanted.began_from is not None:
        rows = rows.filter(began_at__gte=wanted.began_from)
    if wanted.began_before is not None:
        rows = rows.filter(began_at__lt=wanted.began_before)
    return rows.filter(pk__in=_keys(wanted.term)) if wanted.term else rows


def _keys(term: str) -> list[int]:
    """Return the primary keys of the flows that a term means; each kind of term is looked up by its own index."""
    term = term.strip()
    exact = Q(correlation_id=term) | Q(key=term) | Q(trace_id=term.lower()) if term else Q(pk__in=[])
    kind, colon, key = term.partition(":")
    if colon and key:
        exact |= Q(kind=kind, key=key)
    found = list(Flow.objects.filter(exact).order_by().values_list("pk", flat=True)[:_MOST_FOUND])
    named = Flow.objects.alias(lower=Lower("name")).filter(lower=term.lower()).exclude(name="")
    found += named.order_by("-began_at").values_list("pk", flat=True)[:_MOST_FOUND]
    if (event_id := _uuid(term)) is not None:
        found += Event.objects.filter(pk=event_id).values_list("flow_id", flat=True)
    return found or _failed_with(term)


def _failed_with(text: str) -> list[int]:
    """Return the flows with an open failure of this fingerprint, or whose error contains this text; among the first 10,000."""
    if not text:
        return []
    alike = Delivery.objects.filter(fingerprint=text).exclude(fingerprint="")
    found = list(alike.values_list("event__flow_id", flat=True)[:_MOST_FOUND])
    if found:
        return list(dict.fromkeys(found))
    failing = Delivery.objects.exclude(status=Delivery.Status.HANDLED).exclude(
        status=Delivery.Status.DISMISSED
    )
    newest = failing.exclude(status=Delivery.Status.RUNNING).values_list("pk", flat=True)[:_MOST_FAILED]
    told = Delivery.objects.filter(pk__in=list(newest), error__icontains=text)
    return list(dict.fromkeys(told.values_list("event__flow_id", flat=True)[:_MOST_FOUND]))


def _uuid(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None
