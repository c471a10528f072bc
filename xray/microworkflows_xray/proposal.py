"""Proposed contexts: communities of models, or of apps, that hold together more than they hold to the rest.

A proposal to begin a conversation with, not a decision: it sees relations, queries and transactions, and no one's teams or plans.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import networkx as nx

from microworkflows_xray.evidence import Judged
from microworkflows_xray.facts import WRITES, Model, Observed, Relation, Static

RESOLUTION = 1.6
"""Above 1, communities are smaller than the best modularity would have them: lines of a proposal are joined more easily than found."""
LARGE = 12
"""An app with more models than this, and with more than half of all, is divided by model."""
RELATION = {"inheritance": 8.0, "one to one": 6.0, "many to many": 4.0, "foreign key": 3.0}
"""How strongly a relation holds two models together, before it is shared among all that refer to the same model."""
TOGETHER = 3.0
"""How strongly a function, or a transaction seen, that writes two tables holds them together."""
READ = 0.5
"""How strongly a function that reads one and reads or writes the other does; many do, so functions and transactions count by their logarithm."""


@dataclass(frozen=True)
class Group:
    """A proposed context."""

    name: str
    members: tuple[str, ...]
    """Labels of apps, and of models of apps that are divided."""
    models: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """A division of a project into contexts."""

    groups: tuple[Group, ...]
    modularity: float
    """From 0, no better than chance, to 1, no bonds between groups; above 0.3 there is a structure to be seen."""
    divided: tuple[str, ...]
    """Apps whose models are in several groups."""


def propose(static: Static, judged: tuple[Judged, ...], observed: Observed | None = None) -> Proposal:
    """Return a division of the project's own models; of no groups if it has no models."""
    origins = {app.label: app.origin for app in static.apps}
    models = [model for model in sorted(static.models) if origins.get(model.app, "own") != "installed"]
    large = [
        app
        for app, count in Counter(model.app for model in models).items()
        if count > max(LARGE, len(models) / 2)
    ]
    unit = {model.label: model.label if model.app in large else model.app for model in models}
    units = sorted(set(unit.values()))
    graph = _affinity(units, unit, models=models, static=static, judged=judged, observed=observed)
    parts = _communities(graph)
    named = _named([[units[index] for index in part] for part in parts], unit, models)
    groups = tuple(
        Group(name, tuple(members), tuple(label for label in unit if unit[label] in members))
        for name, members in named
    )
    modularity = nx.community.modularity(graph, parts) if graph.size(weight="weight") else 0.0
    divided = [
        app
        for app in large
        if len({group.name for group in groups for one in group.models if _app(one) == app}) > 1
    ]
    return Proposal(groups, modularity, tuple(sorted(divided)))


def _affinity(
    units: list[str],
    unit: dict[str, str],
    *,
    models: list[Model],
    static: Static,
    judged: tuple[Judged, ...],
    observed: Observed | None,
) -> nx.Graph:
    """Return what holds units together. Its nodes are numbers: names would make the result differ from run to run."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(units)))
    by_table = {model.table: unit[model.label] for model in models}
    number = {name: index for index, name in enumerate(units)}
    weights: dict[tuple[str, str], float] = defaultdict(float)
    used: dict[tuple[str, str], float] = defaultdict(float)
    declared = itertools.chain(_related(static.relations, unit), _through(models, unit))
    running = itertools.chain(_touched(judged, by_table), _committed(observed, by_table))
    for found, sums in ((declared, weights), (running, used)):
        for one, two, weight in found:
            if one != two:
                sums[min(one, two), max(one, two)] += weight
    for pair, weight in used.items():
        weights[pair] += math.log2(1 + weight)
    for (one, two), weight in sorted(weights.items()):
        graph.add_edge(number[one], number[two], weight=weight)
    return graph


def _related(relations: tuple[Relation, ...], unit: dict[str, str]) -> Iterator[tuple[str, str, float]]:
    """Yield relations; one to a model that many refer to says little about who belongs together."""
    popular = Counter(relation.to for relation in relations)
    for relation in relations:
        if relation.model in unit and relation.to in unit and relation.kind in RELATION:
            yield (
                unit[relation.model],
                unit[relation.to],
                RELATION[relation.kind] / math.log2(1 + popular[relation.to]),
            )


def _touched(judged: tuple[Judged, ...], by_table: dict[str, str]) -> Iterator[tuple[str, str, float]]:
    """Yield tables that one function touches; a function that touches many says little about each pair."""
    written: dict[tuple[str, str], set[str]] = defaultdict(set)
    read: dict[tuple[str, str], set[str]] = defaultdict(set)
    for access in (each.access for each in judged):
        place = access.place
        target = written if access.verb in WRITES else read
        tables = (access.table, *access.joins)
        target[place.file, place.function].update(by_table[table] for table in tables if table in by_table)
    for key in sorted(written.keys() | read.keys()):
        units = sorted(written[key] | read[key])
        for one, two in itertools.combinations(units, 2):
            both = {one, two} <= written[key]
            yield one, two, (TOGETHER if both else READ) / (len(units) - 1)


def _committed(observed: Observed | None, by_table: dict[str, str]) -> Iterator[tuple[str, str, float]]:
    """Yield tables that a transaction seen wrote together."""
    for seen in observed.transactions if observed else ():
        if seen.kind == "test":
            continue
        tables = {access.table for access in seen.accesses if access.verb in WRITES}
        units = sorted({by_table[table] for table in tables if table in by_table})
        for one, two in itertools.combinations(units, 2):
            yield one, two, TOGETHER / (len(units) - 1)


def _through(models: list[Model], unit: dict[str, str]) -> Iterator[tuple[str, str, float]]:
    """Yield tables that carry another's name and more, as those of many-to-many fields do."""
    labels = {model.label for model in models}
    for model in models:
        owner = model.label.rpartition("_")[0]
        while owner and owner not in labels:
            owner = owner.rpartition("_")[0]
        if owner:
            yield unit[model.label], unit[owner], RELATION["many to many"]


def _communities(graph: nx.Graph) -> list[list[int]]:
    if not graph.size(weight="weight"):
        return [[node] for node in graph]
    found = nx.community.louvain_communities(graph, weight="weight", resolution=RESOLUTION, seed=0)
    return sorted((sorted(part) for part in found), key=lambda part: (-len(part), part))


def _named(
    parts: list[list[str]], unit: dict[str, str], models: list[Model]
) -> Iterable[tuple[str, list[str]]]:
    """Name each group by the app, or the first word of its models' names, that most of its models bear."""
    taken: set[str] = set()
    result = []
    for members in parts:
        inside = set(members)
        words = Counter(_word(model, unit) for model in models if unit[model.label] in inside)
        ranked = sorted(words, key=lambda word: (-words[word], word))
        name = next((word for word in ranked if word not in taken), f"group{len(taken) + 1}")
        taken.add(name)
        result.append((name, sorted(members)))
    return sorted(result)


def _word(model: Model, unit: dict[str, str]) -> str:
    if unit[model.label] == model.app:
        return model.app
    name = model.label.partition(".")[2]
    words: list[str] = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|\w", name)
    return words[0].lower()


def _app(label: str) -> str:
    return label.partition(".")[0]
