import pytest
from django.contrib.auth import get_user_model
from microworkflows.testing import Flow
from oscar.core.loading import get_model

from bookshop.packing.models import Parcel
from tests.buying import buy, make_book


@pytest.mark.django_db
def test_placed_order_is_packed(client, flow: Flow):
    client.force_login(get_user_model().objects.create_user("jane", email="jane@example.com"))
    buy(client, make_book())

    flow.run(times=2)

    order = get_model("order", "Order").objects.get()
    assert (order.status, Parcel.objects.get(order_number=order.number).contents) == ("Packed", {"Emma": 2})
