"""Batching: runs of a microworkflow that takes many become one call, as large as has proven quick."""

from collections import deque
from collections.abc import Collection
from typing import Any
from uuid import UUID

from microworkflows.cloudevents import CloudEvent
from microworkflows.models import message_id
from microworkflows.workflows import Microworkflow

Run = tuple[Microworkflow[Any], CloudEvent]
"""A microworkflow and the event for it to handle."""

_SLOW_SECONDS = 0.05
"""A call that takes longer is halved from then on: it holds locks, and others wait for them."""
_QUICK_SECONDS = _SLOW_SECONDS / 4
"""A call that takes less may have twice as many events the next time."""

_most: dict[str, int] = {}
"""Largest number of events in a call, by the label of the microworkflow, where some call was slow."""


def take(left: deque[Run], *, new: Collection[str]) -> list[Run]:
    """Take the first run from those that are left, and with it the others of its microworkflow, if that takes many.

    Of each flow none is taken but those of its first event: so the events of a flow keep their order, and never two of them are
    taken. Runs of events that are not new, by the keys of their inbox rows, stay.
    """
    workflow, _ = left[0]
    if not workflow.many:
        return [left.popleft()]
    taken: list[Run] = []
    others: list[Run] = []
    first: dict[str, UUID] = {}
    fresh, most = set(new), _most.get(workflow.label, len(left))
    for run in left:
        of, event = run
        key, flow = message_id(of.label, event.meta.id), event.meta.correlation_id
        is_first = first.setdefault(flow, event.meta.id) == event.meta.id
        if of is workflow and is_first and key in fresh and len(taken) < most:
            taken.append(run)
            fresh.remove(key)
        else:
            others.append(run)
    left.clear()
    left.extend(others)
    return taken


def note(workflow: Microworkflow[Any], number: int, *, seconds: float) -> None:
    """Note how long a call with so many events took, in the thread's own time: a busy machine makes no call smaller."""
    if seconds > _SLOW_SECONDS:
        _most[workflow.label] = max(number // 2, 1)
    elif seconds < _QUICK_SECONDS and number >= _most.get(workflow.label, number + 1):
        _most[workflow.label] = 2 * number
