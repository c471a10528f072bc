"""Rows of the journal for tests, made as the collector makes them: a shop of four contexts, and flows of orders through them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from django.db.models import F

from microworkflows.journal.models import Attempt, Context, Delivery, Event, Flow, Gap, Process

BEGAN = datetime(2026, 11, 26, 2, 40, tzinfo=UTC)

ACCEPTED = "orders.order_accepted.v1"
RECEIVED = "payments.payment_received.v1"
RESERVED = "inventory.items_reserved.v1"
SCHEDULED = "shipping.shipment_scheduled.v1"

LISTENERS: Mapping[str, Sequence[tuple[str, str, Sequence[str]]]] = {
    "orders": [("orders.mark_shipped", SCHEDULED, [])],
    "payments": [("payments.take_payment", ACCEPTED, [RECEIVED])],
    "inventory": [("inventory.reserve_items", RECEIVED, [RESERVED])],
    "shipping": [("shipping.schedule_shipment", RESERVED, [SCHEDULED])],
}


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def context(
    name: str, *, now: datetime = BEGAN, within: float | None = None, admin_url: str = "", **tally: Any
) -> Context:
    """A context of the shop with its declarations; ``within``: seconds in which an order is to be shipped."""
    workflows = [{"label": label, "on": on, "emits": [*emits]} for label, on, emits in LISTENERS[name]]
    deadlines = [{"awaited": SCHEDULED, "of": ACCEPTED, "within": within}] if within else []
    made, _ = Context.objects.update_or_create(
        name=name,
        defaults={
            "service": name,
            "declared_at": now,
            "declarations": {
                "contexts": [name],
                "workflows": workflows,
                "announces": [],
                "outcomes": {SCHEDULED: "shipped"} if name == "shipping" else {},
                "deadlines": deadlines,
                "admin_url": admin_url,
            },
            "admin_url": admin_url,
            "tally": {"context": name, **tally} if tally else {},
            "tallied_at": now if tally else None,
        },
    )
    return made


def process(name: str, kind: str = "worker", *, seen_at: datetime = BEGAN, **fields: Any) -> Process:
    """A process; its name is ``context@host``, unless ``contexts`` and ``host`` say otherwise."""
    served, _, host = name.partition("@")
    given: dict[str, Any] = {
        "service": served,
        "kind": kind,
        "name": name,
        "host": host or "host-1",
        "pid": 4711,
        "contexts": [served],
        "began_at": seen_at - timedelta(hours=1),
        "seen_at": seen_at,
        "clock_offset": timedelta(),
        "next_number": 0,
        "life": {"leads": [served]} if kind == "relay" else {"depths": {served: 0}, "handling": 0},
    }
    return Process.objects.create(id=uuid4(), **(given | fields))


def flow(correlation_id: str | None = None, **fields: Any) -> Flow:
    """A flow about order A-000123."""
    correlation_id = correlation_id or str(uuid4())
    given: dict[str, Any] = {
        "kind": "orders.order",
        "key": correlation_id,
        "name": "A-000123",
        "trace_id": uuid4().hex,
        "began_at": BEGAN,
        "last_at": BEGAN,
        "since": BEGAN,
        "state": Flow.State.ON_ITS_WAY,
    }
    return Flow.objects.create(correlation_id=correlation_id, **(given | fields))


def event(of: Flow, type: str = ACCEPTED, *, at: datetime = BEGAN, **fields: Any) -> Event:
    """An event that was relayed 5 ms after it was recorded."""
    given: dict[str, Any] = {
        "recorded_at": at,
        "relayed_at": at + seconds(0.005),
        "status": Event.Status.RELAYED,
    }
    made = Event.objects.create(id=fields.pop("id", None) or uuid4(), flow=of, type=type, **(given | fields))
    Flow.objects.filter(pk=of.pk).update(events_count=F("events_count") + 1, last_at=at)
    return made


def delivery(of: Event, consumer: str, *, at: datetime | None = None, **fields: Any) -> Delivery:
    """A delivery that was received 10 ms after the event was recorded, and handled in 20 ms."""
    at = at or of.recorded_at + seconds(0.01)
    given: dict[str, Any] = {"status": Delivery.Status.HANDLED, "received_at": at, "duration": seconds(0.02)}
    given["changed_at"] = at + seconds(0.02)
    if fields.get("status", Delivery.Status.HANDLED) == Delivery.Status.HANDLED:
        given["handled_at"] = at + seconds(0.02)
    given = given | fields
    given = {"changed_at": given.get("handled_at") or given["received_at"]} | given
    return Delivery.objects.create(event=of, consumer=consumer, **given)


def attempt(of: Delivery, number: int, *, at: datetime, ending: str = "failed", **fields: Any) -> Attempt:
    """An attempt that failed after 20 ms, or what somebody did about it."""
    given: dict[str, Any] = {"error": "" if ending in ("replayed", "dismissed") else "BankAway: no answer"}
    if given["error"]:
        given["duration"] = seconds(0.02)
    return Attempt.objects.create(delivery=of, number=number, ending=ending, ended_at=at, **(given | fields))


def gap(of: Process, *, since: datetime, until: datetime, **fields: Any) -> Gap:
    """Notices of a process that are missing."""
    return Gap.objects.create(process=of, first=1, number=3, since=since, until=until, **fields)


def contexts(*, now: datetime = BEGAN, silent: Sequence[str] = (), within: float | None = None) -> None:
    """The four contexts, each with a worker and a relay alive at ``now``, except those in ``silent``."""
    for name in LISTENERS:
        context(name, now=now, within=within if name == "orders" else None)
        if name not in silent:
            process(f"{name}@host-1", seen_at=now)
            process(f"{name}@host-1", "relay", seen_at=now)


WAY = [
    (ACCEPTED, "payments.take_payment"),
    (RECEIVED, "inventory.reserve_items"),
    (RESERVED, "shipping.schedule_shipment"),
    (SCHEDULED, "orders.mark_shipped"),
]


def order(of: Flow, *, steps: int = 4, at: datetime = BEGAN) -> list[Event]:
    """The way of an order so far: ``steps`` events, 50 ms apart, and all their deliveries but the last one's if ``steps`` < 4."""
    events: list[Event] = []
    cause: Event | None = None
    by = ""
    for number, (type, consumer) in enumerate(WAY[:steps]):
        recorded = at + seconds(0.05 * number)
        causation = str(cause.pk) if cause else ""
        made = event(of, type, at=recorded, causation_id=causation, emitted_by=by)
        events.append(made)
        if number < steps - 1 or steps == len(WAY):
            following = uuid4() if number < len(WAY) - 1 else None
            delivery(made, consumer, emitted=[str(following)] if following else [])
        cause, by = made, consumer
    _link(events)
    return events


def _link(events: Sequence[Event]) -> None:
    for cause, effect in pairwise(events):
        Delivery.objects.filter(event=cause).update(emitted=[str(effect.pk)])


def uuid(number: int) -> UUID:
    """A UUID that a test can name."""
    return UUID(int=number)
