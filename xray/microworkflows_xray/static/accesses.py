"""Which code reads and writes which tables: the result of reading all functions, as facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from microworkflows_xray.facts import Access, Call, Gap, Model
from microworkflows_xray.project import Project

from . import requests
from .engine import Engine
from .loaders import Loaders
from .names import Names
from .registry import Registry
from .sources import Sources


def find(
    project: Project, sources: Sources, models: Iterable[Model] = ()
) -> tuple[list[Access], list[Call], list[Gap]]:
    """Find all accesses and calls in the code.

    Args:
        models: Models that are looked at; an access to another table is kept as well.
    """
    engine = read(project, sources, Registry())
    accesses = _merged(access for found in engine.found.values() for access in found.accesses)
    calls = sorted({call for found in engine.found.values() for call in found.calls})
    return accesses, calls, engine.gaps


def read(project: Project, sources: Sources, registry: Registry) -> Engine:
    """Read all functions, and give what was learnt."""
    names = Names(sources, registry)
    Loaders(names, project.apps, project.loaders)
    engine = Engine(sources, registry, names)
    requests.take_in(engine)
    engine.run()
    return engine


def _merged(accesses: Iterable[Access]) -> list[Access]:
    """Unite what is said twice of one line: its columns and joins; whole rows win over single columns."""
    by_line: dict[tuple[object, ...], Access] = {}
    for access in sorted(set(accesses), key=_order):
        key = (access.place, access.table, access.verb, access.how)
        before = by_line.get(key)
        if before is not None:
            by_line[key] = _united(before, access)
        else:
            by_line[key] = access
    return sorted(by_line.values(), key=_order)


def _united(one: Access, other: Access) -> Access:
    whole = one.columns is None or other.columns is None
    columns = None if whole else tuple(sorted({*(one.columns or ()), *(other.columns or ())}))
    return dataclasses.replace(one, columns=columns, joins=tuple(sorted({*one.joins, *other.joins})))


def _order(access: Access) -> tuple[object, ...]:
    return (access.place, access.table, access.verb, access.how, access.columns or (), access.joins)
