import itertools

import pytest
from warehouse.events import LineCancelled, LineShipped, LineSold
from warehouse.models import Allocation
from warehouse.workflows import allocate, release, ship

LINE = {"line_id": 7, "sku": "tea-1", "quantity": 3}


@pytest.mark.django_db
@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_books_are_right_in_whatever_order_the_events_come(order):
    steps = [
        lambda: allocate(LineSold(**LINE)),
        lambda: ship(LineShipped(**LINE, shipped=1)),
        lambda: release(LineCancelled(**LINE)),
    ]

    for number in order:
        steps[number]()

    line = Allocation.objects.get()
    assert (line.quantity, line.shipped, line.cancelled) == (3, 1, True)
