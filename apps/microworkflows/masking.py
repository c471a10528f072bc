"""Masking: what the events declared here call sensitive is hidden from those who read payloads, errors and logs."""

import json
import re
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from microworkflows import registry, sensitive, texts
from microworkflows.cloudevents import CloudEvent
from microworkflows.sensitive import MASK, Tree

_SHORTEST: Final = 4
"""Characters of a value that is looked for in a text: a shorter one, such as a country's code, may be in any word."""
_MOST_VALUES: Final = 2_000
_INPUT = re.compile(r"(input_value=).*?(?=, input_type=\w+[\],])", re.DOTALL)
"""Pydantic's errors show the refused value so."""


def data(event_type: str, payload: Any) -> Any:
    """Return the data of an event with the mask in place of its sensitive parts.

    A part is sensitive if its announcement or one of its readings says so. Where the event is read and its announcement
    is not installed, so is each part that no reading names, because nobody here can say what it is.
    """
    return sensitive.masked(payload, _parts(event_type))


def erased(event_type: str, payload: Any, *, at: datetime) -> Any:
    """Return the data of an event without its personal parts, whether its announcement or one of its readings calls them so.

    Where its announcement is not installed, what no reading names goes as well, because nobody here can say what it is.
    """
    return sensitive.erased(payload, _parts(event_type, personal=True), at=at)


def hides(event_type: str, path: str) -> bool:
    """Return True if the part of an event's data at a path, such as ``lines.0.sku``, is sensitive."""
    parts = _parts(event_type)
    for key in path.split("."):
        if isinstance(parts, bool):
            break
        parts = parts.get(key, parts.get(sensitive.ANY, False))
    return bool(parts)


def event(body: Any) -> Any:
    """Return a CloudEvent, as JSON, with its data masked; anything else as it is."""
    if not isinstance(body, dict) or not isinstance(body.get("type"), str) or "data" not in body:
        return body
    return {**body, "data": data(body["type"], body["data"])}


def message(body: str) -> str:
    """Return the text of a message for people: masked if it can be read as a CloudEvent in JSON, else as it is."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return body
    masked = event(read)
    return body if masked == read else json.dumps(masked, ensure_ascii=False)


def scrub(of: CloudEvent) -> Callable[[str], str]:
    """Return a function that hides the event's sensitive values in a text, such as a traceback.

    It finds values as they are, and in the quotes of Python and JSON; none of fewer than four characters.
    """
    found: set[str] = set()
    for value in sensitive.values(of.data, _parts(of.meta.type)):
        if len(value) >= _SHORTEST:
            found |= {value, repr(value)[1:-1], json.dumps(value)[1:-1]}
    if len(found) > _MOST_VALUES:
        return lambda text: f"(the text is left out: it may hold any of {len(found):,} sensitive values)"

    def scrubbed(text: str) -> str:
        text = without_input(text)
        if present := [value for value in found if value in text]:
            wanted = "|".join(map(re.escape, sorted(present, key=len, reverse=True)))
            text = re.sub(rf"(?<!\w)(?:{wanted})(?!\w)", MASK, text)
        return text

    return scrubbed


def error(raised: BaseException, hide: Callable[[str], str]) -> BaseException:
    """Return an exception that shows no more than it may: ``raised`` itself, unless ``hide`` changes a text in it.

    Else it is another one, whose class bears the same name and is otherwise unrelated. It has the traceback, and what
    caused it, so that an error tracker files it under the same failure.
    """
    shown = "".join(traceback.format_exception(raised))
    return raised if hide(shown) == shown else _stand_in(raised, hide, {})


def _stand_in(
    raised: BaseException, hide: Callable[[str], str], made: dict[int, BaseException]
) -> BaseException:
    if id(raised) in made:
        return made[id(raised)]
    original = type(raised)
    base: type[BaseException] = BaseException
    arguments: list[Any] = [hide(_said(raised))]
    if isinstance(raised, BaseExceptionGroup):
        base = BaseExceptionGroup
        arguments = [hide(raised.message), [_stand_in(each, hide, made) for each in raised.exceptions]]
    names = {"__module__": original.__module__, "__qualname__": original.__qualname__}
    shown: BaseException = type(original.__name__, (base,), names)(*arguments)
    made[id(raised)] = shown
    shown.__traceback__ = raised.__traceback__
    shown.__cause__ = raised.__cause__ and _stand_in(raised.__cause__, hide, made)
    shown.__context__ = raised.__context__ and _stand_in(raised.__context__, hide, made)
    shown.__suppress_context__ = raised.__suppress_context__
    for note in getattr(raised, "__notes__", ()):
        shown.add_note(hide(str(note)))
    return shown


def _said(raised: BaseException) -> str:
    """Return an exception's text, even where its class has a faulty ``__str__``."""
    try:
        return str(raised)
    except Exception as error:
        return f"(its text cannot be made: {type(error).__name__})"


def without_input(text: str) -> str:
    """Return a text without the values that pydantic's errors show."""
    return _INPUT.sub(rf"\1{MASK}", text) if "input_value=" in text else text


def headers(message_headers: Mapping[str, Any]) -> dict[str, str]:
    """Return a message's headers for people, each name and value on one line."""
    return {
        texts.line(name, translated=True): texts.line(value, translated=True)
        for name, value in message_headers.items()
    }


def _parts(event_type: str, *, personal: bool = False) -> Tree:
    announced = [each for each in registry.announcements() if each.event_type == event_type]
    readings = [each for each in registry.readings() if each.event_type == event_type]
    found: Tree = personal and not (announced or readings)
    for declared in (*announced, *readings):
        parts = sensitive.tree(declared, unnamed=not announced, personal=personal)
        found = sensitive.merged(found, parts)
    return found
