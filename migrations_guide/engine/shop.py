"""The shop as somebody in its office meets it: through the pages of the admin, wherever they are served."""

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from migrations_guide.engine.browser import Browser

USER, PASSWORD = "guide", "walk-the-stages"

_ADDRESS = {
    "customer_name": "Sample Customer",
    "street": "Example Street 1",
    "postcode": "10115",
    "city": "Berlin",
    "country": "DE",
}


class ShopError(AssertionError):
    """The shop does not do what it must."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order that was placed."""

    id: str
    number: str
    total: str
    """With its currency, as the admin shows it."""
    lines: Mapping[str, int]
    """Pieces by SKU."""


class Shop:
    """The pages of the four apps; each at its own address, or all at the same."""

    def __init__(self, sites: Mapping[str, str]) -> None:
        """Log in.

        Args:
            sites: The base address by app.
        """
        browsers = {site: _logged_in(site) for site in set(sites.values())}
        self._browsers = {app: browsers[site] for app, site in sites.items()}

    def place(self, *, pays: str, lines: Mapping[str, int]) -> Order:
        """Write an order, save it, and press *Place order*."""
        browser = self._browsers["orders"]
        products = {row["SKU"]: row["href"].split("/")[-3] for row in self.rows("orders/product")}
        form = {"payment_token": pays, "lines-TOTAL_FORMS": str(len(lines)), **_ADDRESS}
        for index, (sku, quantity) in enumerate(lines.items()):
            line = {"id": "", "order": "", "product": products[sku], "quantity": str(quantity)}
            form |= {f"lines-{index}-{name}": value for name, value in line.items()}
        draft = browser.submit(
            browser.get("/admin/orders/order/add/"), "order_form", {**form, "_continue": "1"}
        )
        placed = browser.submit(draft, "order_form", {"_place": "1"})
        order_id = urllib.parse.urlsplit(placed.address).path.split("/")[-3]
        # Not by the message on the page: of two orders at once, one page may show those of both.
        row = next(iter(self.rows("orders/order", q=order_id)), {"State": "Draft"})
        if row["State"] == "Draft":
            raise ShopError(f"The order was not placed: {' '.join(placed.messages) or placed.address}")
        return Order(id=order_id, number=row["Number"], total=row["Total"], lines=dict(lines))

    def state(self, order: Order) -> str:
        """Return an order's state, as its list shows it."""
        (row,) = self.rows("orders/order", q=order.number)
        return row["State"]

    def payments(self, order: Order) -> list[tuple[str, str]]:
        """Return state and amount of each payment of an order."""
        return [(row["State"], row["Amount"]) for row in self.rows("payments/payment", q=order.id)]

    def reservations(self, order: Order) -> list[str]:
        """Return the state of each reservation for an order."""
        return [row["State"] for row in self.rows("inventory/reservation", q=order.id)]

    def shipments(self, order: Order) -> list[str]:
        """Return the tracking number of each shipment of an order."""
        return [row["Tracking number"] for row in self.rows("shipping/shipment", q=order.id)]

    def stock(self) -> dict[str, tuple[int, int]]:
        """Return, by SKU, how many pieces lie on the shelf and how many of those are reserved."""
        return {
            row["SKU"]: (int(row["On hand"]), int(row["Reserved"]))
            for row in self.rows("inventory/stockitem")
        }

    def count(self, sku: str, *, on_hand: int) -> None:
        """Write down how many pieces of a product lie on the shelf, and save it."""
        href = next(row["href"] for row in self.rows("inventory/stockitem") if row["SKU"] == sku)
        browser = self._browsers["inventory"]
        saved = browser.submit(browser.get(href), "stockitem_form", {"on_hand": str(on_hand)})
        if (now := self.stock()[sku][0]) != on_hand:
            raise ShopError(f"{on_hand} of {sku} were counted, not {now}: {' '.join(saved.messages)}")

    def rows(self, model: str, **query: str) -> list[dict[str, str]]:
        """Return the rows of a model's list."""
        return self._browsers[model.partition("/")[0]].get(f"/admin/{model}/", **query).table


def money(text: str) -> Decimal:
    """Return the amount in a text such as ``12.00 EUR``."""
    return Decimal(text.partition(" ")[0])


def _logged_in(site: str) -> Browser:
    browser = Browser(site)
    page = browser.submit(
        browser.get("/admin/login/", next="/admin/"), "login-form", {"username": USER, "password": PASSWORD}
    )
    if "login-form" in page.forms:
        raise ShopError(f"{site} lets user {USER} not in: {' '.join(page.messages)}")
    return browser
