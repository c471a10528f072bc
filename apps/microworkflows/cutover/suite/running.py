"""A suite while it runs in its ways: flows are stamped accordingly, and what is left to a worker is noted or delivered.

An event is left to the workers when the outermost transaction of the code under test has ended. In a ``TestCase`` nothing ever
commits, so this is the end of the outermost ``atomic`` block but for those that the test case itself opens around a test. What
was rolled back is not left to anybody.

A delivery is what a worker does, in this process: each step once, in a transaction of its own, after the commit and before the
code under test goes on. Its failure is kept in the inbox, as in production, and noted here. Its statements are no statements of
the request, so they are not in ``assertNumQueries``.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from unittest import mock

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save

from microworkflows import bounds, inbox, on_commit, recording, registry, topology
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover import conf, legacy_steps, switch
from microworkflows.cutover.models import ShadowComparison
from microworkflows.cutover.stamps import MONOLITH, Mode, Stamp
from microworkflows.cutover.suite.ways import Way
from microworkflows.cutover.switch import Setting
from microworkflows.errors import MicroworkflowsError
from microworkflows.models import InboxEvent, OutboxEvent, message_id
from microworkflows.workflows import Microworkflow

_SETTINGS = {
    Way.INLINE: Setting(Mode.INLINE),
    Way.SHADOW: Setting(Mode.SHADOW),
    Way.WITHHELD: Setting(Mode.LIVE, 100),
    Way.LIVE: Setting(Mode.LIVE, 100),
}


class WayRefusedError(MicroworkflowsError):
    """A context cannot be run in this way, so a run would prove nothing."""


@dataclass(frozen=True, order=True)
class Step:
    """A step of a context that an event triggered in a test."""

    context: str
    way: str
    workflow: str
    """Label of the microworkflow."""
    event: str
    """Type of the event."""
    wrong: str = ""
    """The reason why the step itself counts as failed: its error when it was delivered, or its difference in shadow."""

    def as_dict(self) -> dict[str, str]:
        """Return it as plain JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


def refuse(ways: Mapping[str, Way]) -> None:
    """Raise if a context cannot be run in its way.

    Raises:
        WayRefusedError: it cannot; the text says why.
    """
    for context, way in ways.items():
        if context not in conf.contexts():
            named = ", ".join(conf.contexts()) or "nothing"
            raise WayRefusedError(
                f"{context!r} cannot be run {way}: it is not being cut over. MICROWORKFLOWS['CUTOVER'] of these tests' "
                f"settings names {named}."
            )
        if not registry.subscriptions(context):
            raise WayRefusedError(
                f"{context!r} cannot be run {way}: it has no microworkflow. Is its app in INSTALLED_APPS?"
            )
        if way is Way.SHADOW and not legacy_steps.of_context(context):
            raise WayRefusedError(
                f"{context!r} cannot be run in shadow: it has no legacy step to compare its microworkflows with. Register one "
                f"with @microworkflows.cutover.legacy in {context}/legacy.py."
            )


@contextmanager
def taking_part(ways: Mapping[str, Way], note: Callable[[Step], None]) -> Iterator[None]:
    """Run all flows that begin in the block in these ways; ``note`` takes each step of these contexts."""
    run = _Run(ways, note)
    with ExitStack() as stack:
        stack.enter_context(switch.forced({context: _SETTINGS[way] for context, way in ways.items()}))
        # There is no hook for an event that a step returns, nor for the end of a block that a TestCase never commits.
        stack.enter_context(mock.patch.object(recording, "store", run.storing(recording.store)))
        ends = run.ending(transaction.Atomic.__exit__)
        stack.enter_context(mock.patch.object(transaction.Atomic, "__exit__", ends))
        post_save.connect(run.compared, sender=ShadowComparison, weak=False)
        stack.callback(post_save.disconnect, run.compared, sender=ShadowComparison)
        yield


class _Left(threading.local):
    """What this thread has recorded in its open transaction."""

    def __init__(self) -> None:
        self.events: dict[Callable[[], None], CloudEvent] = {}
        self.committed: list[CloudEvent] = []
        self.coming: deque[CloudEvent] = deque()
        self.delivering = False


class _Run:
    def __init__(self, ways: Mapping[str, Way], note: Callable[[Step], None]) -> None:
        self._ways, self._note, self._left = ways, note, _Left()
        live = [context for context, way in ways.items() if way is Way.LIVE]
        self._queues = [*live, MONOLITH] if live else []

    def storing(self, store: Callable[..., None]) -> Callable[..., None]:
        """Return what stores events and remembers them until their transaction ends."""

        def storing(recorded: Sequence[tuple[CloudEvent, str | None]]) -> None:
            store(recorded)
            left = self._left
            for event, _ in recorded:
                if event.meta.is_timer:
                    continue  # whatever the test does, it is over before
                hook = partial(left.committed.append, event)
                left.events[hook] = event
                transaction.on_commit(hook, using=_alias())

        return storing

    def ending(self, leave: Callable[..., None]) -> Callable[..., None]:
        """Return what leaves an atomic block and sees to what is left then to the workers."""

        def ending(block: Any, *error: Any) -> None:
            leave(block, *error)
            alias = _alias()
            if (block.using or "default") == alias and self._left.events and not block._from_testcase:  # noqa: SLF001
                connection = connections[alias]
                if _is_over(connection):
                    kept = self._taken(connection)
                    if error[0] is None:
                        self._see_to(kept, connection)

        return ending

    def compared(self, instance: ShadowComparison, **_: Any) -> None:
        """Note a comparison that did not agree."""
        if instance.outcome != ShadowComparison.Outcome.AGREED:
            why = f"{instance.outcome} in shadow: {json.dumps(instance.differences, default=str)[:500]}"
            self._note(Step(instance.context, Way.SHADOW, instance.workflow, instance.event_type, why))

    def _taken(self, connection: BaseDatabaseWrapper) -> list[CloudEvent]:
        """Return the events that are recorded for good, as far as the code under test can tell."""
        left = self._left
        kept = left.committed + [left.events[hook] for hook in on_commit.take_back(connection, left.events)]
        left.events.clear()
        left.committed.clear()
        return kept

    def _see_to(self, events: list[CloudEvent], connection: BaseDatabaseWrapper) -> None:
        left = self._left
        left.coming.extend(events)
        if left.delivering:  # a delivery has recorded them; the loop below goes on with them
            return
        while left.coming:
            event = left.coming.popleft()
            for workflow in registry.listeners(event.meta.type, contexts=self._ways):
                if any(each in workflow.types for each in _newer(event)):
                    continue  # noted: it is one fact
                way = self._ways[workflow.context]
                if _is_done_in(way, workflow, event):
                    self._note(Step(workflow.context, way, workflow.label, event.meta.type))
            with self._delivering(connection):
                for queue in self._queues:
                    self._deliver(event, queue)

    @contextmanager
    def _delivering(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        counted, before = connection.force_debug_cursor, on_commit.number(connection)
        connection.force_debug_cursor, self._left.delivering = False, True
        try:
            yield
        finally:
            connection.force_debug_cursor, self._left.delivering = counted, False
            if connection.in_atomic_block:  # else they have run, and are gone
                on_commit.cut(connection, before)

    def _deliver(self, event: CloudEvent, queue: str) -> None:
        listeners = [
            workflow
            for workflow in registry.listeners(event.meta.type, contexts=topology.contexts_served_by(queue))
            if topology.queue_for(workflow.context, event.meta.mark) == queue
        ]
        if not listeners:
            return
        body = json.loads(bounds.json_text(event.to_dict()))
        try:
            with _on_commit_too(connections[_alias()]):
                inbox.receive(body, queue=queue)
            wrong = {row.label: row.error for row in _failed(listeners, event)}
        except Exception as error:  # a worker's error is not the request's
            wrong = dict.fromkeys(
                (workflow.label for workflow in listeners), f"{type(error).__name__}: {error}"
            )
        for workflow in listeners:
            if why := wrong.get(workflow.label):
                way = self._ways.get(workflow.context, Way.INLINE)
                self._note(Step(workflow.context, way, workflow.label, event.meta.type, str(why)))


@contextmanager
def _on_commit_too(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Do in the end what the block left to ``on_commit``: in a TestCase nobody else does."""
    from django.test import TestCase

    with TestCase.captureOnCommitCallbacks(using=connection.alias, execute=True):
        yield


def _failed(listeners: Sequence[Microworkflow[Any]], event: CloudEvent) -> Sequence[InboxEvent]:
    keys = [message_id(workflow.label, event.meta.id) for workflow in listeners]
    return list(InboxEvent.objects.filter(msg_id__in=keys).exclude(status=InboxEvent.Status.HANDLED))


def _newer(event: CloudEvent) -> Sequence[str]:
    """Return the types of the newer versions of an event, which were recorded before it."""
    versions = event.meta.versions
    return versions[: versions.index(event.meta.type)] if versions else ()


def _is_done_in(way: Way, workflow: Microworkflow[Any], event: CloudEvent) -> bool:
    with suppress(MicroworkflowsError):  # nobody can read the mark
        return Stamp.parse(event.meta.mark).mode(workflow.context) is _SETTINGS[way].mode
    return False


def _alias() -> str:
    return router.db_for_write(OutboxEvent)


def _is_over(connection: BaseDatabaseWrapper) -> bool:
    """Return True if the code under test has no transaction open: only blocks of test cases are left."""
    return not connection.in_atomic_block or all(map(_from_test, getattr(connection, "atomic_blocks", ())))


def _from_test(block: object) -> bool:
    return bool(getattr(block, "_from_testcase", False))  # private, but Django has no other mark
