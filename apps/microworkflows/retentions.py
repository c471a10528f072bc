"""Retentions: the age at which rows that are done are purged, by type: declared, or the default."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from microworkflows import conf, flows, registry
from microworkflows.events import Event

DECLARED, DEFAULT, GIVEN = "declared", "RETENTION_DAYS", "--days"
"""Where an age comes from."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long the rows of one type are kept in one table."""

    table: str
    """``outbox`` or ``inbox``."""
    type: str
    age: timedelta
    by: str
    """Where the age comes from."""
    readers: tuple[str, ...] = ()
    """Labels of the microworkflows whose messages they are; empty in the outbox."""


def default() -> timedelta:
    """Return the age where a type declares none."""
    return timedelta(days=conf.current().retention_days)


def own(declared: Iterable[type[Event]]) -> dict[str, timedelta]:
    """Return the retention of each type that has one of its own; of several classes of one type, the longest counts."""
    found: dict[str, timedelta] = {}
    for each in declared:
        if each.retention is not None:
            found[each.event_type] = max(found.get(each.event_type, each.retention), each.retention)
    return found


def of_types(*, age: timedelta | None = None, types: Collection[str] = ()) -> list[Retention]:
    """Return how long the rows of each type are kept: those of the outbox, then those of the inbox.

    Args:
        age: Age that overrules all of them.
        types: Types; by default all that are declared.
    """
    announced = {each.event_type for each in registry.announcements()}
    read = {each.event_type for each in registry.readings()}
    read |= {each for workflow in registry.workflows() for each in workflow.types}
    unknown = set(types) - announced - read  # their app is gone, and their rows are not
    tables = (
        ("outbox", announced | unknown, own(registry.announcements())),
        ("inbox", read | unknown, own(registry.readings())),
    )
    return [
        _retention(table, each, age, declared)
        for table, known, declared in tables
        for each in sorted(known)
        if not types or each in types
    ]


def of_guests(*, age: timedelta | None = None) -> Mapping[str, timedelta]:
    """Return how long the guests keep rows, by a plural noun."""
    return flows.retentions(default=default() if age is None else age)


def _retention(
    table: str, event_type: str, age: timedelta | None, declared: Mapping[str, timedelta]
) -> Retention:
    readers = registry.listeners(event_type) if table == "inbox" else ()
    if age is not None:
        kept, by = age, GIVEN
    else:
        kept, by = declared.get(event_type, default()), DECLARED if event_type in declared else DEFAULT
    return Retention(
        table=table, type=event_type, age=kept, by=by, readers=tuple(each.label for each in readers)
    )
