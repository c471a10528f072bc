from django.test import Client
from django.urls import reverse
from oscar.core.loading import get_model
from oscar.test import factories

from tests.buying import Order, buy, put
from tests.test_dashboard import act


def test_last_piece_is_sold_once(country):
    pot = factories.create_product(title="Pot", product_class="Goods", price=9, num_in_stock=1)

    for _ in range(3):
        guest = Client()
        put(guest, pot)
        if get_model("basket", "Basket").objects.filter(status="Open", lines__product=pot).exists():
            buy(guest, guest=True)

    assert Order.objects.count() == 1


def test_order_that_is_cancelled_gives_back_its_own_pieces_and_no_others(client, customer, staff, tea):
    tea.stockrecords.update(num_allocated=2)
    order = buy(client, tea, quantity=3)

    act(staff, order, order_action="change_order_status", new_status="Cancelled")

    assert tea.stockrecords.get().num_allocated == 2


def test_page_of_a_product_tells_what_is_left(client, customer, tea):
    buy(client, tea, quantity=3)

    answer = client.get(reverse("catalogue:detail", kwargs={"product_slug": tea.slug, "pk": tea.pk}))

    assert "In stock (7 available)" in answer.content.decode()
