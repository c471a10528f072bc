"""Compares two JSON Schemas: is everything that one promises acceptable to the other?

It reads what pydantic writes: types, limits, enumerations, formats, unions, nested and recursive models, lists, tuples, dictionaries.
Whatever else a schema holds, it cannot tell; that is a difference, too, which says so. *Wanted* schemas are read as the kit reads
events: unknown fields are passed over, however a model is declared.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from microworkflows.comparison import options, texts
from microworkflows.comparison.numbers import Numbers
from microworkflows.comparison.options import REMOVED, Option, Schema, accepts, values


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A part of two schemas that does not fit."""

    path: str
    """Way to it, such as ``lines[].quantity``; empty for the whole."""
    wanted: str
    """Form that is asked for, in words."""
    promised: str
    """Form that may come, in words."""
    is_certain: bool = True
    """False if nobody can tell: something here lies outside what is compared."""

    def below(self, step: str) -> "Difference":
        """Return it as seen from one level further up."""
        return replace(self, path=f"{step}{self.path}")


def differences(*, wanted: Schema, promised: Schema) -> list[Difference]:
    """Return all that the promised schema allows and the wanted one refuses; none if each promised value is welcome."""
    found = _Comparison(wanted, promised).of_values(wanted, promised)
    return [replace(each, path=each.path.removeprefix(".")) for each in found]


class _Comparison:
    def __init__(self, wanted: Schema, promised: Schema) -> None:
        self._wants = options.Reader(wanted)
        self._promises = options.Reader(promised)
        self._known: dict[tuple[int, int], list[Difference]] = {}
        self._open: set[tuple[int, int]] = set()

    def of_values(self, wanted: Schema | bool, promised: Schema | bool) -> list[Difference]:
        """Compare two schemas of any kind: each promised alternative must fit the wanted ones."""
        if wanted == promised and not _refers(wanted):
            return []  # whatever it means
        wants, promises = self._wants.options(wanted), self._promises.options(promised)
        if self._are_anything(promises) and not self._are_anything(wants):
            return [
                self._misfit(wants, {"type": "anything"}, is_certain=not any(map(options.unknown, wants)))
            ]
        found: dict[Difference, None] = {}
        for promise in promises:
            found.update(dict.fromkeys(self._of_option(wants, promise)))
        return list(found)

    def _are_anything(self, alternatives: list[Option]) -> bool:
        return {each["type"] for each in alternatives if not options.limits(each)} >= options.KINDS

    def _of_option(self, wants: list[Option], promise: Option) -> list[Difference]:
        if (finite := values(promise)) is not None:
            return self._of_finite(wants, promise, finite)
        candidates = [want for want in wants if self._may_overlap(want, promise)]
        if not candidates:
            alike = [
                self._inside(want, promise) for want in wants if want["type"] == promise["type"] == "object"
            ]
            return min(alike, key=len) if alike else [self._misfit(wants, promise)]
        compared = [self._inside(want, promise) for want in candidates]
        if not all(compared):
            return []
        if len(compared) == 1:
            return compared[0]
        if parts := self._apart(candidates, promise):
            return [difference for part in parts for difference in self._of_option(wants, part)]
        return [replace(each, is_certain=False) for each in min(compared, key=len)]

    def _of_finite(self, wants: list[Option], promise: Option, finite: list[Any]) -> list[Difference]:
        verdicts = [{accepts(want, value) for want in wants} for value in finite]
        if all(True in each for each in verdicts):
            return []
        return [self._misfit(wants, promise, is_certain=any(each <= {False} for each in verdicts))]

    def _misfit(self, wants: list[Option], promise: Option, *, is_certain: bool = True) -> Difference:
        return Difference(
            path="",
            wanted=options.described(wants),
            promised=options.described([promise]),
            is_certain=is_certain and not options.unknown(promise),
        )

    def _may_overlap(self, want: Option, promise: Option) -> bool:
        kinds = {want["type"], promise["type"]}
        if len(kinds) > 1 and kinds != {"integer", "number"}:
            return False
        return promise["type"] != "object" or not any(True for _ in self._exclusions(want, promise))

    def _exclusions(self, want: Option, promise: Option) -> Iterator[str]:
        """Yield the fields that both demand and by which no object is both: those that tell members of a union apart."""
        for name in set(want.get("required", ())).intersection(promise.get("required", ())):
            wanted, promised = self._tags(self._wants, want, name), self._tags(self._promises, promise, name)
            if wanted and promised and not any(options.among(each, wanted) for each in promised):
                yield name

    def _tags(self, reader: options.Reader, option: Option, name: str) -> list[Any]:
        """Return the values that a field may have, if they are listed."""
        listed = [values(each) for each in reader.options(option.get("properties", {}).get(name, True))]
        return [] if None in listed else [each for some in listed for each in some or ()]

    def _apart(self, candidates: list[Option], promise: Option) -> list[Option]:
        """Return a promised object as one for each value of a field that tells the candidates apart; none if none does."""
        for name, field in promise.get("properties", {}).items():
            tags = self._tags(self._promises, promise, name) if name in promise.get("required", ()) else []
            if len(tags) > 1 and all(self._tags(self._wants, want, name) for want in candidates):
                parts = ({**promise["properties"], name: {**field, "const": tag}} for tag in tags)
                return [self._promises.kept({**promise, "properties": part}) for part in parts]
        return []

    def _inside(self, want: Option, promise: Option) -> list[Difference]:
        pair = id(want), id(promise)
        if pair in self._open:
            return []  # a schema inside itself fits unless its other parts show otherwise
        if pair not in self._known:
            self._open.add(pair)
            found = list(self._of_kind(want, promise))
            if options.unknown(promise):  # it may allow less than is seen here
                found = [replace(each, is_certain=False) for each in found]
            self._open.remove(pair)
            if found:  # what was believed to fit because this would is not known
                self._known = {each: known for each, known in self._known.items() if known}
            self._known[pair] = found
        return self._known[pair]

    def _of_kind(self, want: Option, promise: Option) -> Iterator[Difference]:
        for name in options.unknown(want):
            if want[name] != promise.get(name):
                yield self._of_limit(want, promise, is_certain=False)
                return
        finite = values(want)
        if finite is not None:
            yield self._of_limit(want, promise)
        elif want["type"] == "object":
            yield from self._of_objects(want, promise)
        elif want["type"] == "array":
            yield from self._of_arrays(want, promise)
        elif want["type"] == "string":
            if (verdict := texts.fits(want, promise)) is not True:
                yield self._of_limit(want, promise, is_certain=verdict is False)
        elif not Numbers.of(promise).are_among(Numbers.of(want)):
            yield self._of_limit(want, promise)

    def _of_limit(self, want: Option, promise: Option, *, is_certain: bool = True) -> Difference:
        wanted, promised = options.described([want]), options.described([promise])
        return Difference(path="", wanted=wanted, promised=promised, is_certain=is_certain)

    def _of_arrays(self, want: Option, promise: Option) -> Iterator[Difference]:
        longest, firsts = (
            promise.get("maxItems", inf),
            [each.get("prefixItems", []) for each in (want, promise)],
        )
        if want.get("minItems", 0) > promise.get("minItems", 0) or want.get("maxItems", inf) < longest:
            yield self._of_limit(want, promise, is_certain=not promise.get("uniqueItems"))
        if want.get("uniqueItems") and not promise.get("uniqueItems") and longest > 1:
            yield self._of_limit(want, promise, is_certain=not firsts[1])
        listed = max(map(len, firsts))
        for place in range(listed + 1):
            if place < longest:
                step = f"[{place}]" if place < listed else "[]"
                wanted, promised = (options.item(each, place) for each in (want, promise))
                yield from (each.below(step) for each in self.of_values(wanted, promised))

    def _of_objects(self, want: Option, promise: Option) -> Iterator[Difference]:
        yield from self._of_fields(want, promise)
        yield from self._of_other_fields(want, promise)
        least = max(promise.get("minProperties", 0), len(promise.get("required", ())))
        most = promise.get("maxProperties", inf)
        if promise.get("additionalProperties") is False:
            most = min(most, len(_fields(promise)))
        if want.get("minProperties", 0) > least or want.get("maxProperties", inf) < most:
            yield self._of_limit(want, promise)

    def _of_fields(self, want: Option, promise: Option) -> Iterator[Difference]:
        for name, field in _fields(want).items():
            promised = self._field(promise, name)
            if name in want.get("required", ()) and name not in promise.get("required", ()):
                lacks = "not announced" if promised is False else "may be left out"
                yield Difference(path=f".{name}", wanted="required", promised=lacks)
            if promised is not False:
                yield from (each.below(f".{name}") for each in self.of_values(field, promised))

    def _field(self, promise: Option, name: str) -> Schema | bool:
        """Return the schema of a promised field; False if there is none of this name."""
        if name in (fields := _fields(promise)):
            return fields[name]
        names = self._promises.options(options.names(promise))
        if all(accepts(each, name) is False for each in names):
            return False
        others: Schema | bool = promise.get("additionalProperties", True)
        return others

    def _of_other_fields(self, want: Option, promise: Option) -> Iterator[Difference]:
        """Compare the fields that the wanted object does not name: those of a dictionary."""
        patterns = want.get("patternProperties", {})
        if patterns.keys() != promise.get("patternProperties", {}).keys():
            yield self._of_limit(want, promise, is_certain=False)
            return
        for pattern, field in patterns.items():
            promised = promise["patternProperties"][pattern]
            yield from (each.below(f"{{{pattern}}}") for each in self.of_values(field, promised))
        wanted = want.get("additionalProperties", True)
        wanted = True if wanted is False else wanted
        unnamed = {name: field for name, field in _fields(promise).items() if name not in _fields(want)}
        for name, field in unnamed.items():
            yield from (each.below(f".{name}") for each in self.of_values(wanted, field))
        yield from self._of_names(want, unnamed)
        others = promise.get("additionalProperties", True)
        if others is not False:
            yield from (each.below("{}") for each in self.of_values(wanted, others))
            if "propertyNames" in want:
                named = self.of_values(options.names(want), options.names(promise))
                yield from (each.below("{name}") for each in named)

    def _of_names(self, want: Option, names: Iterable[str]) -> Iterator[Difference]:
        for name in names if "propertyNames" in want else ():
            wants = self._wants.options(options.names(want))
            verdicts = {accepts(each, name) for each in wants}
            if True not in verdicts:
                wanted = options.described(wants)
                yield Difference(
                    path=f".{name}",
                    wanted=f"a name that is {wanted}",
                    promised=name,
                    is_certain=verdicts <= {False},
                )


def _fields(option: Option) -> Mapping[str, Schema | bool]:
    """Return the schemas of an object's fields by name, with those that were removed and that older events may hold."""
    removed: Mapping[str, Schema] = option.get(REMOVED, {})
    return {**removed, **option.get("properties", {})} if removed else option.get("properties", {})


def _refers(schema: Any) -> bool:
    """Return whether a schema refers to another, which may have changed."""
    if isinstance(schema, list):
        return any(map(_refers, schema))
    return isinstance(schema, dict) and ("$ref" in schema or any(map(_refers, schema.values())))
