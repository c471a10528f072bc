"""Rows of a whole process for tests and pictures: the shop's declarations, minutes of its edges, and flows of all its ways."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from microworkflows import registry, times
from microworkflows.journal import variants
from microworkflows.journal.models import Context, Delivery, Event, Flow, Minute, Process

ACCEPTED, PAID, DECLINED = (
    "orders.order_accepted.v1",
    "payments.payment_received.v1",
    "payments.payment_declined.v1",
)
RESERVED, NO_STOCK, REFUNDED = (
    "inventory.items_reserved.v1",
    "inventory.out_of_stock.v1",
    "payments.payment_refunded.v1",
)
SCHEDULED = "shipping.shipment_scheduled.v1"
OUTCOMES = {SCHEDULED: "shipped", DECLINED: "declined", REFUNDED: "refunded"}

Tree = Sequence[tuple[str, str, str]]
"""Steps: type taken, consumer, type emitted or empty."""
SHIPPED: Tree = (
    (ACCEPTED, "payments.take_payment", PAID),
    (ACCEPTED, "inventory.note_order", ""),
    (ACCEPTED, "shipping.note_address", ""),
    (PAID, "orders.mark_paid", ""),
    (PAID, "inventory.reserve_items", RESERVED),
    (RESERVED, "orders.mark_reserved", ""),
    (RESERVED, "shipping.schedule_shipment", SCHEDULED),
    (SCHEDULED, "orders.mark_shipped", ""),
    (SCHEDULED, "inventory.issue_items", ""),
)
REFUSED: Tree = (
    (ACCEPTED, "payments.take_payment", DECLINED),
    (ACCEPTED, "inventory.note_order", ""),
    (ACCEPTED, "shipping.note_address", ""),
    (DECLINED, "orders.cancel_declined", ""),
    (DECLINED, "inventory.forget_order", ""),
    (DECLINED, "shipping.forget_declined", ""),
)


def contexts(now: datetime, *, silent: Sequence[str] = (), untold: Sequence[str] = ()) -> None:
    """The shop's contexts as they declare themselves, each with worker, relay and tally; some silent, some never heard of."""
    for number, name in enumerate(("orders", "payments", "inventory", "shipping")):
        seen = now - timedelta(minutes=9) if name in silent else now - timedelta(seconds=2)
        workflows = [each for each in registry.workflows() if each.context == name]
        Context.objects.create(
            name=name,
            service=name,
            declared_at=now - timedelta(days=1),
            declarations={
                "contexts": [name],
                "workflows": [
                    {
                        "label": each.label,
                        "on": each.on.event_type,
                        "emits": [e.event_type for e in each.emits],
                    }
                    for each in workflows
                ],
                "announces": [each for each in registry.announced() if each.startswith(f"{name}.")],
                "outcomes": {k: v for k, v in OUTCOMES.items() if k.startswith(f"{name}.")},
                "deadlines": [],
            },
            tally={
                "context": name,
                "pending": number,
                "waiting": 0,
                "parked": 2 * (name == "shipping"),
                "dead": 0,
            },
            tallied_at=None if name in untold else now - timedelta(seconds=4),
        )
        if name in untold:
            continue
        for kind, place in (("worker", 1), ("relay", 2)):
            life: dict[str, Any] = {"depths": {name: 37 if name in silent else number}, "handling": 1}
            Process.objects.create(
                id=UUID(int=10 * number + place),
                service=name,
                kind=kind,
                name=f"{name}@host-1",
                host="host-1",
                pid=100 + number,
                contexts=[name],
                began_at=now - timedelta(hours=5),
                seen_at=seen,
                next_number=7,
                life=life if kind == "worker" else {"leads": [name]},
            )


def minutes(now: datetime, tree: Tree, *, each: int, of: int = 1, **numbers: Any) -> None:
    """Minutes of the edges of a way: so many deliveries in each of the last so many minutes, of 20 to 60 ms."""
    begin = now.replace(second=0, microsecond=0)
    hops = [0, 0, 0, 0, 0, each // 2, each - each // 2]
    edges = {(taken, consumer) for taken, consumer, _ in tree}
    rows = [
        Minute(at=begin - timedelta(minutes=n), type=taken, consumer=consumer, count=each, hops=hops)
        for n in range(of)
        for taken, consumer in edges
    ]
    rows += [
        Minute(at=begin - timedelta(minutes=n), type=taken, consumer="", count=each)
        for n in range(of)
        for taken in {taken for taken, _, _ in tree}
    ]
    Minute.objects.bulk_create(rows, ignore_conflicts=True)


def flow(began: datetime, tree: Tree, *, took: float = 1.5, number: int = 1, **fields: Any) -> Flow:
    """A finished flow that went a way."""
    end = began + timedelta(seconds=took)
    made = Flow.objects.create(
        correlation_id=f"orders.order:{number}",
        kind="orders.order",
        key=str(number),
        name=f"A-{number:06}",
        began_at=began,
        last_at=end,
        since=end,
        state=Flow.State.DONE,
    )
    events: dict[str, Event] = {}

    def happen(event_type: str, *, cause: Event | None = None, by: str = "", hops: int = 0) -> Event:
        return Event.objects.create(
            id=UUID(int=number * 1000 + len(events)),
            flow=made,
            type=event_type,
            emitted_by=by,
            causation_id=str(cause.pk) if cause else "",
            recorded_at=began + timedelta(seconds=took * len(events) / 5),
            relayed_at=began + timedelta(seconds=took * len(events) / 5 + 0.002),
            status=Event.Status.RELAYED,
            hops=hops,
        )

    events[tree[0][0]] = happen(tree[0][0])
    deliveries = []
    for taken, consumer, emitted in tree:
        cause = events[taken]
        if emitted:
            events[emitted] = happen(emitted, cause=cause, by=consumer, hops=cause.hops + 1)
        at = cause.recorded_at + timedelta(milliseconds=20)
        deliveries.append(
            Delivery(
                event=cause,
                consumer=consumer,
                status=Delivery.Status.HANDLED,
                received_at=at,
                handled_at=at + timedelta(milliseconds=8),
                duration=timedelta(milliseconds=8),
                changed_at=at,
                emitted=[str(events[emitted].pk)] if emitted else [],
            )
        )
    Delivery.objects.bulk_create(deliveries)
    made.variant = variants.variant(events.values(), deliveries)
    made.outcome = next((OUTCOMES[each] for each in events if each in OUTCOMES), "")
    for name, value in fields.items():
        setattr(made, name, value)
    made.save()
    return made


def week(now: datetime | None = None, *, flows: int = 40) -> None:
    """Everything at once, for the eye: two ways, a silent worker, failures, an edge that nobody declared."""
    now = now or times.aware(times.now())
    chance = random.Random(7)
    contexts(now, silent=["shipping"])
    minutes(now, SHIPPED, each=9, of=20)
    minutes(now - timedelta(hours=2), [REFUSED[0], *REFUSED[3:]], each=2, of=10)
    at = now.replace(second=0, microsecond=0)
    Minute.objects.create(at=at, type=DECLINED, consumer="orders", count=1, hops=[0, 0, 1])
    Minute.objects.filter(consumer="shipping.schedule_shipment", at=at).update(failed=3, parked=2)
    for number in range(1, flows + 1):
        tree, took = (SHIPPED, chance.lognormvariate(0.5, 1)) if number % 11 else (REFUSED, 0.4)
        flow(now - timedelta(minutes=chance.randrange(2, 59)), tree, took=took, number=number)
    stuck = flow(now - timedelta(minutes=8), SHIPPED[:6], number=flows + 1, variant="", outcome="")
    stuck.state, stuck.waiting_for = Flow.State.ON_ITS_WAY, ["shipping.schedule_shipment"]
    stuck.overdue_at = now - timedelta(minutes=3)
    stuck.save()
    reserved = Event.objects.get(flow=stuck, type=RESERVED)
    Delivery.objects.create(
        event=reserved,
        consumer="shipping.schedule_shipment",
        status=Delivery.Status.PARKED,
        received_at=now,
        changed_at=now,
    )
