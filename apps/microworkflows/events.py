"""Events as classes: a context's announced facts (DomainEvent) and its readings of others' (IncomingEvent)."""

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from microworkflows import bounds, registry, sensitive
from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.errors import EventNotDeliveredError, InvalidPayloadError

__all__ = ["DomainEvent", "Event", "IncomingEvent", "Metadata"]

_OUTCOME = re.compile(r"[^\W_](?:[\w -]{0,61}\w)?")
_TYPE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.v[1-9][0-9]*")


class Event(BaseModel):
    """Base of both kinds: frozen values under a versioned type. Subclass one of the two instead."""

    # Infinities and NaN stay what they are until recording refuses them; pydantic would write null.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, ser_json_inf_nan="constants")

    event_type: ClassVar[str]
    _meta: Metadata | None = PrivateAttr(default=None)

    def __init_subclass__(cls, *, type: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if type is None:
            return
        if not _TYPE.fullmatch(type) or len(type) > bounds.LONGEST_NAME:
            raise TypeError(
                f"{cls.__qualname__} has the type {type!r}. Write context.past_tense_fact.vN in lower case, "
                'such as "orders.order_accepted.v1"; at most 255 characters.'
            )
        if "meta" in cls.__annotations__:
            raise TypeError(f"{cls.__qualname__} has a field 'meta', which is taken; choose another name.")
        cls.event_type = type

    @property
    def meta(self) -> Metadata:
        """Id, time, correlation and the rest of the envelope that this event arrived in.

        Raises:
            EventNotDeliveredError: it was made by hand, so it has no envelope.
        """
        if self._meta is None:
            raise EventNotDeliveredError(
                f"{type(self).__qualname__} was not delivered, so it has no envelope. In a test, make it with "
                "microworkflows.testing.delivered(event)."
            )
        return self._meta

    @classmethod
    def from_cloud_event(cls, event: CloudEvent) -> Self:
        """Read a delivered event.

        Fields that this class does not name are ignored, even in a domain event: a newer version of its context may
        have recorded them.

        Raises:
            InvalidPayloadError: its data does not satisfy the fields that this class declares.
        """
        try:
            reading = cls.model_validate(event.data, extra="ignore")
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'data'}: {problem['msg']}"
                for problem in error.errors()
            )
            raise InvalidPayloadError(
                f"{event.meta.type} {event.meta.id} does not satisfy {cls.__module__}.{cls.__qualname__}: {problems}"
            ) from error
        reading._meta = event.meta
        return reading

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return the fields that ``repr()`` shows, with the mask in place of sensitive ones."""
        parts = sensitive.tree(type(self))
        for name, value in super().__repr_args__():
            hidden = isinstance(parts, dict) and name is not None and parts.get(name)
            yield name, sensitive.Masked() if hidden and value is not None else value

    def __eq__(self, other: object) -> bool:
        """Compare class and fields; the envelopes do not count."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = BaseModel.__hash__


class DomainEvent(Event):
    """A fact that a context announces, named in the past tense.

    ::

        class OrderAccepted(DomainEvent, type="orders.order_accepted.v1"):
            order_id: UUID
            total: Decimal

    Its type begins with the label of the app that announces it and ends with its version. Fields are ids and
    plain values; the meaning of a published version never changes.

    An event with which flows end declares how: ``type="orders.order_cancelled.v1", outcome="cancelled"``. A flow in which it
    has happened, and in which nothing is open any more, is done with this outcome.
    """

    model_config = ConfigDict(extra="forbid")

    def __init_subclass__(cls, *, type: str | None = None, outcome: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(type=type, **kwargs)
        if outcome is not None and (type is None or not _OUTCOME.fullmatch(outcome)):
            raise TypeError(
                f"{cls.__qualname__} has the outcome {outcome!r}. Write one word or a few for people, such as "
                'outcome="payment declined", at most 63 characters, beside the type= of the same class.'
            )
        if type is not None:
            registry.add_announcement(cls)
        if type is not None and outcome is not None:
            registry.add_outcome(type, outcome)


class IncomingEvent(Event):
    """A context's own reading of an event that another announces: only the fields it uses (a tolerant reader).

    It is declared under the announced type. It ignores fields that it does not name, so the announcer may add some.
    """

    model_config = ConfigDict(extra="ignore")

    def __init_subclass__(cls, *, type: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(type=type, **kwargs)
        if type is not None:
            registry.add_reading(cls)
