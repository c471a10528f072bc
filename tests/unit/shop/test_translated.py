"""The shop's own texts: pages of rows in each state, refusals and messages show translated ones only."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from inventory.models import Reservation, StockItem
from microworkflows.testing import Flow
from orders import operations
from orders.models import Order, Product
from project import service
from shipping.models import Destination
from tests.unit import pseudo_locale
from tests.unit.shop.conftest import DATA, Draft
from tests.unit.shop.test_order_admin import form, page, place

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(draft: Draft, flow: Flow) -> None:
    """Orders with each end and none yet, and what the other contexts keep of orders that they know half."""
    draft()
    for wishes in ({}, {"payment_token": "tok_declined"}, {"lines": {"CUP-RAKU-LTD": 1}}):
        operations.place_order(order=draft(**wishes))
    flow.run()
    for noted in (True, False):
        Reservation.objects.create(order_id=uuid4(), noted=noted, paid=not noted)
    Destination.objects.create(order_id=uuid4())


def html(client: Client, url: str, **sent: object) -> str:
    """Return a page in the invented language, or the one that answers a form."""
    with pseudo_locale.active():
        response = client.post(url, sent, follow=True) if sent else client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def raw(page: str) -> list[str]:
    """Return the raw texts of a page."""
    return pseudo_locale.raw_texts(page, *DATA, "Hamburg")


def test_pages_of_rows_in_each_state_show_no_raw_text(admin_client: Client, rows: None) -> None:
    found = {url: texts for url in pages_of_rows() if (texts := raw(html(admin_client, url)))}

    assert found == {}


def pages_of_rows() -> Iterator[str]:
    """Yield the addresses of the shop's lists and forms, and of the pages of each row."""
    for model in (model for model in admin.site._registry if model._meta.app_label in service.CONTEXTS):
        view = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{view}_changelist")
        if model in (Order, Product, StockItem):
            yield reverse(f"{view}_add")
        for row in model._default_manager.all():
            yield reverse(f"{view}_change", args=[row.pk])
            yield reverse(f"{view}_history", args=[row.pk])
    yield reverse("admin:orders_order_delete", args=[Order.objects.get(state=Order.State.DRAFT).pk])
    yield reverse("admin:orders_product_delete", args=[Product.objects.get(sku="TEA-SENCHA-100").pk])


def test_placing_is_told_and_kept_translated(admin_client: Client, draft: Draft) -> None:
    order = draft()

    answer = html(admin_client, place(order), _place="1")

    assert "⟦ was placed: ⟧" in answer
    assert raw(answer) == []
    assert LogEntry.objects.get().change_message == "⟦Placed.⟧"


def test_refusal_to_place_is_translated(admin_client: Client, draft: Draft) -> None:
    mixed, empty, placed = draft(), draft(lines={}), draft(lines={"TEA-SENCHA-100": 1})
    Product.objects.filter(sku="MUG-STONE-350").update(currency="GBP", active=False)
    operations.place_order(order=placed)

    answers = [html(admin_client, place(order), _place="1") for order in (mixed, empty, placed)]

    assert "⟦ is no longer sold." in answers[0]
    assert "⟦ mixes prices in ⟧EUR ⟦and⟧ GBP" in answers[0]
    assert "⟦ has no lines." in answers[1]
    assert "⟦: it was placed before, " in answers[2]
    assert list(map(raw, answers)) == [[], [], []]


def test_refusal_of_a_draft_is_translated(admin_client: Client, draft: Draft) -> None:
    order = draft()
    stale = form(order)
    saved = html(admin_client, page(order), **form(order, ("TEA-ASSAM-250", 1), city="Hamburg"))

    refused = html(admin_client, page(order), **stale)
    operations.place_order(order=order)
    late = html(admin_client, page(order), **stale)

    assert "⟦city⟧⟦: was ⟧Berlin⟦, is now ⟧Hamburg" in refused
    assert "⟦: was not there, is now ⟧1" in refused
    assert "⟦: it was placed before you saved" in late
    assert list(map(raw, (saved, refused, late))) == [[], [], []]


def test_refusal_of_a_count_or_a_product_is_translated(admin_client: Client, shop: None) -> None:
    tea = StockItem.objects.get(sku="TEA-SENCHA-100")
    StockItem.objects.filter(pk=tea.pk).update(on_hand=38, reserved=3)
    count = reverse("admin:inventory_stockitem_change", args=[tea.pk])

    moved = html(admin_client, count, on_hand=45, seen=40)
    too_few = html(admin_client, count, on_hand=2, seen=38)
    no_sku = html(admin_client, reverse("admin:orders_product_add"), sku="no sku")

    assert "⟦Stock moved while you were counting: ⟧40" in moved
    assert "3⟦ pieces are reserved" in too_few
    assert "⟦Write capitals, digits and single hyphens.⟧" in no_sku
    assert list(map(raw, (moved, too_few, no_sku))) == [[], [], []]
