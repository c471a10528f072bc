"""Bounds of an event: what the door lets in and what can be recorded.

An event within them can be stored by each database, sent to each process and shown to people. The limits of length are
the kit's; the rest is CloudEvents 1.0 (section 3) and what PostgreSQL's ``jsonb`` can hold.
"""

import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

from microworkflows import conf
from microworkflows.errors import InvalidCloudEventError

DEEPEST = 64
"""Levels of objects and lists in each other, the event itself being the first."""
MOST_EXTENSIONS = 64
"""Attributes of an event that the kit does not know."""
LONGEST_NAME = 255
"""Characters of ``id``, ``type``, ``correlationid`` and ``causationid``, which keys and indexes hold."""
LONGEST_ATTRIBUTE = 2_048
"""Characters of any other attribute."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_NAMES = frozenset({"id", "type", "correlationid", "causationid"})
_VISIBLE = frozenset({"source", "type"})
"""Attributes in visible ASCII: a URI reference, and a routing key."""
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}")
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
    + "]"
)
"""What a string attribute must not hold (CloudEvents 1.0, section 3.1): control codes, surrogates, noncharacters."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_NUMBER = re.compile(rb"[\[:,\s]-?[0-9](?:[0-9.]*[eE][+-]?0*[1-9][0-9]|[0-9]{199})")
"""Escapes and numbers that JSON allows and a database does not, or that it writes out at length, or their likes."""
_GROWTH = 4
"""Times by which an event may grow between its first delivery and a retry: other spaces and escapes, more attributes."""


def parse(text: bytes | str, *, is_retry: bool = False) -> Any:
    """Return the value of a JSON text (RFC 8259) that an event may hold.

    Args:
        text: The text; bytes are UTF-8.
        is_retry: True for an event that was let in before, and comes back as the inbox kept it.

    Raises:
        InvalidCloudEventError: it is not JSON in UTF-8, too large, too deep, or holds what no database can store.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    check_size(len(raw) // _GROWTH if is_retry else len(raw))
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidCloudEventError(f"The message is not JSON: {error}.") from None
    check_value(value, raw)
    return value


def check_size(size: int, event: Any = None) -> None:
    """Raise if an event of so many bytes is too large; of one that is given, the error names the field that is largest."""
    if size > (largest := conf.current().max_event_bytes):
        raise InvalidCloudEventError(
            f"The event has {size:,} bytes; at most {largest:,} are allowed (MICROWORKFLOWS['MAX_EVENT_BYTES']). "
            f"{_largest_field(event)}Put what is large elsewhere, and its address into the event."
        )


def _largest_field(event: Any) -> str:
    """Return a sentence about the field that takes the most bytes, down to the one that no longer takes most of another."""
    path, total, value = "", 0, event
    while isinstance(value, Mapping) and value:
        sizes = {name: len(json.dumps(each)) for name, each in value.items()}
        name = max(sizes, key=lambda each: sizes[each])
        if 2 * sizes[name] < total:
            break
        path, total, value = f"{path}.{name}".removeprefix("."), sizes[name], value[name]
    return f"Most of it is {path}, with {total:,} bytes. " if path else ""


def check_value(value: Any, text: bytes) -> None:
    """Raise if a value cannot be stored; most texts show at a glance that it can."""
    looks_safe = (
        text.count(b"[") + text.count(b"{") <= DEEPEST
        and not (b"\\u" in text and _ESCAPE.search(text))
        and not _NUMBER.search(text)
    )
    if not looks_safe and (problem := next(_problems(value), None)):
        raise InvalidCloudEventError(problem)


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Raise if the attributes of an event are not those of a CloudEvent, or too long."""
    for name, value in attributes.items():
        if name in ("data", "data_base64"):
            continue
        if not _ATTRIBUTE.fullmatch(name):
            raise InvalidCloudEventError(
                f"{shown(name)} names an attribute; CloudEvents 1.0 allows lower-case letters and digits only."
            )
        if isinstance(value, str):
            check_text(name, value)
        elif not isinstance(value, bool | int | None):
            raise InvalidCloudEventError(
                f"{name} is {type(value).__name__}; an attribute is a string, a whole number or a boolean."
            )


def check_text(name: str, value: str) -> None:
    """Raise if a string attribute is too long or holds characters that it must not."""
    longest = LONGEST_NAME if name in _NAMES else LONGEST_ATTRIBUTE
    if len(value) > longest:
        raise InvalidCloudEventError(
            f"{name} has {len(value):,} characters; at most {longest:,} are allowed."
        )
    if value.isascii() and value.isprintable() and not (name in _VISIBLE and " " in value):
        return
    if name in _VISIBLE:
        raise InvalidCloudEventError(f"{name} is {shown(value)}; it consists of visible ASCII characters.")
    if found := _FORBIDDEN.search(value):
        raise InvalidCloudEventError(
            f"{name} holds {_named(found[0])}; CloudEvents 1.0 allows no control codes, surrogates or noncharacters."
        )


def shown(value: object) -> str:
    """Return a value from outside for an error: escaped and cut."""
    return _SHORT.repr(value)


_Place = tuple["_Place", object] | tuple[()]
"""A place in a value: the place around it, and its name or index there."""


def _problems(value: Any) -> Iterator[str]:
    """Yield what keeps a value from being stored, with the place where it is."""
    digits = 0
    left: list[tuple[_Place, Any, int]] = [((), value, 1)]
    while left:
        place, each, depth = left.pop()
        if isinstance(each, Mapping | list | tuple):
            if depth > DEEPEST:
                yield f"It nests objects and lists more than {DEEPEST} deep."
                return
            pairs = each.items() if isinstance(each, Mapping) else enumerate(each)
            left += (((place, key), inner, depth + 1) for key, inner in pairs)
            if isinstance(each, Mapping):
                left += (((place, "(a name)"), key, depth) for key in each)
        elif isinstance(each, str) and (bad := _UNSTORABLE.search(each)):
            yield f"{_path(place)} holds {_named(bad[0])}, which no database can store as JSON."
        elif isinstance(each, float) and each:
            if not math.isfinite(each):
                yield f"{_path(place)} is a number beyond the range of a double (IEEE 754)."
                return
            digits += abs(int(math.log10(abs(each))))
    if digits > (largest := conf.current().max_event_bytes):
        yield f"Its numbers have {digits:,} digits when they are written out; at most {largest:,} are allowed."


def _path(place: _Place) -> str:
    names: list[str] = []
    while place:
        place, name = place
        names.append(shown(name)[1:-1] if isinstance(name, str) else str(name))
    return ".".join(reversed(names))


def _named(character: str) -> str:
    return f"U+{ord(character):04X}"


def json_text(value: Mapping[str, Any]) -> str:
    """Return the JSON text of an event to be recorded.

    Raises:
        InvalidCloudEventError: it is too large, too deep, or holds what no database can store.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise InvalidCloudEventError(next(_problems(value), f"It is no JSON: {error}.")) from None
    raw = text.encode()
    check_size(len(raw), value)
    check_value(value, raw)
    return text
