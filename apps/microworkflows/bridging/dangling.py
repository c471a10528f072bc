"""Dangling ids: those that name a row that is not there, in the same database or in another."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.apps import apps
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model, QuerySet

_AT_ONCE = 1_000
_SHOWN = 10


@dataclass(frozen=True)
class Dangling:
    """The ids of one field that name no row."""

    ids: int
    """Number of different ids."""
    rows: int
    """Number of rows that have one of them."""
    first: tuple[Any, ...]

    def __str__(self) -> str:
        if not self.ids:
            return "every id names a row"
        more = f" and {self.ids - len(self.first):,} more" if self.ids > len(self.first) else ""
        return f"{self.rows:,} rows name {self.ids:,} ids that are not there: {', '.join(map(str, self.first))}{more}"


@dataclass(frozen=True)
class LooseKey:
    """A field that was a foreign key until a migration loosened it."""

    model: str
    name: str
    """Name of the foreign key."""
    attname: str
    """Name of the plain field."""
    to: str
    field: str
    """Field of the other model whose values the ids are."""

    def __str__(self) -> str:
        return f"{self.model}.{self.attname} → {self.to}"


def find(
    model: type[Model], attname: str, *, to: type[Model], field: str = "pk", using: str | None = None
) -> Dangling:
    """Look up all ids of a field, in batches, in the order of the ids; the other model may be in another database.

    Args:
        model: The model that has the ids.
        attname: The field that holds them.
        to: The model whose rows they name.
        field: Its field that they are values of.
        using: Database of both; by default, each model's own.
    """
    here: QuerySet[Any] = QuerySet(model, using=using)  # whatever its managers hide
    there: QuerySet[Any] = QuerySet(to, using=using)
    ids = here.exclude(**{attname: None}).order_by(attname).values_list(attname, flat=True).distinct()
    number, rows, first = 0, 0, list[Any]()
    for batch in _batches(ids.iterator(chunk_size=_AT_ONCE)):
        known = set(there.filter(**{f"{field}__in": batch}).values_list(field, flat=True))
        if missing := [each for each in batch if each not in known]:
            number += len(missing)
            rows += here.filter(**{f"{attname}__in": missing}).count()
            first += missing[: _SHOWN - len(first)]
    return Dangling(number, rows, tuple(first))


def loosened() -> list[LooseKey]:
    """Return the keys that the project's migrations have loosened, and that their models still have."""
    from microworkflows.bridging.operations import LoosenForeignKey

    loader = MigrationLoader(None)
    found = []
    for node in loader.graph.nodes:
        migration = loader.disk_migrations.get(node)
        for operation in migration.operations if migration else ():
            if isinstance(operation, LoosenForeignKey):
                before = loader.project_state(node, at_end=False)
                model = before.apps.get_model(node[0], operation.model_name)
                key: Any = model._meta.get_field(operation.name)
                found.append(
                    LooseKey(
                        model=model._meta.label,
                        name=operation.name,
                        attname=key.attname,
                        to=operation.to,
                        field=key.target_field.name,
                    )
                )
    return sorted((key for key in found if _is_still_there(key)), key=str)


def of(key: LooseKey) -> Dangling:
    """Look up all ids of a loosened key; raises LookupError if the other model is not installed here."""
    return find(apps.get_model(key.model), key.attname, to=apps.get_model(key.to), field=key.field)


def _is_still_there(key: LooseKey) -> bool:
    try:
        fields = {field.attname for field in apps.get_model(key.model)._meta.concrete_fields}
    except LookupError:
        return False
    return key.attname in fields


def _batches(ids: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(ids, _AT_ONCE)):
        yield batch
