"""Clocks that disagree, put right by causation: no effect precedes its cause, so a clock that says so is shifted.

Each pair of a cause and its effect bounds the difference of their hosts' clocks. The least shifts that satisfy all bounds are those
of a longest path (Bellman and Ford), over as many nodes as the flow has clocks. Clocks that contradict no cause stay as they are.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

REFERENCE: Final = ""
"""The clock of all times whose offset is known: it stays, and the others move."""

Reading = tuple[str, datetime]
"""A clock's name, and a time on it."""


def shifts(order: Iterable[tuple[Reading, Reading]]) -> dict[str, timedelta]:
    """Return, for each clock to be shifted, what is to be added to its times.

    Args:
        order: Pairs of an earlier and a later reading, earlier and later by causation. Pairs that no constant shifts can
            satisfy, such as of a clock set during the flow, are satisfied as far as one can.
    """
    bounds: dict[tuple[str, str], timedelta] = {}
    for (cause, cause_at), (effect, effect_at) in order:
        if cause != effect:
            least = cause_at - effect_at
            bounds[cause, effect] = max(least, bounds.get((cause, effect), least))
    found = {clock: timedelta() for pair in bounds for clock in pair}
    for _ in found:
        moved = False
        for (cause, effect), least in bounds.items():
            if found[effect] < found[cause] + least:
                found[effect] = found[cause] + least
                moved = True
        if not moved:
            break
    base = found.get(REFERENCE, timedelta())
    return {clock: shift - base for clock, shift in found.items() if shift != base}
