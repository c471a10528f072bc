"""The acceptance suite finds what is wrong: it is tried on shops whose books are cooked."""

from collections.abc import Sequence
from typing import Any

import pytest

from migrations_guide.engine import acceptance, shop
from migrations_guide.engine.acceptance import DECLINED, OUT_OF_STOCK, SHIPPED
from migrations_guide.engine.browser import Page
from migrations_guide.engine.shop import Order, ShopError

ORDER = Order(id="5eb0a5ba", number="A-000001", total="12.00 EUR", lines={"TEA": 2})


class Books(shop.Shop):
    """A shop with these books and no pages."""

    def __init__(self, **books: Any) -> None:
        self._books = books

    def state(self, order: Order) -> str:
        return str(self._books["state"])

    def payments(self, order: Order) -> list[tuple[str, str]]:
        return list(self._books["payments"])

    def reservations(self, order: Order) -> list[str]:
        return list(self._books["reservations"])

    def shipments(self, order: Order) -> list[str]:
        return list(self._books["shipments"])

    def stock(self) -> dict[str, tuple[int, int]]:
        return dict(self._books["stock"])


def books(
    payments: Sequence[tuple[str, str]], reservations: Sequence[str], shipments: Sequence[str], **more: Any
) -> Books:
    return Books(payments=payments, reservations=reservations, shipments=shipments, **more)


RECEIVED = [("Received", "12.00 EUR")]


@pytest.mark.parametrize(
    ("end", "cooked"),
    [
        (SHIPPED, books(RECEIVED, ["Issued"], ["CP1"])),
        (DECLINED, books([("Declined: card declined", "12.00 EUR")], [], [])),
        (DECLINED, books([("Declined: card declined", "12.00 EUR")], ["Dropped"], [])),
        (OUT_OF_STOCK, books([("Refunded", "12.00 EUR")], ["Out of stock"], [])),
    ],
)
def test_books_that_go_with_the_end_are_agreed_with(end: str, cooked: Books) -> None:
    assert acceptance.disagreements(cooked, ORDER, end) == []


@pytest.mark.parametrize(
    ("end", "cooked", "said"),
    [
        (SHIPPED, books([], ["Issued"], ["CP1"]), "the payments are []"),
        (SHIPPED, books(RECEIVED * 2, ["Issued"], ["CP1"]), "the payments are [('Received'"),
        (
            SHIPPED,
            books([("Received", "1.00 EUR")], ["Issued"], ["CP1"]),
            "the payments are [('Received', '1.00",
        ),
        (SHIPPED, books(RECEIVED, ["Reserved"], ["CP1"]), "the reservations are ['Reserved']"),
        (SHIPPED, books(RECEIVED, ["Issued"], []), "the shipments are []"),
        (SHIPPED, books(RECEIVED, ["Issued"], ["CP1", "CP2"]), "the shipments are ['CP1', 'CP2']"),
        (
            DECLINED,
            books([("Declined: no", "12.00 EUR")], ["Reserved"], []),
            "the reservations are ['Reserved']",
        ),
        (OUT_OF_STOCK, books(RECEIVED, ["Out of stock"], []), "the payments are [('Received'"),
        (OUT_OF_STOCK, books([("Refunded", "12.00 EUR")], ["Out of stock"], ["CP1"]), "the shipments are"),
    ],
)
def test_books_that_do_not_go_with_the_end_are_told(end: str, cooked: Books, said: str) -> None:
    (found,) = acceptance.disagreements(cooked, ORDER, end)

    assert said in found


def test_wrong_end_is_told() -> None:
    with pytest.raises(ShopError, match="must end as 'Shipped'; it is 'Cancelled: payment declined'"):
        acceptance.ends(books([], [], [], state=DECLINED), ORDER, SHIPPED)


def test_pieces_that_left_the_shelf_twice_are_told() -> None:
    cooked = books(RECEIVED, ["Issued"], ["CP1"], state=SHIPPED, stock={"TEA": (6, 0), "MUG": (3, 0)})

    with pytest.raises(ShopError, match=r"'TEA': \(\(6, 0\), \(8, 0\)\)\}"):
        acceptance.shelves_add_up(cooked, [ORDER], before={"TEA": (10, 0), "MUG": (3, 0)})


def test_page_tells_rows_forms_and_messages() -> None:
    page = Page(
        address="http://shop.example/",
        html="""
        <ul class="messagelist"><li class="success">Order <b>A-1</b> was placed.</li></ul><ul><li>not this</li></ul>
        <form id="order_form"><input name="city" value="Berlin"><input type="checkbox" name="gift">
          <select name="pays"><option value="a">A</option><option value="b" selected>B</option></select>
          <select name="country"><option value="DE">Germany</option><option value="FR">France</option></select>
          <textarea name="note">Ring twice</textarea><input type="submit" name="_save" value="Save"></form>
        <form id="other"><input name="q" value=""></form>
        <table id="result_list"><thead><tr><th scope="col"><a href="?o=1">Number</a></th><th scope="col">State</th></tr>
          </thead><tbody><tr><th><a href="/order/1/">A-1</a></th><td><span>Shipped</span></td></tr></tbody></table>
        <table><tbody><tr><td>not this</td></tr></tbody></table>
        """,
    )

    assert page.messages == ["Order A-1 was placed."]
    assert page.forms == {
        "order_form": {"city": "Berlin", "pays": "b", "country": "DE", "note": "Ring twice"},
        "other": {"q": ""},
    }
    assert page.table == [{"Number": "A-1", "State": "Shipped", "href": "/order/1/"}]
