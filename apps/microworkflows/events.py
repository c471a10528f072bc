"""Events as classes: a context's announced facts (DomainEvent) and its readings of others' (IncomingEvent)."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from microworkflows import bounds, registry, sensitive
from microworkflows.cloudevents import ERASED, CloudEvent, Metadata, context_of
from microworkflows.errors import ErasedEventError, EventNotDeliveredError, InvalidPayloadError

__all__ = ["DomainEvent", "Event", "IncomingEvent", "Metadata"]

_OUTCOME = re.compile(r"[^\W_](?:[\w -]{0,61}\w)?")
_SHORTEST_RETENTION = timedelta(days=1)
"""Within a day, nothing is purged: duplicates come, and journeys rely on it."""
_TYPE = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.v[1-9][0-9]*")


class Event(BaseModel):
    """Base of both kinds: frozen values under a versioned type. Subclass one of the two instead."""

    # Infinities and NaN stay what they are until recording refuses them; pydantic would write null.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, ser_json_inf_nan="constants")

    event_type: ClassVar[str]
    retention: ClassVar[timedelta | None] = None
    """Age at which its rows are purged, once its flow is finished; None: ``RETENTION_DAYS``."""
    previous_version: ClassVar["type[Event] | None"] = None
    """Class of the version before, if this one declares how it is made from it, or it from this one."""
    _meta: Metadata | None = PrivateAttr(default=None)

    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        retention: timedelta | None = None,
        previous: "type[Event] | None" = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.previous_version = previous
        if retention is not None and (type is None or retention < _SHORTEST_RETENTION):
            raise TypeError(
                f"{cls.__qualname__} has the retention {retention!r}. Write at least a day, such as "
                "retention=timedelta(days=7), beside the type= of the same class."
            )
        if type is None:
            return
        if not _TYPE.fullmatch(type) or len(type) > bounds.LONGEST_NAME:
            raise TypeError(
                f"{cls.__qualname__} has the type {type!r}. Write context.past_tense_fact.vN in lower case, "
                'such as "orders.order_accepted.v1"; at most 255 characters.'
            )
        if "meta" in cls.__annotations__:
            raise TypeError(f"{cls.__qualname__} has a field 'meta', which is taken; choose another name.")
        cls.event_type, cls.retention = type, retention
        if previous is not None:
            _check_previous(cls, previous)

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
        """Read a delivered event. One of an earlier version is read by the class of that, and brought up to this one.

        Fields that the class does not name are ignored, even in a domain event: a newer version of its context may
        have recorded them.

        Raises:
            InvalidPayloadError: its data does not satisfy the fields that the class declares, or ``from_previous`` made no
                event of it.
            ErasedEventError: personal data was erased from it.
        """
        if ERASED in event.extensions:
            raise ErasedEventError(
                f"{event.meta.type} {event.meta.id} cannot be handled any more: personal data was erased from it at "
                f"{event.extensions[ERASED]} (manage.py erase). Dismiss this message."
            )
        versions = versions_of(cls)
        number = next((at for at, each in enumerate(versions) if each.event_type == event.meta.type), 0)
        reading: Event | None = None
        for version in reversed(versions[: number + 1]):
            try:
                reading = (
                    version.model_validate(event.data, extra="ignore")
                    if reading is None
                    else _made_from(reading, version)
                )
            except ValidationError as error:
                raise _unsatisfied(version, event, error) from error
            reading._meta = event.meta
        return cast("Self", reading)

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

    A new version names the one before, ``class OrderAcceptedV2(DomainEvent, type="orders.order_accepted.v2",
    previous=OrderAccepted)``, and its method ``to_previous(self)`` returns that. Both are then recorded, as one fact.

    An event with which flows end declares how: ``type="orders.order_cancelled.v1", outcome="cancelled"``. A flow in which it
    has happened, and in which nothing is open any more, is done with this outcome.

    ``retention=timedelta(days=7)`` keeps its rows in the outbox for another time than ``RETENTION_DAYS``.
    """

    model_config = ConfigDict(extra="forbid")

    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        previous: "type[Event] | None" = None,
        outcome: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(type=type, previous=previous, **kwargs)
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
    ``retention=timedelta(days=90)`` keeps the rows of its microworkflows in the inbox for another time than ``RETENTION_DAYS``.

    The reading of a new version names the one before, ``previous=OrderAccepted``, and its class method
    ``from_previous(cls, previous)`` is made from that: a microworkflow with ``on=[OrderAccepted, OrderAcceptedV2]`` gets the
    newer one, whichever comes.
    """

    model_config = ConfigDict(extra="ignore")

    def __init_subclass__(
        cls, *, type: str | None = None, previous: "type[Event] | None" = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(type=type, previous=previous, **kwargs)
        if type is not None:
            registry.add_reading(cls)


def versions_of(event: type[Event]) -> list[type[Event]]:
    """Return a class of events and those of the versions before, the newest first."""
    found = [event]
    while (previous := found[-1].previous_version) is not None:
        found.append(previous)
    return found


def _made_from(previous: Event, newer: type[Event]) -> Event:
    """Return an event as one of the next version, as that declares."""
    made = cast("Any", newer).from_previous(previous)
    if type(made) is not newer:
        raise InvalidPayloadError(
            f"{newer.__module__}.{newer.__qualname__}.from_previous() returned {type(made).__name__}; it must return a "
            f"{newer.__qualname__}."
        )
    return made


def in_all_versions(event: DomainEvent) -> list[DomainEvent]:
    """Return an event to be announced and what it was in the versions before, the newest first.

    Raises:
        TypeError: ``to_previous`` returned something else.
    """
    found: list[DomainEvent] = [event]
    while (previous := found[-1].previous_version) is not None:
        made: Any = cast("Any", found[-1]).to_previous()
        if type(made) is not previous:
            raise TypeError(
                f"{type(found[-1]).__qualname__}.to_previous() returned {type(made).__name__}; it must return a "
                f"{previous.__qualname__}."
            )
        found.append(cast("DomainEvent", made))
    return found


def is_made_from_previous(event: type[Event]) -> bool:
    """Return True if a class says how it is made from the version before."""
    return callable(getattr(event, "from_previous", None))


def _check_previous(event: type[Event], previous: Any) -> None:
    """Raise TypeError unless an event may follow this one as a version, and says how one is made from the other."""
    kind = DomainEvent if issubclass(event, DomainEvent) else IncomingEvent
    name, its_type = event.__qualname__, event.event_type
    if not (isinstance(previous, type) and issubclass(previous, kind) and hasattr(previous, "event_type")):
        raise TypeError(
            f"{name} has previous={previous!r}. Name the {kind.__name__} of the version before, which has a type."
        )
    if previous.event_type == its_type or context_of(previous.event_type) != context_of(its_type):
        raise TypeError(
            f"{name} has the type {its_type!r}, and the version before it {previous.event_type!r}. Both are of one context, and "
            "each has a type of its own."
        )
    method = "to_previous" if kind is DomainEvent else "from_previous"
    if not callable(getattr(event, method, None)):
        raise TypeError(
            f"{name} follows {previous.__qualname__} and does not say how. Declare "
            + (
                f"to_previous(self), which returns a {previous.__qualname__}."
                if kind is DomainEvent
                else f"a class method from_previous(cls, previous), which takes a {previous.__qualname__}."
            )
        )


def _unsatisfied(reading: type[Event], event: CloudEvent, error: ValidationError) -> InvalidPayloadError:
    problems = "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'data'}: {problem['msg']}" for problem in error.errors()
    )
    return InvalidPayloadError(
        f"{event.meta.type} {event.meta.id} does not satisfy {reading.__module__}.{reading.__qualname__}: {problems}"
    )
