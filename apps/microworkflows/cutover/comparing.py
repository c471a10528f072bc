"""Comparison of two runs of one step: their events, their rows, and the tables that were written unobserved."""

import fnmatch
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from math import isfinite
from typing import Any

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, models

from microworkflows import failures, masking, sensitive
from microworkflows.cutover.legacy_steps import LegacyStep
from microworkflows.events import DomainEvent
from microworkflows.models import InboxEvent, OutboxEvent

Difference = dict[str, Any]
"""``what`` differs, with the value in ``legacy`` and in ``shadow``; None for a missing one."""

Row = dict[str, Any]
Rows = dict[tuple[type[models.Model], Any], Row]
"""Rows by model and primary key."""

_WRITE = re.compile(r'\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?"?(\w+)"?', re.IGNORECASE)
_OWN_TABLES = frozenset({OutboxEvent._meta.db_table, InboxEvent._meta.db_table})


@dataclass(frozen=True)
class Observation:
    """The rows that a step may write, at one moment."""

    rows: Rows
    tables: frozenset[str]
    """The tables that were observed, with rows or without."""


@dataclass(frozen=True)
class Seen:
    """The effects of one run."""

    events: dict[str, list[Row]]
    """Payloads by type, in order."""
    changes: dict[str, list[Row]]
    """Fields of rows, by model and kind of change, such as ``payments.Payment created``."""
    unobserved: frozenset[str]
    """Tables that were written and not observed."""


@contextmanager
def written_tables() -> Iterator[set[str]]:
    """Collect the names of the tables that statements in the block write to."""
    tables: set[str] = set()

    def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if (written := _WRITE.match(str(sql))) is not None:
            tables.add(written[1])
        return execute(sql, params, many, context)

    with ExitStack() as wrapped:
        for connection in connections.all(initialized_only=True):
            wrapped.enter_context(connection.execute_wrapper(note))
        yield tables


def observe(legacy: LegacyStep, event: Any) -> Observation:
    """Return the rows that the step's ``observe`` names, as they are now."""
    rows: Rows = {}
    tables = set()
    for queryset in legacy.observe(event) if legacy.observe else ():
        meta = queryset.model._meta
        tables.add(meta.db_table)
        for row in queryset.values(*(field.attname for field in meta.concrete_fields)):
            rows[queryset.model, row[meta.pk.attname]] = row
    return Observation(rows=rows, tables=frozenset(tables))


def seen(
    before: Observation, after: Observation, events: Sequence[DomainEvent], written: Collection[str]
) -> Seen:
    """Return the effects of a run, from the rows before and after it, its events and the tables that it wrote to."""
    payloads: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        payloads[event.event_type].append(sensitive.payload(event))
    new = after.rows.keys() - before.rows.keys()
    changes: dict[str, list[Row]] = defaultdict(list)
    for (model, key), row in after.rows.items():
        if (model, key) in new:
            changes[f"{model._meta.label} created"].append(_fields(model, row, new))
        else:
            old = before.rows[model, key]
            changed = {name: value for name, value in row.items() if old[name] != value}
            if changed:
                changes[f"{model._meta.label} {key} updated"].append(_fields(model, changed, new))
    for model, key in before.rows.keys() - after.rows.keys():
        changes[f"{model._meta.label} {key} deleted"].append({})
    return Seen(
        events=dict(payloads),
        changes=dict(changes),
        unobserved=frozenset(written) - before.tables - after.tables - _OWN_TABLES,
    )


def differences(
    legacy: Seen, shadow: Seen, *, noise: Collection[str], new_tables: Collection[str] = ()
) -> list[Difference]:
    """Return the differences of two runs, except for noise; none if they agree.

    ``new_tables`` are those that the microworkflow alone writes: what it writes there is compared with nothing.
    """
    found: list[Difference] = []
    for event_type in sorted(legacy.events.keys() | shadow.events.keys()):
        found += _compared(
            f"event {event_type}",
            event_type,
            legacy.events.get(event_type),
            shadow.events.get(event_type),
            noise,
            hides=partial(masking.hides, event_type),
        )
    for change in sorted(legacy.changes.keys() | shadow.changes.keys()):
        model = change.partition(" ")[0]
        if _is_noise(model, noise) or (change not in legacy.changes and _table(model) in new_tables):
            continue
        found += _compared(
            f"row {change}", model, legacy.changes.get(change), shadow.changes.get(change), noise
        )
    found += [
        {
            "what": f"table {table} is written and not observed",
            "legacy": table in legacy.unobserved,
            "shadow": table in shadow.unobserved,
        }
        for table in sorted(legacy.unobserved | (shadow.unobserved - set(new_tables)))
        if not _is_noise(_model(table), noise)
    ]
    return found


def _is_noise(name: str, noise: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in noise)


def _table(label: str) -> str:
    return str(apps.get_model(label)._meta.db_table)


def _model(table: str) -> str:
    """Return the label of the model of a table; the table's own name if it has none."""
    models_of = {
        model._meta.db_table: model._meta.label for model in apps.get_models(include_auto_created=True)
    }
    return models_of.get(table, table)


def _compared(
    what: str,
    name: str,
    legacy: list[Row] | None,
    shadow: list[Row] | None,
    noise: Collection[str],
    *,
    hides: Callable[[str], bool] = lambda leaf: False,
) -> Iterator[Difference]:
    """Compare two lists of payloads or rows, each sorted by its values without the noise; hidden values are masked."""

    def shown(row: Row | None) -> Row | None:
        return row and {leaf: sensitive.MASK if hides(leaf) else value for leaf, value in row.items()}

    ours = sorted((_leaves(row, name, noise) for row in legacy or ()), key=_text)
    theirs = sorted((_leaves(row, name, noise) for row in shadow or ()), key=_text)
    for one, other in zip_longest(ours, theirs):
        if one is None or other is None:
            yield {"what": what, "legacy": shown(one), "shadow": shown(other)}
            continue
        for leaf in sorted(one.keys() | other.keys()):
            if one.get(leaf) != other.get(leaf):
                legacy_value, shadow_value = ((shown(row) or {}).get(leaf) for row in (one, other))
                yield {"what": f"{what}: {leaf}", "legacy": legacy_value, "shadow": shadow_value}


def _leaves(row: Row, name: str, noise: Collection[str]) -> Row:
    """Return the values of a payload or row by path, such as ``lines.0.sku``, without the noise, as plain JSON."""
    leaves: Row = {}

    def walk(path: str, value: Any) -> None:
        if _is_noise(f"{name}.{path}", noise):
            return
        if isinstance(value, dict | list) and value:
            entries = value.items() if isinstance(value, dict) else enumerate(value)
            for key, entry in entries:
                walk(f"{path}.{key}", entry)
        else:
            leaves[path] = _plain(value)

    for key, value in json.loads(_text(row)).items():
        walk(key, value)
    return leaves


def _fields(model: type[models.Model], row: Row, new: Collection[tuple[type[models.Model], Any]]) -> Row:
    """Return a row without generated values; a reference to a new row of the same run is a placeholder."""
    fields = {}
    for field in model._meta.concrete_fields:
        if field.attname not in row or _is_generated(field):
            continue
        value, target = row[field.attname], field.related_model
        if isinstance(target, type) and (target, value) in new:
            value = f"<new {target._meta.label}>"
        fields[field.attname] = value
    return fields


def _is_generated(field: "models.Field[Any, Any]") -> bool:
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return True
    return field.primary_key and (isinstance(field, models.AutoField) or callable(field.default))


def error_text(error: Exception) -> str:
    """Return an error as text, without the values that it may hold."""
    return failures.storable(masking.without_input(f"{type(error).__name__}: {error}"))


class _Encoder(DjangoJSONEncoder):
    """Encodes any value that a row may hold, so that it can be compared."""

    def default(self, o: Any) -> Any:
        if isinstance(o, bytes | bytearray | memoryview):
            return bytes(o).hex()
        try:
            return super().default(o)
        except TypeError:
            return str(o)


def _text(row: Row) -> str:
    return json.dumps(row, cls=_Encoder, sort_keys=True)


def _plain(value: Any) -> Any:
    """Return a leaf in a form that jsonb accepts."""
    if isinstance(value, str):
        return failures.storable(value)
    return str(value) if isinstance(value, float) and not isfinite(value) else value
