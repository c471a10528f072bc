"""Facts of the project in projects/handover, as a look at it finds them, so that a test of what reads them needs no look."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

from microworkflows_xray.facts import Access, App, Call, Import, Model, Place, Relation, Signal, Static

PROJECT = Path(__file__).parent / "projects/handover"
_ORDERS, _STOCK = "shop.orders", "shop.stock"


def copied(folder: Path) -> Path:
    """Copy the project to a folder that a test may change."""
    return Path(shutil.copytree(PROJECT, folder / "handover", ignore=shutil.ignore_patterns("__pycache__")))


def at(function: str, text: str, root: Path = PROJECT) -> Place:
    """Return the place of a text in the module that holds a function; the empty text is its first line."""
    app = "orders" if function.startswith(_ORDERS) else "stock"
    file = "/".join(function.split(".")[:3]) + ".py"
    lines = (root / file).read_text().splitlines()
    line = next(number for number, each in enumerate(lines, start=1) if text in each)
    return Place(file, line, function if re.search(r"\.py$", function) is None else "", app)


def static(root: Path = PROJECT) -> Static:
    """Return the facts."""

    def place(function: str, text: str) -> Place:
        return at(function, text, root)

    put_back, release = f"{_STOCK}.services.put_back", f"{_STOCK}.receivers.release"
    update_stock = f"{_STOCK}.creators.StockOrderCreator.update_stock"
    template = f"{_ORDERS}.creators.OrderCreator.place"
    return_order, close_order = f"{_ORDERS}.services.return_order", f"{_ORDERS}.services.close_order"
    order, line = (
        place(f"{_ORDERS}.models.Order", "class Order"),
        place(f"{_ORDERS}.models.Line", "class Line"),
    )
    stock = place(f"{_STOCK}.models.Stock", "class Stock")
    reservation = place(f"{_STOCK}.models.Reservation", "class Reservation")
    return Static(
        root=str(root),
        settings="shop.settings",
        apps=(
            App("orders", _ORDERS, str(root / "shop/orders")),
            App("stock", _STOCK, str(root / "shop/stock")),
        ),
        models=(
            Model("orders.Line", "orders_line", "orders", ("id", "order_id", "quantity", "sku"), line),
            Model("orders.Order", "orders_order", "orders", ("id", "number"), order),
            Model("stock.Reservation", "stock_reservation", "stock", ("id", "order_id"), reservation),
            Model("stock.Stock", "stock_stock", "stock", ("available", "id", "sku"), stock),
        ),
        relations=(
            Relation("orders.Line", "order", "orders.Order", "foreign key", "CASCADE", True, line),
            Relation(
                "stock.Reservation", "order", "orders.Order", "foreign key", "CASCADE", True, reservation
            ),
        ),
        imports=(
            Import(
                f"{_STOCK}.services", "stock", "import", Place("shop/orders/services.py", 5, "", "orders")
            ),
            Import(
                f"{_ORDERS}.models.Order", "orders", "import", Place("shop/stock/services.py", 3, "", "stock")
            ),
            Import(
                f"{_ORDERS}.creators.OrderCreator",
                "orders",
                "import",
                Place("shop/stock/creators.py", 3, "", "stock"),
            ),
        ),
        accesses=(
            Access("orders_line", "insert", None, "query", place(template, "Line.objects.create")),
            Access("orders_order", "insert", None, "query", place(template, "Order.objects.create")),
            Access("stock_reservation", "delete", None, "query", place(release, "delete()")),
            Access("stock_reservation", "insert", None, "query", place(update_stock, "get_or_create")),
            Access(
                "stock_reservation",
                "read",
                None,
                "query",
                place(f"{_STOCK}.services.is_reserved", "exists()"),
            ),
            Access("stock_stock", "update", ("available",), "query", place(put_back, "update(")),
            Access("stock_stock", "update", ("available",), "query", place(update_stock, "update(")),
        ),
        calls=(
            Call(close_order, f"{_STOCK}.services.is_reserved", place(close_order, "is_reserved"), "call"),
            Call(return_order, put_back, place(return_order, "put_back"), "call"),
            Call(template, update_stock, place(template, "self.update_stock"), "template method"),
            Call(
                f"{_ORDERS}.creators.place_order",
                template,
                place(f"{_ORDERS}.creators.place_order", "creator.place"),
            ),
        ),
        signals=(
            Signal(f"{_ORDERS}.signals.order_closed", "receiver", "", release, place(release, "def release")),
            Signal(
                f"{_ORDERS}.signals.order_closed",
                "sender",
                "orders.Order",
                close_order,
                place(close_order, "send("),
            ),
        ),
    )


def renamed(facts: Static, before: str, after: str) -> Static:
    """Return the facts with one text for another in all places, as if a file or an app were called otherwise."""

    def changed(value: Any) -> Any:
        if isinstance(value, str):
            slashed = value.replace(before.replace(".", "/"), after.replace(".", "/"))
            return slashed.replace(before, after)
        if isinstance(value, tuple):
            return tuple(changed(each) for each in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = (each.name for each in dataclasses.fields(value))
            return dataclasses.replace(value, **{name: changed(getattr(value, name)) for name in names})
        return value

    result: Static = changed(facts)
    return result
