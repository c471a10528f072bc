"""Verdicts on schemas equal those of an oracle that knows nothing of the comparison: it looks for a value that one schema takes and the other refuses.

The oracle is jsonschema's validator, with the values at and beside each limit that either schema names.
"""

import copy
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import jsonschema
import pytest
from jsonschema.validators import extend

from microworkflows.comparison import differences

Schema = dict[str, Any]

SEED = 20_261


# The oracle


def _decimal(
    validator: Any, limits: dict[str, str], value: Any, schema: Schema
) -> Iterator[jsonschema.ValidationError]:
    try:
        number = Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        return
    digits, places = number.as_tuple().digits, -int(number.as_tuple().exponent)
    whole = max(len(digits) - places, 1 if number else 0) if number else 0
    allowed: dict[str, Callable[[str], bool]] = {
        "ge": lambda limit: number >= Decimal(limit),
        "gt": lambda limit: number > Decimal(limit),
        "le": lambda limit: number <= Decimal(limit),
        "lt": lambda limit: number < Decimal(limit),
        "decimal_places": lambda limit: places <= int(limit),
        "max_digits": lambda limit: (
            max(len(digits), places) <= int(limit)
            and ("decimal_places" not in limits or whole <= int(limit) - int(limits["decimal_places"]))
        ),
    }
    for name, limit in limits.items():
        if not allowed[name](limit):
            yield jsonschema.ValidationError(f"{name} {limit}")


FORMATS = jsonschema.FormatChecker(formats=("uuid", "date"))


def _is_decimal(value: object) -> bool:
    return not isinstance(value, str) or Decimal(value).is_finite()


def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or ("T" in value and bool(datetime.fromisoformat(value)))


FORMATS.checks("decimal", raises=InvalidOperation)(_is_decimal)
FORMATS.checks("date-time", raises=ValueError)(_is_date_time)
Validator = extend(jsonschema.Draft202012Validator, {"x-decimal": _decimal})


def _tolerant(schema: Any) -> Any:
    """Return a schema as its reader applies it: unknown fields are passed over."""
    if isinstance(schema, list):
        return [_tolerant(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _tolerant(part)
        for name, part in schema.items()
        if not (name == "additionalProperties" and part is False)
    }


def refused(*, wanted: Schema, promised: Schema) -> Any:
    """Return a value that the promised schema takes and the wanted one refuses, in a list; an empty list if none is found."""
    writer = Validator(promised, format_checker=FORMATS)
    reader = Validator(_tolerant(wanted), format_checker=FORMATS)
    for value in _Values(promised, wanted).of(promised, 0):
        if not reader.is_valid(value) and writer.is_valid(value):
            return [value]
    return []


class _Values:
    """Values at and beside all limits that two schemas name."""

    def __init__(self, *schemas: Schema) -> None:
        self._root = schemas[0]
        parts = [part for schema in schemas for part in _parts(schema)]
        numbers = {0.0}
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
            numbers |= {float(part[name]) for part in parts if name in part}
        self._numbers = sorted({n + d for n in numbers for d in (-1, -0.5, 0, 0.5, 1)} | {-1e4, 1e4})
        lengths = {part[name] for part in parts for name in ("minLength", "maxLength") if name in part}
        self._lengths = sorted({max(n + d, 0) for n in lengths | {3} for d in (-1, 0, 1)})
        items = {part[name] for part in parts for name in ("minItems", "maxItems") if name in part}
        self._sizes = sorted({max(n + d, 0) for n in items | {1} for d in (-1, 0, 1)})
        self._listed = [
            each
            for part in parts
            for each in [*part.get("enum", []), *([part["const"]] if "const" in part else [])]
        ]
        limits = {Decimal(v) for part in parts for k, v in part.get("x-decimal", {}).items() if len(k) == 2}
        digits = {int(v) for part in parts for k, v in part.get("x-decimal", {}).items() if len(k) > 2}
        near = {n + d for n in limits | {Decimal(5)} for d in map(Decimal, ("-1", "-0.01", "0", "0.01", "1"))}
        near |= {Decimal(10) ** (n + d) - 1 for n in digits for d in (-3, -2, -1, 0, 1) if n + d > 0}
        near |= {Decimal(1).scaleb(-(n + d)) for n in digits for d in (0, 1)}
        near |= {
            Decimal("9" * max(n - m + d, 1) + "." + "9" * m)
            for n in digits
            for m in digits
            for d in (-1, 0, 1)
            if m and n >= m
        }
        self._decimals = [format(each, "f") for each in near]

    def of(self, schema: Any, depth: int) -> list[Any]:
        if schema is True:
            return ["x", 1, None, [], {}]
        if schema is False or depth > 9:
            return []
        if "$ref" in schema:
            name = schema["$ref"].split("/")[-1]
            return self.of(self._root["$defs"][name], depth + (4 if name == "Tree" else 0))
        for union in ("anyOf", "oneOf"):
            if union in schema:
                return [value for each in schema[union] for value in self.of(each, depth)]
        if "const" in schema:
            return [schema["const"]]
        if "enum" in schema:
            return list(schema["enum"])
        if "type" not in schema:
            return ["x", 1, None, [], {}]
        kind: Callable[[Schema, int], list[Any]] = getattr(self, f"_{schema['type']}")
        return kind(schema, depth)

    def _null(self, schema: Schema, depth: int) -> list[Any]:
        return [None]

    def _boolean(self, schema: Schema, depth: int) -> list[Any]:
        return [True, False]

    def _integer(self, schema: Schema, depth: int) -> list[Any]:
        step = schema.get("multipleOf", 1)
        some = [int(n) for n in self._numbers] + [step * n for n in (-1, 0, 1, 2, 3, 7)]
        return sorted(set(some) | {each for each in self._listed if type(each) is int})

    def _number(self, schema: Schema, depth: int) -> list[Any]:
        return self._numbers

    def _string(self, schema: Schema, depth: int) -> list[Any]:
        forms = {
            "uuid": ["01936b9e-7c40-7d33-9a51-0f3f0f6d8e21"],
            "date": ["2026-01-31"],
            "date-time": ["2026-01-31T11:00:00+00:00"],
            "decimal": self._decimals,
        }
        plain = ["a" * length for length in self._lengths] + ["a", "0", ""]
        return forms.get(
            schema.get("format", ""), plain + [each for each in self._listed if isinstance(each, str)]
        )

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        if "prefixItems" in schema:
            columns = [self._valid(each, depth) for each in schema["prefixItems"]]
            first = [column[0] for column in columns if column]
            varied = [
                [*first[:at], value, *first[at + 1 :]]
                for at, column in enumerate(columns)
                for value in column
            ]
            varied += [
                [*first, *more][: len(first) + length]
                for length in (-1, 1, 2)
                for more in (["x", "x"], [1, 1])
            ]
            return [first, *varied]
        valid = self._valid(schema.get("items", True), depth)
        lists = [[]] + [[each] for each in valid]
        for size in self._sizes:
            lists += [(valid * size)[:size], *([each] * size for each in valid[:2])]
        return lists

    def _object(self, schema: Schema, depth: int) -> list[Any]:
        valid = {name: self._valid(field, depth) for name, field in schema.get("properties", {}).items()}
        whole = {name: some[0] for name, some in valid.items() if some}
        least = {name: value for name, value in whole.items() if name in schema.get("required", ())}
        # Fields that tell members of a union apart, each with each.
        tags = {name: some for name, some in valid.items() if 1 < len(some) <= 3}
        chosen = itertools.islice(itertools.product(*tags.values()), 16)
        wholes = [{**whole, **dict(zip(tags, each, strict=True))} for each in chosen]
        objects = [least, {}, *wholes]
        objects += [
            {**each, name: value} for each in wholes for name, some in valid.items() for value in some
        ]
        objects += [{k: v for k, v in each.items() if k != name} for each in wholes for name in each]
        if (others := schema.get("additionalProperties", True)) is not False:
            objects += [
                {**least, name: value}
                for name in ("a", "b", "x", "zz")
                for value in self._valid(others, depth)
            ]
        return objects

    def _valid(self, schema: Any, depth: int) -> list[Any]:
        rooted = {**schema, "$defs": self._root.get("$defs", {})} if isinstance(schema, dict) else schema
        validator = Validator(rooted, format_checker=FORMATS)
        return [each for each in self.of(schema, depth + 1) if validator.is_valid(each)]


def _parts(schema: Any) -> Iterator[Schema]:
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from _parts(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _parts(part)


# Schemas, as pydantic writes them, and what years do to them


def _scalar(rng: random.Random) -> Schema:
    choices: list[Callable[[], Schema]] = [
        lambda: {"type": "string"},
        lambda: {"type": "string", "minLength": rng.randint(1, 4)},
        lambda: {"type": "string", "maxLength": rng.randint(4, 9)},
        lambda: {"type": "string", "format": rng.choice(["uuid", "date", "date-time"])},
        lambda: {"type": "integer"},
        lambda: {"type": "integer", "minimum": rng.randint(-3, 3), "maximum": rng.randint(4, 900)},
        lambda: {"type": "integer", "exclusiveMinimum": rng.randint(0, 3)},
        lambda: {"type": "integer", "multipleOf": rng.choice([2, 5, 10])},
        lambda: {"type": "number"},
        lambda: {"type": "number", "exclusiveMinimum": 0, "maximum": rng.choice([10, 99.5])},
        lambda: {"type": "boolean"},
        lambda: {"type": "string", "enum": rng.sample(["a", "b", "c", "d"], rng.randint(1, 3))},
        lambda: {"enum": ["a", 1, True][: rng.randint(2, 3)]},
        lambda: {"type": "string", "const": rng.choice("ab")},
        lambda: {"type": "string", "format": "decimal"},
        lambda: {
            "type": "string",
            "format": "decimal",
            "x-decimal": {"gt": "0", "max_digits": str(rng.randint(5, 8)), "decimal_places": "2"},
        },
        lambda: {
            "type": "string",
            "format": "decimal",
            "x-decimal": {"ge": "0", "le": str(rng.randint(5, 200))},
        },
        lambda: {
            "type": "string",
            "format": "decimal",
            "x-decimal": {"decimal_places": str(rng.randint(1, 4))},
        },
    ]
    return rng.choice(choices)()


def _value(rng: random.Random, depth: int) -> Schema:
    roll = rng.random()
    if depth > 1 or roll < 0.4:
        return _scalar(rng)
    if roll < 0.5:
        return {"anyOf": [_value(rng, depth + 1), {"type": "null"}]}
    if roll < 0.58:
        return {
            "type": "array",
            "items": _value(rng, depth + 1),
            **rng.choice([{}, {"minItems": 1}, {"maxItems": 3}]),
        }
    if roll < 0.62:
        return {"type": "array", "prefixItems": [_scalar(rng), _scalar(rng)], "minItems": 2, "maxItems": 2}
    if roll < 0.68:
        return {"type": "object", "additionalProperties": _value(rng, depth + 1)}
    if roll < 0.76:
        return {"$ref": f"#/$defs/{rng.choice(['Line', 'Tree'])}"}
    if roll < 0.94:
        members = [_tagged(rng, tag) for tag in ("card", "voucher")]
        return {"oneOf": members, "discriminator": {"propertyName": "kind"}}
    return _object(rng, depth + 1)


def _tagged(rng: random.Random, tag: str) -> Schema:
    made = _object(rng, 3)
    made["properties"]["kind"] = {"type": "string", "const": tag}
    made["required"] = sorted({*made["required"], "kind"})
    return made


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(["a", "b", "c"], rng.randint(1, 2))
    return {
        "type": "object",
        "properties": {name: _value(rng, depth) for name in names},
        "required": sorted(name for name in names if rng.random() < 0.6),
        "additionalProperties": False,
    }


def generated(rng: random.Random) -> Schema:
    tree = {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}
    models = {
        "Line": _object(rng, 2),
        "Tree": {
            "type": "object",
            "properties": {"name": _scalar(rng), "inner": tree},
            "required": ["inner", "name"],
            "additionalProperties": False,
        },
    }
    made = _object(rng, 0)
    return {**made, "$defs": {name: model for name, model in models.items() if f"/{name}'" in str(made)}}


def _places(schema: Any, holds: Callable[[Schema], bool]) -> list[Schema]:
    return [part for part in _parts(schema) if holds(part)]


Mutation = Callable[[Schema, random.Random], bool]


def _objects(schema: Schema) -> list[Schema]:
    return _places(
        schema,
        lambda part: (
            "properties" in part and isinstance(part["properties"], dict) and part.get("type") == "object"
        ),
    )


def _change_field(schema: Schema, rng: random.Random, change: Callable[[Schema, str], None]) -> bool:
    fields = [(each, name) for each in _objects(schema) for name in each["properties"] if name != "kind"]
    if not fields:
        return False
    change(*rng.choice(fields))
    return True


def add_field(schema: Schema, rng: random.Random) -> bool:
    where = rng.choice(_objects(schema))
    where["properties"]["zz"] = _scalar(rng)
    if rng.random() < 0.5:
        where["required"] = sorted([*where["required"], "zz"])
    return True


def remove_field(schema: Schema, rng: random.Random) -> bool:
    def change(where: Schema, name: str) -> None:
        del where["properties"][name]
        where["required"] = [each for each in where["required"] if each != name]

    return _change_field(schema, rng, change)


def require_or_release(schema: Schema, rng: random.Random) -> bool:
    return _change_field(
        schema, rng, lambda where, name: where.update(required=sorted({name} ^ set(where["required"])))
    )


def another_type(schema: Schema, rng: random.Random) -> bool:
    return _change_field(schema, rng, lambda where, name: where["properties"].update({name: _value(rng, 2)}))


def nullable(schema: Schema, rng: random.Random) -> bool:
    def change(where: Schema, name: str) -> None:
        field = where["properties"][name]
        bare = [each for each in field.get("anyOf", []) if each != {"type": "null"}]
        where["properties"][name] = bare[0] if bare else {"anyOf": [field, {"type": "null"}]}

    return _change_field(schema, rng, change)


def _limit(*names: str) -> Mutation:
    def move(schema: Schema, rng: random.Random) -> bool:
        if not (
            parts := _places(
                schema, lambda part: any(isinstance(part.get(name), int | float) for name in names)
            )
        ):
            return False
        part = rng.choice(parts)
        name = rng.choice([name for name in names if name in part])
        if rng.random() < 0.3:
            del part[name]
        elif name == "multipleOf":
            part[name] *= rng.choice([2, 3, 1.5])
            part[name] = int(part[name])
        else:
            part[name] = max(part[name] + rng.choice([-2, -1, 1, 2]), int(name == "multipleOf"))
        return True

    return move


def other_values(schema: Schema, rng: random.Random) -> bool:
    if not (parts := _places(schema, lambda part: isinstance(part.get("enum"), list))):
        return False
    part = rng.choice(parts)
    part["enum"] = rng.choice(
        [[*part["enum"], "e"], part["enum"][:-1] or ["e"], list(reversed(part["enum"]))]
    )
    return True


def decimal_limit(schema: Schema, rng: random.Random) -> bool:
    if not (parts := _places(schema, lambda part: part.get("format") == "decimal")):
        return False
    part = rng.choice(parts)
    limits = dict(part.get("x-decimal", {}))
    name = rng.choice([*limits, "ge"])
    if name in limits and rng.random() < 0.3:
        del limits[name]
    else:
        limits[name] = str(max(int(limits.get(name, "3")) + rng.choice([-1, 1]), 0 if len(name) == 2 else 3))
    part["x-decimal"] = limits
    return True


def other_member(schema: Schema, rng: random.Random) -> bool:
    if not (parts := _places(schema, lambda part: "discriminator" in part)):
        return False
    part = rng.choice(parts)
    part["oneOf"] = rng.choice(
        [[*part["oneOf"], _tagged(rng, "cash")], part["oneOf"][:1], list(reversed(part["oneOf"]))]
    )
    return True


def merged_members(schema: Schema, rng: random.Random) -> bool:
    """Replace a union of two tagged models by one model with two tags."""
    for where in _objects(schema):
        for name, field in where["properties"].items():
            if "discriminator" in field and len(field["oneOf"]) == 2:
                one = copy.deepcopy(field["oneOf"][rng.randint(0, 1)])
                one["properties"]["kind"] = {"type": "string", "enum": ["card", "voucher"]}
                where["properties"][name] = one
                return True
    return False


def opened(schema: Schema, rng: random.Random) -> bool:
    rng.choice(_objects(schema))["additionalProperties"] = rng.choice([True, {"type": "integer"}])
    return True


def words_only(schema: Schema, rng: random.Random) -> bool:
    where = rng.choice(_objects(schema))
    where["title"], where["description"] = "Another", "said anew"
    where["properties"] = dict(reversed(where["properties"].items()))
    return True


KINDS: list[Mutation] = [
    *(add_field, remove_field, require_or_release, another_type, nullable, other_values, decimal_limit),
    *(other_member, merged_members, opened, words_only),
    _limit("minimum", "maximum", "exclusiveMinimum"),
    _limit("minLength", "maxLength", "minItems", "maxItems"),
    _limit("multipleOf"),
]


@pytest.mark.parametrize("mutations", [300, pytest.param(2_000, marks=pytest.mark.slow)])
def test_verdicts_equal_those_of_an_independent_oracle(mutations: int) -> None:
    rng, told, wrong = random.Random(SEED), Counter[str](), []
    kinds: dict[str, Counter[str]] = {
        kind.__qualname__ + str(number): Counter() for number, kind in enumerate(KINDS)
    }
    seen = 0
    while seen < mutations:
        old = generated(rng)
        new, (kind, mutate) = copy.deepcopy(old), rng.choice(list(zip(kinds, KINDS, strict=True)))
        if not mutate(new, rng):
            continue
        seen += 1
        for wanted, promised in ((old, new), (new, old)):
            found, counter = (
                differences(wanted=wanted, promised=promised),
                refused(wanted=wanted, promised=promised),
            )
            verdict = (
                "breaks" if any(each.is_certain for each in found) else "cannot tell" if found else "fits"
            )
            told[verdict] += 1
            kinds[kind][verdict] += 1
            if verdict != "cannot tell" and (verdict == "breaks") != bool(counter):
                wrong.append((kind, found, counter, wanted, promised))

    assert wrong == [], f"{len(wrong)}, such as {wrong[0]}"
    assert told["cannot tell"] < mutations / 30, (
        "such as a decimal number that is to be at most seven characters long"
    )
    assert min(told["fits"], told["breaks"]) > mutations / 4  # neither verdict is right by habit
    if mutations > 1_000:
        habit = [kind for kind, count in kinds.items() if not count["fits"] or not count["breaks"]]
        assert all(kind.startswith(("merged_members", "opened", "words_only")) for kind in habit), habit


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^b"},
        {"type": "string", "format": "ipv6"},
        {"type": "string", "contentMediaType": "application/json"},
        {"allOf": [{"type": "string"}]},
        {"not": {"type": "integer"}},
        {"type": "array", "contains": {"const": 1}},
        {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    ],
)
def test_what_lies_outside_is_never_shown_as_good(schema: Schema) -> None:
    """Nobody can tell, and that is said; the same schema on both sides fits, as what it wants is promised."""
    kind = schema.get("type", "string")
    other = {"type": kind, **({"pattern": "^a"} if kind == "string" else {})}

    found = differences(wanted=_one(schema), promised=_one(other))

    assert [each.path for each in found] == ["value"]
    assert not found[0].is_certain
    assert differences(wanted=_one(schema), promised=_one(copy.deepcopy(schema))) == []


def test_differences_name_the_field_and_both_forms() -> None:
    line = {
        "type": "object",
        "properties": {"sku": {"type": "string"}},
        "required": ["sku"],
        "additionalProperties": False,
    }
    wanted = {"type": "array", "items": {**line, "properties": {"sku": {"type": "string", "maxLength": 5}}}}

    (found,) = differences(wanted=_one(wanted), promised=_one({"type": "array", "items": line}))

    assert (found.path, found.wanted, found.promised) == ("value[].sku", "string (maxLength 5)", "string")


def test_two_fields_that_look_alike_inside_a_recursive_model_are_each_compared() -> None:
    """What was believed of a part, because the whole seemed to fit, is not believed any more once the whole does not."""

    def tree(name: Schema) -> Schema:
        node = {
            "type": "object",
            "properties": {"leaf": {"$ref": "#/$defs/Leaf"}, "name": name},
            "required": ["name"],
        }
        leaf = {"type": "object", "properties": {"up": {"$ref": "#/$defs/Node"}}}
        root = {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/Node"}, "b": {"$ref": "#/$defs/Leaf"}},
        }
        closed = {"additionalProperties": False}
        return {**root, **closed, "$defs": {"Node": {**node, **closed}, "Leaf": {**leaf, **closed}}}

    found = differences(wanted=tree({"type": "integer"}), promised=tree({"type": "string"}))

    assert {each.path for each in found} == {"a.name", "b.up.name"}


def _one(field: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"value": field},
        "required": ["value"],
        "additionalProperties": False,
    }
