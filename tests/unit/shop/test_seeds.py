"""The sample catalogue and stock: complete, and the same again after a second run."""

import io

from django.core.management import call_command

from inventory import samples as stock_samples
from inventory.models import StockItem
from microworkflows.testing import Flow
from orders import operations
from orders import samples as catalogue_samples
from orders.models import Product
from tests.unit.shop.conftest import Draft


def seed() -> str:
    said = io.StringIO()
    call_command("seed_catalogue", stdout=said)
    call_command("seed_stock", stdout=said)
    return said.getvalue()


def test_both_contexts_have_samples_of_the_same_products() -> None:
    assert {sample.sku for sample in catalogue_samples.SAMPLES} == {
        sample.sku for sample in stock_samples.SAMPLES
    }


def test_seeding_says_what_it_did(db: None) -> None:
    said = seed()

    assert said.splitlines() == [
        "11 products are in the catalogue.",
        "11 products are in stock, or deliberately not.",
    ]


def test_seeding_twice_is_seeding_once(db: None) -> None:
    seed()
    before = list(Product.objects.values()), list(StockItem.objects.values())

    seed()

    assert (list(Product.objects.values()), list(StockItem.objects.values())) == before


def test_seeding_brings_a_product_back_to_what_it_was(shop: None) -> None:
    Product.objects.filter(sku="TEA-SENCHA-100").update(active=False, price="1.00")

    seed()

    tea = Product.objects.get(sku="TEA-SENCHA-100")
    assert tea.active
    assert str(tea.price) == "9.90"


def test_seeding_after_sales_makes_the_same_numbers_available(draft: Draft, flow: Flow) -> None:
    before = {item.sku: item.available for item in StockItem.objects.all()}
    operations.place_order(order=draft(lines={"TEAPOT-IRON-800": 1, "TEA-SENCHA-100": 3}))
    flow.run()

    seed()

    assert {item.sku: item.available for item in StockItem.objects.all()} == before
    assert (before["TEAPOT-IRON-800"], before["CUP-RAKU-LTD"]) == (1, 0)


def test_seeding_leaves_a_fuller_shelf_alone(shop: None) -> None:
    StockItem.objects.filter(sku="TEA-SENCHA-100").update(on_hand=500)

    seed()

    assert StockItem.objects.get(sku="TEA-SENCHA-100").on_hand == 500
