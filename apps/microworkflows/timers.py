"""Timers: events that are recorded now, and sent at a time to come unless another event of their flow cancels them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from microworkflows import registry
from microworkflows.cloudevents import context_of
from microworkflows.errors import UnrecordableEventError
from microworkflows.events import DomainEvent, Event, versions_of

LONGEST = timedelta(days=3_653)
"""Longest time to come: what lies farther off is a mistake, such as milliseconds taken for seconds."""


@dataclass(frozen=True)
class Later:
    """An event for later, to be returned by a microworkflow or recorded.

    ::

        return Later(PaymentOverdue(order_id=event.order_id), timedelta(minutes=15), unless=[PaymentReceived])

    Args:
        event: The event that is sent then.
        when: Time from now, or an aware point in time; one in the past is due at once.
        unless: Events that cancel it. Each is one that the context announces or hears.

    Raises:
        UnrecordableEventError: ``when`` is negative, has no time zone or lies more than ten years ahead, or the context of the
            event neither announces nor hears one of ``unless``.
    """

    event: DomainEvent
    when: timedelta | datetime
    unless: Sequence[type[Event]] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what could not be recorded, where it is written."""
        if isinstance(self.when, datetime):
            if self.when.tzinfo is None:
                raise self._refusal(
                    f"{self.when.isoformat()} has no time zone, so it is not known when that is. Give an aware time, such as "
                    "django.utils.timezone.now() + timedelta(minutes=15)"
                )
        elif self.when < timedelta():
            raise self._refusal(f"{self.when} lies in the past. Give a time from now, or a point in time")
        left = self.when - datetime.now(UTC) if isinstance(self.when, datetime) else self.when
        if left > LONGEST:
            raise self._refusal(f"{self.when} lies more than ten years ahead")
        for each in self.unless:
            context = context_of(self.event.event_type)
            heard = registry.subscriptions(context)
            if context_of(each.event_type) != context and each.event_type not in heard:
                raise self._refusal(
                    f"{context} neither announces nor hears {each.event_type}, so it would not learn of what cancels it. Declare a "
                    f"microworkflow of {context} on it"
                )

    @property
    def due_at(self) -> datetime:
        """Time at which it is due, counted from now; never before."""
        now = datetime.now(UTC)
        return max(self.when.astimezone(UTC), now) if isinstance(self.when, datetime) else now + self.when

    @property
    def cancelled_by(self) -> tuple[str, ...]:
        """Types of the events that cancel it, in all their versions."""
        return tuple(dict.fromkeys(each.event_type for event in self.unless for each in versions_of(event)))

    def _refusal(self, why: str) -> UnrecordableEventError:
        return UnrecordableEventError(f"{type(self.event).__qualname__} cannot be recorded for later: {why}.")


def event_of(given: DomainEvent | Later) -> DomainEvent:
    """Return the event itself, whenever it is to be sent."""
    return given.event if isinstance(given, Later) else given
