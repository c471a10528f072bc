"""Comparing two sides of the same data, in one database or two: rows by key, values by name, in batches."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from microworkflows.errors import MicroworkflowsError

_AT_ONCE = 1_000
_LOOKED_AT_AGAIN = 10_000
"""Most keys that are looked at again."""
_SHOWN = 5


class IncomparableError(MicroworkflowsError):
    """Two sides cannot be compared as they are given."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two querysets of ``values()`` that should say the same, with the same names on both sides.

    ::

        Comparison(
            left=Order.objects.exclude(state="draft").values("currency", order_id=F("pk"), amount=F("total")),
            right=Payment.objects.using("payments").values("currency", "order_id", "amount"),
            key="order_id",
        )
    """

    left: "QuerySet[Any, Any]"
    right: "QuerySet[Any, Any]"
    key: str
    """Name of the value by which rows of the two belong together."""

    @property
    def names(self) -> tuple[str, str]:
        """What the two sides are called."""
        left, right = (f"{side.model._meta.label} in {side.db}" for side in (self.left, self.right))
        return (left, right) if left != right else (f"left ({left})", f"right ({right})")


@dataclass(frozen=True)
class Difference:
    """What differs for one key."""

    key: str
    what: str
    """Name of the value, or which side alone has the key, or has it twice."""
    left: Any = None
    right: Any = None
    is_of_values: bool = False
    """True if both sides have the key, and a value differs."""


@dataclass
class Findings:
    """What a comparison found."""

    compared: int = 0
    """Number of keys on the left side, and on the right alone."""
    counts: Counter[str] = field(default_factory=Counter)
    """Number of differences, by what differs."""
    examples: dict[str, list[Difference]] = field(default_factory=dict)
    """The first of each."""
    keys: set[Any] = field(default_factory=set)
    """The keys that differ, as the database gave them; not all if they are very many."""
    is_settled: bool = False
    """True if what differed was looked at again."""

    def add(self, key: Any, differences: Iterable[Difference]) -> None:
        """Take in what differs for a key."""
        for each in differences:
            self.counts[each.what] += 1
            examples = self.examples.setdefault(each.what, [])
            if len(examples) < _SHOWN:
                examples.append(each)
            if len(self.keys) <= _LOOKED_AT_AGAIN:
                self.keys.add(key)


def compare(
    comparison: Comparison, *, settle: float = 0, sleep: Callable[[float], None] = time.sleep
) -> Findings:
    """Compare the two sides; both may change meanwhile.

    Args:
        comparison: The two sides.
        settle: Seconds after which the keys that differ are looked at again, so that what was under way does not count. With 0, they
            are not. Very many are not either.
        sleep: Waits so many seconds.

    Raises:
        IncomparableError: a side is no queryset of values, or has other names.
    """
    found = Findings()
    for batch in _batches(comparison.left, comparison.key):
        _compare(comparison, batch, found)
    for batch in _batches(comparison.right, comparison.key):
        here = {
            _text(row[comparison.key])
            for row in _of(comparison.left, comparison.key, _keys(comparison, batch))
        }
        for key, rows in _grouped(comparison, batch).items():
            if key not in here:
                found.compared += 1
                found.add(rows[0][comparison.key], [Difference(key, f"only {comparison.names[1]}")])
    if settle and found.counts and len(found.keys) <= _LOOKED_AT_AGAIN:
        sleep(settle)
        return _again(comparison, found)
    return found


def _again(comparison: Comparison, before: Findings) -> Findings:
    """Return what of the differences is left."""
    found, keys = Findings(is_settled=True), iter(before.keys)
    while some := list(islice(keys, _AT_ONCE)):
        left = list(_of(comparison.left, comparison.key, some))
        _compare(comparison, left, found, keys=some)
    found.compared = before.compared
    return found


def _compare(
    comparison: Comparison, batch: Sequence[dict[str, Any]], found: Findings, *, keys: Sequence[Any] = ()
) -> None:
    """Compare rows of the left side with those of the right; with ``keys``, these keys also where the left has none."""
    lefts = _grouped(comparison, batch)
    wanted = keys or _keys(comparison, batch)
    rights = _grouped(comparison, list(_of(comparison.right, comparison.key, wanted)))
    for value in wanted:
        key = _text(value)
        found.compared += 1
        found.add(value, _differences(comparison, key, lefts.get(key, []), rights.get(key, [])))


def _differences(
    comparison: Comparison, key: str, lefts: Sequence[dict[str, Any]], rights: Sequence[dict[str, Any]]
) -> Iterator[Difference]:
    left, right = comparison.names
    for rows, name in ((lefts, left), (rights, right)):
        if len(rows) > 1:
            yield Difference(key, f"more than once in {name}")
    if len(lefts) > 1 or len(rights) > 1:
        return
    if not lefts or not rights:
        if lefts or rights:  # none, if both are gone meanwhile
            yield Difference(key, f"only {left if lefts else right}")
        return
    if lefts[0].keys() != rights[0].keys():
        raise IncomparableError(
            f"{left} has the values {', '.join(sorted(lefts[0]))}, and {right} has {', '.join(sorted(rights[0]))}. Give both the same "
            "names: values(amount=F('total'))."
        )
    for name, value in lefts[0].items():
        if name != comparison.key and not _same(value, rights[0][name]):
            yield Difference(key, name, value, rights[0][name], is_of_values=True)


def _same(left: Any, right: Any) -> bool:
    """Return True for values that are equal, or of two types and read the same, such as a UUID and its text."""
    return bool(left == right) or (
        left is not None and right is not None and type(left) is not type(right) and str(left) == str(right)
    )


def _batches(side: "QuerySet[Any, Any]", key: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a side in batches, those of one key in one batch."""
    if not isinstance(side, QuerySet):
        raise IncomparableError(f"A side is {type(side).__name__}; it must be a queryset of values().")
    rows = side.order_by(key).iterator(chunk_size=_AT_ONCE)
    batch: list[dict[str, Any]] = []
    for row in rows:
        if not isinstance(row, dict) or key not in row:
            raise IncomparableError(
                f"{side.model._meta.label} gives {type(row).__name__} without a value {key!r}. Let both sides be querysets of values() "
                f"that name it: values({key}=F('pk'))."
            )
        if row[key] is None:
            raise IncomparableError(
                f"{side.model._meta.label} has rows whose {key} is empty. Leave them out of the queryset."
            )
        if len(batch) >= _AT_ONCE and row[key] != batch[-1][key]:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _of(side: "QuerySet[Any, Any]", key: str, keys: Sequence[Any]) -> Iterable[dict[str, Any]]:
    try:
        return side.order_by().filter(**{f"{key}__in": keys})
    except (TypeError, ValueError, ValidationError) as error:
        raise IncomparableError(
            f"{side.model._meta.label} has no {key} like those of the other side: {error}"
        ) from error


def _keys(comparison: Comparison, batch: Sequence[dict[str, Any]]) -> list[Any]:
    return list(dict.fromkeys(row[comparison.key] for row in batch))


def _grouped(comparison: Comparison, rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(_text(row[comparison.key]), []).append(row)
    return grouped


def _text(key: Any) -> str:
    return str(key)
