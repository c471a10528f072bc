"""Together: several microworkflows' runs share a transaction, as long as they are quick and none fails.

It saves most of what a run costs beside the function itself: one commit for all, one statement for their inbox rows, one
for what they emit. Each run has a savepoint of its own: one that fails takes back what it did, and no more. And the
transaction ends as soon as it has lasted a moment, or something is in its way. So locks are held for not much longer
than by one run alone, and a slow microworkflow has a transaction of its own each time.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import handling, recording
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import InboxEvent, message_id
from microworkflows.workflows import Microworkflow

logger = logging.getLogger(__name__)

Step = tuple[Microworkflow[Any], CloudEvent]
"""A microworkflow and the event that it is to handle."""

_LONGEST_SECONDS = 0.05
"""So long after it began a transaction takes nothing more in."""
_LONGEST_LOCK_WAIT = "10ms"
"""Two transactions may each hold what the other waits for, as the order of their steps is chance: so none waits long."""
_IN_THE_WAY = {"55P03", "40P01"}
"""SQLSTATE of a lock that was not to be had in that time, and of a deadlock."""


@dataclass(kw_only=True)
class _Round:
    """One transaction, and what became of the steps that it was to do."""

    left: deque[Step]
    """Not begun."""
    done: list[Step] = field(default_factory=list)
    known: list[Step] = field(default_factory=list)
    """Received before, or by another process at this very moment."""
    failed: tuple[Step, Exception] | None = None


def handle(
    steps: Iterable[Step],
    *,
    alone: Callable[[Microworkflow[Any], CloudEvent], None],
    failed: Callable[[Microworkflow[Any], CloudEvent, Exception], None],
) -> None:
    """Handle each step, in this order unless something is in the way.

    Args:
        steps: None of them delivered before, as far as is known.
        alone: Handles a step in a transaction of its own: the last that is left, a duplicate, one that another
            transaction is in the way of, and all those of a transaction that could not be committed.
        failed: Keeps what one of them raised; nothing of that one was kept.

    Raises:
        Exception: what ``alone`` and ``failed`` raise: the database is out of reach. What was committed is in the inbox,
            so all may be delivered again.
    """
    left = deque(steps)
    connection = connections[router.db_for_write(InboxEvent)]
    size = len(left)
    while left:
        if (count := min(size, len(left))) == 1:
            alone(*left.popleft())
            continue
        this = _Round(left=deque(left.popleft() for _ in range(count)))
        try:
            with transaction.atomic(using=connection.alias):
                _begin(connection)
                _do(connection, this)
        except Exception as error:
            _do_alone(this, error, alone=alone)
            left.extendleft(reversed(this.left))
            continue
        left.extendleft(reversed(this.left))
        if this.left and this.failed is None:  # its time was up: the next is to claim no more than it can do
            size = max(len(this.done), 1)
        for workflow, event in this.done:
            handling.log_handled(workflow, event)
        for step in this.known:
            alone(*step)
        if this.failed is not None:
            step, raised = this.failed
            if _is_in_the_way(raised):
                alone(*step)
            else:
                failed(*step, raised)


def _begin(connection: BaseDatabaseWrapper) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LONGEST_LOCK_WAIT}'")


def _do(connection: BaseDatabaseWrapper, this: _Round) -> None:
    """Do steps until the time is up or one fails."""
    ends_at = time.monotonic() + _LONGEST_SECONDS
    deliveries = [(workflow.label, event) for workflow, event in this.left]
    new = handling.insert(deliveries, status=InboxEvent.Status.HANDLED)
    emitted: list[tuple[CloudEvent, str | None]] = []
    while this.left and this.failed is None:
        workflow, event = step = this.left.popleft()
        if (key := message_id(workflow.label, event.meta.id)) not in new:
            this.known.append(step)
            continue
        try:
            with transaction.atomic(using=connection.alias):
                events = handling.run(workflow, event)
                handling.insist_on_whole_transaction()
        except Exception as error:
            this.failed = step, error
        else:
            new.remove(key)
            emitted += [(each, workflow.label) for each in events]
            this.done.append(step)
        if time.monotonic() > ends_at:
            break
    if new:  # not handled after all
        InboxEvent.objects.using(connection.alias).filter(msg_id__in=sorted(new)).delete()
    if emitted:
        recording.store(emitted)
    handling.insist_on_whole_transaction()  # else a transaction that can only be rolled back would be, without a word
    # What one of them wants done after the commit must not keep the others' from being done; Django logs what it raises.
    hooks: Any = connection.run_on_commit  # (the stubs do not know the third of each)
    connection.run_on_commit = [(sids, hook, True) for sids, hook, _ in hooks]  # type: ignore[misc]


def _do_alone(this: _Round, error: Exception, *, alone: Callable[..., None]) -> None:
    """Do what was begun once more, each step by itself: nothing was kept. All of them if none was begun."""
    steps = [*this.done, *this.known, *([this.failed[0]] if this.failed else [])]
    if not steps:
        steps = list(this.left)
        this.left.clear()
    logger.warning("%d steps could not be committed together, each is done alone: %s", len(steps), error)
    for step in steps:
        alone(*step)


def _is_in_the_way(error: Exception) -> bool:
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", None) in _IN_THE_WAY
