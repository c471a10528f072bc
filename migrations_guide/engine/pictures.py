"""What the picture of each stage shows."""

from migrations_guide.engine.drawing import Arrow, Card, Database, Picture, Process
from migrations_guide.engine.stages import APPS

_TABLES = {app: f"{app}'{'' if app.endswith('s') else 's'} tables" for app in APPS}
_KEYS = [(app, "orders") for app in APPS[1:]]
_SHARED = Database(label="the monolith's database", tables=_TABLES, keys=_KEYS)
_EMITTED = {
    "orders": ["OrderAccepted"],
    "payments": ["PaymentReceived …"],
    "inventory": ["ItemsReserved …"],
    "shipping": ["ShipmentScheduled"],
}
_CALLS = [
    Arrow(start="orders", end="payments", label="charge · refund"),
    Arrow(start="orders", end="inventory", label="reserve · issue"),
    Arrow(start="orders", end="shipping", label="ship"),
]
_INLINE = [
    Arrow(start="orders", end="payments", label="OrderAccepted", event=True),
    Arrow(start="payments", end="inventory", label="PaymentReceived", event=True),
    Arrow(start="inventory", end="shipping", label="ItemsReserved", event=True),
    Arrow(start="shipping", end="orders", label="ShipmentScheduled", event=True),
]
_HEARS = {
    "orders": "hears what became of it",
    "payments": "hears OrderAccepted",
    "inventory": "hears PaymentReceived",
    "shipping": "hears ItemsReserved",
}


def _own(label: str, *more: str) -> list[Process]:
    return [
        Process(
            label=label.format(app),
            span=(app, app),
            cards={app: Card(lines=[_HEARS[app], *more])},
            emits={app: _EMITTED[app]},
            hears=[app],
        )
        for app in APPS
    ]


def _own_databases() -> list[Database]:
    return [Database(label=f"database {app}", span=(app, app)) for app in APPS]


PICTURES: dict[int, Picture] = {
    0: Picture(
        says="One process holds all four apps. orders calls payments, inventory and shipping; foreign keys lead back to orders.",
        above=[
            Process(
                label="web: one process, one transaction",
                kind="monolith",
                cards={
                    "orders": Card(lines=["place_order()"]),
                    "payments": Card(lines=["billing.charge()"]),
                    "inventory": Card(lines=["stock.reserve()"]),
                    "shipping": Card(lines=["dispatch.ship()"]),
                },
                arrows=_CALLS,
            )
        ],
        databases=[_SHARED],
    ),
    1: Picture(
        says="As in the monolith, and each app has the names of its events written down; nothing is recorded yet.",
        above=[
            Process(
                label="web: one process, one transaction",
                kind="monolith",
                cards={
                    "orders": Card(lines=["OrderAccepted"], ghost="events.py: a name only"),
                    "payments": Card(lines=["PaymentReceived, …Declined"], ghost="events.py: names only"),
                    "inventory": Card(lines=["ItemsReserved, OutOfStock"], ghost="events.py: names only"),
                    "shipping": Card(lines=["ShipmentScheduled"], ghost="events.py: a name only"),
                },
                arrows=_CALLS,
            )
        ],
        databases=[_SHARED],
    ),
    2: Picture(
        says="The direct calls still do everything; beside each, the event that it stands for is recorded and relayed, and nobody acts on it.",
        above=[
            Process(
                label="web: one process, one transaction",
                kind="monolith",
                cards={app: Card(lines=["its events are recorded"]) for app in APPS},
                arrows=_CALLS,
                emits=_EMITTED,
            )
        ],
        broker="RabbitMQ: the events pass by, stamped “done”; nobody acts on them",
        databases=[_SHARED],
    ),
    3: Picture(
        says="place_order records one event; the steps follow from events, in the same process and transaction, through the old functions.",
        above=[
            Process(
                label="web: still one process, one transaction; the steps are behind the switch, all inline",
                kind="monolith",
                cards={
                    "orders": Card(lines=["place_order() records an event"]),
                    "payments": Card(lines=["legacy.py → billing.charge()"]),
                    "inventory": Card(lines=["legacy.py → stock.reserve()"]),
                    "shipping": Card(lines=["legacy.py → dispatch.ship()"]),
                },
                arrows=_INLINE,
                emits=_EMITTED,
            )
        ],
        broker="RabbitMQ: each event comes once more, and is known already",
        databases=[_SHARED],
    ),
    4: Picture(
        says="As before, and in payments, inventory and shipping the new microworkflow runs first and is rolled back; the two are compared.",
        above=[
            Process(
                label="web: the old functions count; the new ones run beside them, in shadow",
                kind="monolith",
                cards={
                    "orders": Card(lines=["place_order() records an event"]),
                    "payments": Card(lines=["billing.charge()"], ghost="take_payment, rolled back"),
                    "inventory": Card(lines=["stock.reserve()"], ghost="reserve_items, rolled back"),
                    "shipping": Card(lines=["dispatch.ship()"], ghost="schedule_shipment, rolled back"),
                },
                arrows=_INLINE,
                emits=_EMITTED,
            )
        ],
        broker="RabbitMQ: each event comes once more, and is known already",
        databases=[_SHARED],
    ),
    5: Picture(
        says="Of ten flows in a hundred payments' own worker does the payment; the monolith's worker goes on from there. All others are done in the web process.",
        above=[
            Process(
                label="web: 90 of 100 flows, all in one transaction",
                kind="monolith",
                cards={app: Card(lines=["inline"]) for app in APPS},
                arrows=_INLINE,
                emits={"orders": ["OrderAccepted"]},
            )
        ],
        broker="RabbitMQ: the stamp on each event says who acts on it",
        below=[
            Process(
                label="monolith's worker",
                kind="monolith",
                span=("orders", "orders"),
                cards={
                    "orders": Card(lines=["goes on inline after payments:", "orders, inventory, shipping"])
                },
                hears=["orders"],
            ),
            Process(
                label="payments' worker",
                span=("payments", "payments"),
                cards={"payments": Card(lines=["take_payment", "10 of 100 flows"])},
                emits={"payments": ["PaymentReceived …"]},
                hears=["payments"],
            ),
        ],
        databases=[_SHARED],
    ),
    6: Picture(
        says="The web process accepts orders and records OrderAccepted; each context has its own worker. They still share one database, with its foreign keys.",
        above=[
            Process(
                label="web: accepts orders; every flow is live",
                kind="monolith",
                cards={"orders": Card(lines=["place_order() records an event"])},
            )
        ],
        broker="RabbitMQ",
        below=_own("{}: worker"),
        databases=[_SHARED],
    ),
    7: Picture(
        says="As before, and each context has its own database; no foreign key leads out of it.",
        above=[
            Process(
                label="web: one project still, started once for each database",
                kind="monolith",
                cards={app: Card(lines=["its pages of the admin"]) for app in APPS},
            )
        ],
        broker="RabbitMQ",
        below=_own("{}: worker"),
        databases=_own_databases(),
    ),
    8: Picture(
        says="Four services, each with its web process, worker and database, know of each other only by events.",
        broker="RabbitMQ",
        below=_own("SERVICE={}", "web server and worker"),
        databases=_own_databases(),
    ),
    9: Picture(
        says="Four services that know of each other only by events; nothing of the monolith is left.",
        broker="RabbitMQ",
        below=_own("service {}", "web server and worker"),
        databases=_own_databases(),
    ),
}
