"""Facts made by hand: a shop of five contexts with a recording, and a project with any number of apps."""

from __future__ import annotations

from microworkflows_xray.facts import (
    Access,
    App,
    Call,
    Gap,
    Import,
    Model,
    Observed,
    Place,
    Relation,
    Signal,
    Static,
    Task,
    Transaction,
    Verb,
)


def place(app: str, function: str, line: int = 1, module: str = "operations") -> Place:
    """Return a line in a module of an app."""
    return Place(f"{app}/{module}.py", line, f"{app}.{module}.{function}" if function else "", app)


def model(app: str, name: str, *columns: str) -> Model:
    """Return a model whose table is ``app_name``."""
    return Model(
        f"{app}.{name}", f"{app}_{name.lower()}", app, ("id", *columns), place(app, name, 3, "models")
    )


def access(
    verb: Verb, table: str, at: Place, *columns: str, how: str = "query", joins: tuple[str, ...] = ()
) -> Access:
    """Return an access; with no columns, it is one of whole rows."""
    return Access(table, verb, columns or None, how, at, joins)


def key(
    app: str, field: str, to: str, line: int, on_delete: str = "CASCADE", constraint: bool = True
) -> Relation:
    """Return a foreign key, named as ``Model.field`` of the app."""
    name = field.partition(".")[0]
    return Relation(
        f"{app}.{name}",
        field.partition(".")[2],
        to,
        "foreign key",
        on_delete,
        constraint,
        place(app, name, line, "models"),
    )


ACCEPT = place("orders", "accept", 20)
CAPTURE = place("payments", "capture", 12)
RESERVE = place("stock", "reserve", 31)
SHIP = place("shipping", "dispatch", 8)
EXPORT = place("orders", "export", 77, "reports")

SHOP_ACCESSES = (
    access("insert", "orders_order", ACCEPT, how="save"),
    access("insert", "orders_line", ACCEPT, how="related manager"),
    access("update", "stock_level", ACCEPT, "reserved", how="F() update"),
    access("read", "catalogue_product", ACCEPT, "id", "price"),
    access("insert", "payments_payment", ACCEPT, how="save"),
    access("update", "payments_payment", CAPTURE, "state"),
    access("update", "orders_order", CAPTURE, "paid_at", "state"),
    access("read", "orders_order", CAPTURE, joins=("auth_user", "orders_line")),
    access("update", "stock_level", RESERVE, "reserved"),
    access("read", "catalogue_product", RESERVE, joins=("stock_level",)),
    access("insert", "shipping_parcel", SHIP, how="save"),
    access("update", "orders_order", SHIP, "state"),
    access("read", "orders_order", SHIP, "address"),
    access("read", "orders_order", EXPORT, joins=("catalogue_product", "payments_payment")),
    access("delete", "payments_refund", EXPORT, how="SQL"),
    access("read", "catalogue_product", place("catalogue", "search", 5)),
    access("read", "stock_level", place("catalogue", "availability", 40), "on_hand", "reserved"),
    access("read", "auth_user", ACCEPT, "email"),
)

SHOP = Static(
    root="shop",
    settings="shop.settings",
    apps=(
        *(App(label, label, label) for label in ("catalogue", "orders", "payments", "shipping", "stock")),
        App("auth", "django.contrib.auth", "django/contrib/auth", "installed"),
        App("contenttypes", "django.contrib.contenttypes", "django/contrib/contenttypes", "installed"),
    ),
    models=(
        model("auth", "User", "email"),
        model("catalogue", "Category", "name"),
        model("catalogue", "Product", "category_id", "price", "title"),
        model("orders", "Line", "order_id", "product_id", "quantity"),
        model("orders", "Order", "address", "customer_id", "paid_at", "state"),
        model("payments", "Payment", "amount", "order_id", "state"),
        model("payments", "Refund", "payment_id"),
        model("shipping", "Parcel", "order_id"),
        model("stock", "Level", "on_hand", "product_id", "reserved"),
    ),
    relations=(
        key("catalogue", "Product.category", "catalogue.Category", 14),
        key("orders", "Line.order", "orders.Order", 31),
        key("orders", "Line.product", "catalogue.Product", 32, "PROTECT"),
        key("orders", "Order.customer", "auth.User", 12, "SET_NULL"),
        key("payments", "Payment.order", "orders.Order", 9, "PROTECT"),
        key("payments", "Refund.payment", "payments.Payment", 22),
        key("shipping", "Parcel.order", "orders.Order", 7, "CASCADE", constraint=False),
        key("stock", "Level.product", "catalogue.Product", 6),
        Relation("stock.Level", "reason", "*", "generic", "", False, place("stock", "Level", 11, "models")),
    ),
    imports=(
        Import("catalogue.models.Product", "catalogue", "import", place("orders", "", 3)),
        Import("orders.models.Order", "orders", "import", place("payments", "", 4)),
        Import("orders.models.Order", "orders", "loader", place("shipping", "dispatch", 9)),
        Import("payments.operations.open_payment", "payments", "import", place("orders", "", 4)),
        Import("catalogue.Product", "catalogue", "string", place("orders", "Line", 32, "models")),
        Import("catalogue.models.Product", "catalogue", "import", place("stock", "", 2)),
    ),
    accesses=SHOP_ACCESSES,
    calls=(
        Call("orders.operations.accept", "payments.operations.open_payment", place("orders", "accept", 27)),
        Call("orders.operations.accept", "stock.operations.reserve", place("orders", "accept", 28)),
        Call("orders.operations.accept", "orders.tasks.confirm", place("orders", "accept", 30), "on_commit"),
    ),
    signals=(
        Signal(
            "django.db.models.signals.post_save", "receiver", "orders.Order", "shipping.receivers.prepare",
            place("shipping", "prepare", 5, "receivers"),
        ),
    ),
    tasks=(Task("shipping.tasks.print_label", "celery", "enqueued", place("orders", "accept", 33)),),
    excluded=("orders/migrations/0001_initial.py", "tests/test_orders.py"),
    seconds=1.4,
    peak_megabytes=88.0,
)  # fmt: skip

SHOP_RECORDING = Observed(
    source="middleware",
    sampled=0.25,
    units=400,
    transactions=(
        Transaction(
            "request", "POST orders:accept", 120, SHOP_ACCESSES[:5], ("orders.tasks.confirm", "shipping.tasks.print_label"),
            ("pay.example:443",), 3.6, 42.0,
        ),
        Transaction("atomic", "payments.operations.capture", 95, SHOP_ACCESSES[5:8], (), (), 0.0, 4.75),
        Transaction("statement", "stock.operations.reserve", 10, SHOP_ACCESSES[8:10], (), (), 0.0, 0.1),
        Transaction(
            "task", "orders.tasks.cancel", 4,
            (access("delete", "shipping_parcel", place("orders", "cancel", 90), how="cascade"),
             access("update", "orders_order", place("orders", "cancel", 91), "state")),
            (), (), 0.0, 0.4,
        ),
    ),
    executed=(
        "orders.operations.accept", "payments.operations.capture", "stock.operations.reserve", "catalogue.operations.search",
        "catalogue.operations.availability", "shipping.operations.dispatch", "orders.operations.cancel",
    ),
    django="5.2", python="3.12", recorded_at="2026-11-26T12:00:00Z",
)  # fmt: skip

GAPS = (
    Gap("app loyalty", "its models do not import: No module named 'redis_points'"),
    Gap("URL configuration shop.urls", "it does not import: No module named 'shop.secrets'"),
)


def wide(apps: int) -> Static:
    """Return a project of many apps in groups of six: each app has three models and leans on its group, some on a distant app."""
    labels = [f"{('sales', 'care', 'people', 'money', 'things')[n // 6 % 5]}_{n:02}" for n in range(apps)]
    models, relations, accesses, imports = [], [], [], []
    for n, label in enumerate(labels):
        models += [model(label, name, "state") for name in ("Account", "Entry", "Note")]
        relations += [
            key(label, "Entry.account", f"{label}.Account", 9),
            key(label, "Note.entry", f"{label}.Entry", 15),
        ]
        near = labels[n // 6 * 6 + (n + 1) % 6] if n // 6 * 6 + (n + 1) % 6 < apps else labels[0]
        far = labels[(n * 7 + 3) % apps]
        relations.append(key(label, "Entry.source", f"{near}.Account", 11, "PROTECT"))
        for turn in range(n % 5 + 1):
            accesses.append(
                access("update", f"{near}_entry", place(label, f"post_{turn}", 10 + turn), "state")
            )
            accesses.append(
                access("insert", f"{label}_entry", place(label, f"post_{turn}", 9 + turn), how="save")
            )
        if n % 3 == 0:
            accesses.append(
                access("read", f"{far}_account", place(label, "overview", 50), joins=(f"{label}_entry",))
            )
            imports.append(Import(f"{far}.models.Account", far, "import", place(label, "", 2)))
    return Static(
        root="wide",
        settings="wide.settings",
        apps=tuple(App(label, label, label) for label in labels),
        models=tuple(models),
        relations=tuple(relations),
        imports=tuple(imports),
        accesses=tuple(accesses),
    )
