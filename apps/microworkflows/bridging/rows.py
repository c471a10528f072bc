"""Rows of the past, as a project's function yields them: an event, an event with the object that it is about, or a ``Past``."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from microworkflows import sensitive, subjects
from microworkflows.errors import MicroworkflowsError
from microworkflows.events import DomainEvent
from microworkflows.subjects import About


class UnusableQueryError(MicroworkflowsError):
    """A function yields what cannot be recorded as events of one type."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """A row of the past: the event, and what is known of it."""

    event: DomainEvent
    about: About | None = None
    """The object that the event's flow is about."""
    correlation_id: object = None
    """Id of the flow, where it is not made of ``about``; as for :func:`microworkflows.outbox.record`."""
    at: datetime | None = None
    """When the row became as the event says, such as its last change. Without one, it is the time before which the run read it."""
    key: str | None = None
    """What tells the row from the others of its type; by default the object that it is about, else all values of the event."""

    @property
    def identity(self) -> str:
        """The key, or what stands for it."""
        if self.key is not None:
            return f"key {self.key}"
        if self.about is not None:
            return f"about {subjects.of(self.about)}"
        values = json.dumps(sensitive.payload(self.event), sort_keys=True, cls=DjangoJSONEncoder)
        return f"values {hashlib.sha256(values.encode()).hexdigest()}"


def read(query: Callable[[], Iterable[Any]], event: type[DomainEvent]) -> Iterator[Past]:
    """Yield the rows of a project's function, which must be events of one class.

    Raises:
        UnusableQueryError: the function yields something else, or nothing that can be read through.
    """
    found = query()
    if not isinstance(found, Iterable):
        raise UnusableQueryError(
            f"{_name(query)} returned {type(found).__name__}. Let it yield events of {event.__qualname__}, each alone, as "
            "(event, about), or as microworkflows.bridging.Past(event=…)."
        )
    for number, each in enumerate(found, start=1):
        row = _past(each)
        if row is None or type(row.event) is not event:
            got = type(each if row is None else row.event).__qualname__
            raise UnusableQueryError(
                f"Row {number:,} of {_name(query)} is {got}. It must be a {event.__qualname__}, alone, as (event, about), or as "
                "microworkflows.bridging.Past(event=…)."
            )
        yield row


def _past(each: Any) -> Past | None:
    if isinstance(each, Past):
        return each
    if isinstance(each, DomainEvent):
        return Past(event=each)
    if isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], DomainEvent):
        return Past(event=each[0], about=each[1])
    return None


def _name(query: Callable[..., Any]) -> str:
    return f"{getattr(query, '__module__', '')}.{getattr(query, '__qualname__', repr(query))}"
