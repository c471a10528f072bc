"""The shop as somebody in its office meets it: through the pages of the admin, wherever they are served."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from http.cookiejar import CookieJar

from migrations_guide.engine.browser import Browser, Page

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

    def __init__(self, sites: Mapping[str, str], *, cookies: Mapping[str, CookieJar] | None = None) -> None:
        """Log in where the first page is asked for, unless the cookies tell who it is.

        Args:
            sites: The base address by app.
            cookies: Kept by app, for shops that one person visits one after the other.
        """
        self._sites = sites
        self._cookies = cookies or {app: CookieJar() for app in sites}
        self._browsers: dict[str, Browser] = {}
        self._door = threading.Lock()

    def place(self, *, pays: str, lines: Mapping[str, int]) -> Order:
        """Write an order, save it, and press *Place order*."""
        browser = self._browser("orders")
        form = {"payment_token": pays, "lines-TOTAL_FORMS": str(len(lines)), **_ADDRESS}
        for index, (sku, quantity) in enumerate(lines.items()):
            line = {"id": "", "order": "", "product": self._products[sku], "quantity": str(quantity)}
            form |= {f"lines-{index}-{name}": value for name, value in line.items()}
        draft = browser.submit(self._form, "order_form", {**form, "_continue": "1"})
        placed = browser.submit(draft, "order_form", {"_place": "1"}, look=False)
        order_id = placed.address.split("/")[-3]
        listed = browser.get("/admin/orders/order/", q=order_id)
        # Not by the message on the page: of two orders at once, one page may show those of both.
        row = next(iter(listed.table), {"State": "Draft"})
        if row["State"] == "Draft":
            said = [*draft.messages, *placed.messages, *listed.messages]
            raise ShopError(f"The order was not placed: {' '.join(said) or placed.address}")
        return Order(id=order_id, number=row["Number"], total=row["Total"], lines=dict(lines))

    def look_at(self, order: Order) -> None:
        """Open the page of an order.

        Raises:
            ShopError: it is not there.
        """
        page = self._browser("orders").get(f"/admin/orders/order/{order.id}/change/")
        if order.number not in page.html:
            raise ShopError(f"The page of order {order.number} does not show it: {page.address}")

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
        browser = self._browser("inventory")
        saved = browser.submit(browser.get(href), "stockitem_form", {"on_hand": str(on_hand)})
        if (now := self.stock()[sku][0]) != on_hand:
            raise ShopError(f"{on_hand} of {sku} were counted, not {now}: {' '.join(saved.messages)}")

    def rows(self, model: str, **query: str) -> list[dict[str, str]]:
        """Return the rows of a model's list."""
        return self._browser(model.partition("/")[0]).get(f"/admin/{model}/", **query).table

    @cached_property
    def _products(self) -> dict[str, str]:
        """The key of each product, by SKU; nobody changes the catalogue meanwhile."""
        return {row["SKU"]: row["href"].split("/")[-3] for row in self.rows("orders/product")}

    @cached_property
    def _form(self) -> Page:
        """The empty form of an order, which serves for every order."""
        return self._browser("orders").get("/admin/orders/order/add/")

    def _browser(self, app: str) -> Browser:
        with self._door:
            site = self._sites[app]
            if site not in self._browsers:
                self._browsers[site] = _logged_in(site, self._cookies[app])
            return self._browsers[site]


def money(text: str) -> Decimal:
    """Return the amount in a text such as ``12.00 EUR``."""
    return Decimal(text.partition(" ")[0])


def _logged_in(site: str, cookies: CookieJar) -> Browser:
    browser = Browser(site, cookies=cookies)
    page = browser.get("/admin/login/", next="/admin/")
    if "login-form" in page.forms:
        page = browser.submit(page, "login-form", {"username": USER, "password": PASSWORD})
    if "login-form" in page.forms:
        raise ShopError(f"{site} lets user {USER} not in: {' '.join(page.messages)}")
    return browser
