"""The content of each stage's picture."""

from functools import partial

from migrations_guide.engine.drawing import EVENT, Arrow, Picture, Process
from migrations_guide.engine.stages import APPS


def _by_app(orders: str, payments: str, inventory: str, shipping: str) -> dict[str, str]:
    return dict(zip(APPS, (orders, payments, inventory, shipping), strict=True))


_EMITTED = _by_app("OrderAccepted", "PaymentReceived …", "ItemsReserved …", "ShipmentScheduled")
_HEARS = _by_app("the outcomes", "OrderAccepted", "PaymentReceived", "ItemsReserved")
_CALLS = [
    Arrow("orders", "payments", "charge · refund"),
    Arrow("orders", "inventory", "reserve · issue"),
    Arrow("orders", "shipping", "ship"),
]
_INLINE = [
    Arrow("orders", "payments", "OrderAccepted", EVENT),
    Arrow("payments", "inventory", "PaymentReceived", EVENT),
    Arrow("inventory", "shipping", "ItemsReserved", EVENT),
    Arrow("shipping", "orders", "ShipmentScheduled", EVENT),
]
_web = partial(Process, kind="monolith")
_KNOWN = "RabbitMQ: each event comes once more, and is known already"


def _own(label: str, more: str = "") -> list[Process]:
    return [
        Process(
            label=label.format(app),
            cards={app: f"hears {_HEARS[app]}\n{more}"},
            emits={app: _EMITTED[app]},
            hears=[app],
        )
        for app in APPS
    ]


PICTURES: dict[int, Picture] = {
    0: Picture(
        says="One process holds all four apps. orders calls payments, inventory and shipping; foreign keys lead back to orders.",
        above=_web(
            label="web: one process, one transaction",
            cards=_by_app("place_order()", "billing.charge()", "stock.reserve()", "dispatch.ship()"),
            arrows=_CALLS,
        ),
    ),
    1: Picture(
        says="As in the monolith, and each app has the names of its events written down; nothing is recorded yet.",
        above=_web(
            label="web: one process, one transaction",
            cards=_by_app(
                "OrderAccepted",
                "PaymentReceived, …Declined",
                "ItemsReserved, OutOfStock",
                "ShipmentScheduled",
            ),
            ghosts=dict.fromkeys(APPS, "events.py: only a name"),
            arrows=_CALLS,
        ),
    ),
    2: Picture(
        says="The direct calls still do everything; beside each, the event that it stands for is recorded and relayed, and nobody acts on it.",
        above=_web(
            label="web: one process, one transaction",
            cards=dict.fromkeys(APPS, "its events are recorded"),
            arrows=_CALLS,
            emits=_EMITTED,
        ),
        broker="RabbitMQ: the events pass by, stamped “done”; nobody acts on them",
    ),
    3: Picture(
        says="place_order records one event; the steps follow from events, in the same process and transaction, through the old functions.",
        above=_web(
            label="web: still one process, one transaction; the steps are behind the switch, all inline",
            cards=_by_app(
                "place_order() records an event",
                "legacy.py → billing.charge()",
                "legacy.py → stock.reserve()",
                "legacy.py → dispatch.ship()",
            ),
            arrows=_INLINE,
            emits=_EMITTED,
        ),
        broker=_KNOWN,
    ),
    4: Picture(
        says="As before, and in payments, inventory and shipping the new microworkflow runs first and is rolled back; the two are compared.",
        above=_web(
            label="web: the old functions count; the new ones run beside them, in shadow",
            cards=_by_app(
                "place_order() records an event", "billing.charge()", "stock.reserve()", "dispatch.ship()"
            ),
            ghosts={
                "payments": "take_payment, rolled back",
                "inventory": "reserve_items, rolled back",
                "shipping": "schedule_shipment, rolled back",
            },
            arrows=_INLINE,
            emits=_EMITTED,
        ),
        broker=_KNOWN,
    ),
    5: Picture(
        says="Of ten flows in a hundred payments' own worker does the payment; the monolith's worker goes on from there. All others are done in the web process.",
        above=_web(
            label="web: 90 of 100 flows, all in one transaction",
            cards=dict.fromkeys(APPS, "inline"),
            arrows=_INLINE,
            emits={"orders": "OrderAccepted"},
        ),
        broker="RabbitMQ: the stamp on each event says who acts on it",
        below=[
            Process(
                label="monolith's worker",
                kind="monolith",
                cards={"orders": "goes on inline after payments:\norders, inventory, shipping"},
                hears=["orders"],
            ),
            Process(
                label="payments' worker",
                cards={"payments": "take_payment\n10 of 100 flows"},
                emits={"payments": "PaymentReceived …"},
                hears=["payments"],
            ),
        ],
    ),
    6: Picture(
        says="The web process accepts orders and records OrderAccepted; each context has its own worker. They still share one database, with its foreign keys.",
        above=_web(
            label="web: accepts orders; every flow is live",
            cards={"orders": "place_order() records an event"},
        ),
        broker="RabbitMQ",
        below=_own("{}: worker"),
    ),
    7: Picture(
        says="As before, and each context has its own database; no foreign key leads out of it.",
        above=_web(
            label="web: one project still, started once for each database",
            cards=dict.fromkeys(APPS, "its pages of the admin"),
        ),
        broker="RabbitMQ",
        below=_own("{}: worker"),
        own_databases=True,
    ),
    8: Picture(
        says="Four services, each with its web process, worker and database, know of each other only by events.",
        broker="RabbitMQ",
        below=_own("SERVICE={}", "web server and worker"),
        own_databases=True,
    ),
    9: Picture(
        says="Four services that know of each other only by events; nothing of the monolith is left.",
        broker="RabbitMQ",
        below=_own("service {}", "web server and worker"),
        own_databases=True,
    ),
}
