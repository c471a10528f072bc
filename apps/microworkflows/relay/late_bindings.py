"""Late bindings: during a cut-over a context's queue gets events only from the first flow on in which it does its own steps.

Before that the monolith does its steps, nobody consumes the queue, and what came there would wait for ever. The relay binds the
queue, so that no switch, whoever presses it, has to reach the broker: each event says by its mark who does the steps of its
flow, and leaves only when the queues of all those are bound. A queue that is bound stays bound.
"""

import json
from collections.abc import Collection, Sequence
from functools import cached_property

from microworkflows import flows, topology
from microworkflows.cloudevents import mark_of
from microworkflows.relay.publisher import Message


class LateBindings:
    """The queues that one relay has bound late, or is about to."""

    def __init__(self) -> None:
        self._served: set[str] = set()

    def add(self, messages: Sequence[Message]) -> bool:
        """Return True if queues must be bound before these messages leave; from then on :meth:`served` names them, too."""
        missing = self._late - self._served
        if not missing:
            return False
        marks = {mark_of(json.loads(message.body)) for message in messages}
        new = {label for label in missing for mark in marks if flows.does_own_steps(label, mark)}
        self._served |= new
        return bool(new)

    @cached_property
    def _late(self) -> frozenset[str]:
        return frozenset(
            topology.bound_late()
        )  # by settings and declarations, which a process does not change

    def served(self) -> Collection[str]:
        """Return the labels of the queues to be bound to all their types, at each declaration.

        They are all where a context has a database of its own: a flow that begins there is not stamped here.
        """
        return topology.queues() if flows.router.contexts_elsewhere() else frozenset(self._served)
