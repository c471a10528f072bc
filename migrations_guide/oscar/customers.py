"""Customers over HTTP: guests who go through Oscar's checkout, and the one of the staff who cancels."""

import re
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from http.cookiejar import CookieJar
from typing import Self
from urllib.parse import urlencode

_ADDRESS = {
    "first_name": "Jane",
    "last_name": "Doe",
    "line1": "1 Road",
    "line4": "Town",
    "postcode": "N1 9RT",
    "country": "GB",
}


class Browser:
    """One person's cookies."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def open(self, path: str, form: Mapping[str, object] | None = None) -> tuple[str, str]:
        """Get a page, or post a form to it; return where that led, and the page."""
        token = {cookie.name: cookie.value or "" for cookie in self._cookies}.get("csrftoken", "")
        request = urllib.request.Request(  # noqa: S310  (http, as the walk serves it)
            self._site + path,
            data=urlencode(form).encode() if form is not None else None,
            headers={"X-CSRFToken": token},
        )
        with self._opener.open(request, timeout=120) as answer:
            return answer.geturl(), answer.read().decode()


def buy(site: str, product: int, quantity: int = 1) -> str | None:
    """Order as a guest; return the order's number, or None where it was sold out."""
    guest = Browser(site)
    guest.open(f"/basket/add/{product}/", {"quantity": quantity})
    guest.open("/checkout/", {"username": "guest@example.com", "options": "anonymous"})
    guest.open("/checkout/shipping-address/", _ADDRESS)
    for step in ("shipping-method", "payment-method", "preview"):
        guest.open(f"/checkout/{step}/")
    where, page = guest.open("/checkout/preview/", {"action": "place_order"})
    number = re.search(r"\b1\d{5}\b", page)
    return number[0] if number and where.endswith("/thank-you/") else None


def cancel(site: str, number: str) -> None:
    """Cancel an order in the dashboard."""
    staff = Browser(site)
    staff.open("/dashboard/login/")
    staff.open("/dashboard/login/", {"username": "sam@example.com", "password": "a password of sam"})
    staff.open(
        f"/dashboard/orders/{number}/", {"order_action": "change_order_status", "new_status": "Cancelled"}
    )


def rush(site: str, product: int, *, people: int) -> list[str | None]:
    """Let people order one piece each, all at once."""
    bought: list[str | None] = []
    threads = [threading.Thread(target=lambda: bought.append(buy(site, product))) for _ in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bought


class Crowd:
    """People who order again and again, from the start of the block to its end."""

    def __init__(self, site: str, product: int, *, people: int) -> None:
        self._over = threading.Event()
        self.count = Counter[str]()
        self._threads = [threading.Thread(target=self._order, args=(site, product)) for _ in range(people)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _order(self, site: str, product: int) -> None:
        while not self._over.is_set():
            try:
                self.count["orders" if buy(site, product) else "sold out"] += 1
            except (OSError, urllib.error.HTTPError) as error:
                self.count[f"failed: {error}"] += 1
