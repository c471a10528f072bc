"""The call graph: what a function reaches, who reaches it, and what its callers do after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from microworkflows_xray.facts import Call

_UP = 8
"""Callers of callers are followed this far; beyond, nearly everything calls everything."""


class Graph:
    """All calls, both ways."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.out: dict[str, list[Call]] = {}
        self.back: dict[str, list[Call]] = {}
        for call in sorted(set(calls)):
            self.out.setdefault(call.caller, []).append(call)
            if call.how != "callback":  # what is wrapped in the same way is no part of one flow
                self.back.setdefault(call.callee, []).append(call)

    def reach(self, function: str, *, later: bool = True) -> frozenset[str]:
        """Name a function and all that it calls, directly or through others.

        Args:
            later: False leaves out what runs after the commit: tasks and ``on_commit`` callbacks.
        """
        seen = {function}
        queue = deque(seen)
        while queue:
            for call in self.out.get(queue.popleft(), ()):
                if call.callee not in seen and (later or call.how not in {"task", "on_commit"}):
                    seen.add(call.callee)
                    queue.append(call.callee)
        return frozenset(seen)

    def after(self, function: str) -> frozenset[str]:
        """Name what callers of a function, and theirs, call on the same or a later line than it: all this runs after it, in one flow."""
        found: set[str] = set()
        level = {function}
        seen = set(level)
        for _ in range(_UP):
            above: set[str] = set()
            for name in sorted(level):
                for call in self.back.get(name, ()):
                    if call.how in {"task", "on_commit"}:
                        continue
                    found.add(call.caller)
                    for other in self.out.get(call.caller, ()):
                        if (
                            other.place.line >= call.place.line
                            and other.callee not in found
                            and other.how not in {"task", "on_commit"}
                        ):
                            found |= self.reach(other.callee, later=False)
                    if call.caller not in seen:
                        above.add(call.caller)
            seen |= above
            level = above
        return frozenset(found)
