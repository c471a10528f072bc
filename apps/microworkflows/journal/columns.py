"""Columns of a picture of boxes and arrows: which box stands right of which, and in what order they stand below each other.

The method of Sugiyama, Tagawa and Toda (1981) in its simplest form; :mod:`~microworkflows.journal.layout` gives places to what it orders.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_SWEEPS: Final = 4


def leading_back(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the arrows that close a circle, as a walk from the beginnings finds them."""
    following = _following(arrows)
    led_to = {target for _, target in arrows}
    back: set[tuple[str, str]] = set()
    done: set[str] = set()
    under_way: set[str] = set()
    for start in sorted(names, key=lambda name: (name in led_to, name)):
        stack = [(start, iter(following.get(start, ())))] if start not in done else []
        under_way.update(name for name, _ in stack)
        while stack:
            name, rest = stack[-1]
            target = next(rest, None)
            if target is None:
                stack.pop()
                under_way.discard(name)
                done.add(name)
            elif target in under_way:
                back.add((name, target))
            elif target not in done:
                under_way.add(target)
                stack.append((target, iter(following.get(target, ()))))
    return back


def _following(arrows: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    following: dict[str, list[str]] = {}
    for source, target in arrows:
        following.setdefault(source, []).append(target)
    return following


def columns_of(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each box: the length of the longest way that leads to it."""
    columns = dict.fromkeys(names, 0)
    following, open_causes = _following(arrows), dict.fromkeys(names, 0)
    for _, target in arrows:
        open_causes[target] += 1
    ready = [name for name in names if not open_causes[name]]
    while ready:
        name = ready.pop()
        for target in following.get(name, ()):
            columns[target] = max(columns[target], columns[name] + 1)
            open_causes[target] -= 1
            if not open_causes[target]:
                ready.append(target)
    return columns


Cells = dict[tuple[str, int], list[str]]


def bends(
    lane_of: Mapping[str, str], arrows: Sequence[tuple[str, str]], columns: Mapping[str, int]
) -> tuple[dict[tuple[str, str], list[str]], Cells]:
    """Return each arrow's places, one in each column that it passes, and what stands in each lane and column."""
    cells: Cells = {}
    for name in lane_of:
        cells.setdefault((lane_of[name], columns[name]), []).append(name)
    chains = {}
    for source, target in arrows:
        chain = [source]
        for column in range(columns[source] + 1, columns[target]):
            bend = f"{source} {target} {column}"
            cells.setdefault((lane_of[source], column), []).append(bend)
            chain.append(bend)
        chains[source, target] = [*chain, target]
    return chains, cells


def order(cells: Cells, lanes: Sequence[str], links: Sequence[tuple[str, str]]) -> None:
    """Order the places of each cell by the mean height of their neighbours, sweeping to the right and to the left."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for source, target in links:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    for places in cells.values():
        places.sort()
    columns = sorted({column for _, column in cells})
    for sweep in range(_SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            heights = _heights(cells, lanes)
            for lane in lanes:
                places = cells.get((lane, column), [])
                means = {
                    name: sum(heights[other] for other in neighbours[name]) / len(neighbours[name])
                    if name in neighbours
                    else heights[name]
                    for name in places
                }
                places.sort(key=lambda name: (means[name], name))


def _heights(cells: Cells, lanes: Sequence[str]) -> dict[str, float]:
    rows = {lane: max(len(places) for (name, _), places in cells.items() if name == lane) for lane in lanes}
    heights: dict[str, float] = {}
    top = 0.0
    for lane in lanes:
        for (name, _), places in cells.items():
            if name == lane:
                heights |= {
                    place: top + (number + 0.5) * rows[lane] / len(places)
                    for number, place in enumerate(places)
                }
        top += rows[lane]
    return heights
