"""Texts that a JSON Schema allows: formats, patterns, lengths, and decimal numbers, which pydantic writes as text."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from math import inf
from typing import Any, Final

FREE: Final = frozenset({"password", "binary", None})
"""Formats that any text has."""

_LENGTHS = {"uuid": (36, 36), "uuid4": (36, 36), "uuid1": (36, 36), "uuid7": (36, 36), "date": (10, 10)}
_SHORTEST = {"decimal": 1}
_NARROWER = {("uuid1", "uuid"), ("uuid4", "uuid"), ("uuid7", "uuid")}
_APART = frozenset({"uuid", "date", "date-time", "time", "duration", "decimal"})
"""Formats of which no text has two."""
_PROBES = "a", "Z", "0", " ", "-", "é"

Texts = Mapping[str, Any]


def fits(want: Texts, promise: Texts) -> bool | None:
    """Return whether each promised text is wanted; None if nobody can tell."""
    if promise.get("minLength", 0) > promise.get("maxLength", inf):
        return True  # there is none
    verdicts = [_form(want, promise), _pattern(want, promise), _length(want, promise)]
    return False if False in verdicts else None if None in verdicts else True


def _form(want: Texts, promise: Texts) -> bool | None:
    wanted, promised = want.get("format"), promise.get("format")
    if wanted in FREE:
        return True
    if wanted == promised:
        return _decimal(want, promise) if wanted == "decimal" else True
    if promised in FREE:
        return None if "pattern" in promise else False
    if (promised, wanted) in _NARROWER:
        return True
    return False if {wanted, promised} <= _APART else None


def _pattern(want: Texts, promise: Texts) -> bool | None:
    if "pattern" not in want or want["pattern"] == promise.get("pattern"):
        return True
    if "pattern" in promise or promise.get("format") not in FREE:
        return None
    lengths = {promise.get("minLength", 0), promise.get("minLength", 0) + 1, 8}
    allowed = [
        each for each in lengths if promise.get("minLength", 0) <= each <= promise.get("maxLength", inf)
    ]
    return (
        False
        if any(matches(want["pattern"], each * length) is False for each in _PROBES for length in allowed)
        else None
    )


def _length(want: Texts, promise: Texts) -> bool | None:
    least, most = _LENGTHS.get(
        promise.get("format", ""), (promise.get("minLength", 0), promise.get("maxLength", inf))
    )
    least = max(least, _SHORTEST.get(promise.get("format", ""), 0))
    if want.get("minLength", 0) <= least and want.get("maxLength", inf) >= most:
        return True
    is_known = "pattern" not in promise and (promise.get("format") in (*FREE, *_LENGTHS))
    return False if is_known else None


def _decimal(want: Texts, promise: Texts) -> bool:
    wanted, promised = want.get("x-decimal", {}), promise.get("x-decimal", {})
    return _between(wanted, promised) and _digits(wanted, promised) and _steps(wanted, promised)


def is_decimal(value: str, limits: Texts) -> bool:
    """Return whether a text is a decimal number within limits."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        return False
    if not number.is_finite():
        return False
    digits, places = len(number.as_tuple().digits), max(-int(number.as_tuple().exponent), 0)
    exact = {"ge": value, "le": value, "decimal_places": places, "max_digits": max(digits, places)}
    multiple = "multiple_of" not in limits or number % Decimal(limits["multiple_of"]) == 0
    return multiple and _between(limits, exact) and _digits(limits, exact)


def _least(limits: Texts) -> tuple[Decimal, bool]:
    return max((Decimal(limits.get("ge", "-inf")), False), (Decimal(limits.get("gt", "-inf")), True))


def _most(limits: Texts) -> tuple[Decimal, bool]:
    return min((Decimal(limits.get("le", "inf")), True), (Decimal(limits.get("lt", "inf")), False))


def _between(wanted: Texts, promised: Texts) -> bool:
    return _least(promised) >= _least(wanted) and _most(promised) <= _most(wanted)


def _digits(wanted: Texts, promised: Texts) -> bool:
    places, whole, total = _places(promised), _whole(promised), int(promised.get("max_digits", 0)) or inf
    total = min(total, places + whole)
    return (
        places <= _places(wanted)
        and whole <= _whole(wanted)
        and total <= (int(wanted.get("max_digits", 0)) or inf)
    )


def _places(limits: Texts) -> float:
    return int(limits["decimal_places"]) if "decimal_places" in limits else inf


def _whole(limits: Texts) -> float:
    """Return the most digits before the point, by the digits that are allowed and by the limits."""
    total = int(limits.get("max_digits", 0)) or inf
    by_digits = total - _places(limits) if "decimal_places" in limits else total
    reach = max(abs(_least(limits)[0]), abs(_most(limits)[0]))
    return min(by_digits, inf if reach.is_infinite() else len(str(int(reach))))


def _steps(wanted: Texts, promised: Texts) -> bool:
    if "multiple_of" not in wanted:
        return True
    places = _places(promised)
    steps = [Decimal(promised["multiple_of"])] if "multiple_of" in promised else []
    steps += [Decimal(1).scaleb(-int(places))] if places != inf else []
    return any(step % Decimal(wanted["multiple_of"]) == 0 for step in steps)


def matches(pattern: str, value: str) -> bool | None:
    """Return whether a text matches a pattern; None if Python does not read the pattern."""
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return None
