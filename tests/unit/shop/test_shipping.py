"""Shipping: one shipment per order in any order of arrival, the carrier, and the tracking number."""

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from shipping import carriers, events, workflows
from shipping.events import ShipmentScheduled
from shipping.models import Destination, Shipment

Step = Callable[[UUID], Any]


def accepted(order_id: UUID) -> Any:
    address = events.ShipTo(
        name="Sample Customer", street="Example Street 1", postcode="75001", city="Paris", country="FR"
    )
    (emitted,) = workflows.note_address([events.OrderAccepted(order_id=order_id, ship_to=address)])
    return emitted


def reserved(order_id: UUID) -> Any:
    (emitted,) = workflows.schedule_shipment([events.ItemsReserved(order_id=order_id)])
    return emitted


def declined(order_id: UUID) -> Any:
    return workflows.forget_declined(events.PaymentDeclined(order_id=order_id))


def out_of_stock(order_id: UUID) -> Any:
    return workflows.forget_out_of_stock(events.OutOfStock(order_id=order_id))


@pytest.mark.parametrize("steps", list(itertools.permutations([accepted, reserved])))
def test_whichever_news_comes_second_schedules(db: None, steps: tuple[Step, Step]) -> None:
    order_id = uuid4()

    first, second = (step(order_id) for step in steps)

    shipment = Shipment.objects.get()
    assert first is None
    assert second == ShipmentScheduled(
        order_id=order_id, carrier="ContiParcel", tracking_number=shipment.tracking_number
    )
    assert str(shipment.destination) == "Sample Customer, Example Street 1, 75001 Paris, FR"


@pytest.mark.parametrize(
    "steps", list(dict.fromkeys(itertools.permutations([accepted, accepted, reserved, reserved])))
)
def test_repeated_news_schedules_once(db: None, steps: tuple[Step, ...]) -> None:
    order_id = uuid4()

    emitted = [step(order_id) for step in steps]

    assert len([event for event in emitted if event is not None]) == 1
    assert Shipment.objects.count() == 1


@pytest.mark.parametrize("end", [declined, out_of_stock])
@pytest.mark.parametrize("order", list(dict.fromkeys(itertools.permutations([0, 0, 1, 1]))))
def test_address_of_an_order_that_goes_nowhere_is_not_kept(
    db: None, end: Step, order: tuple[int, ...]
) -> None:
    order_id = uuid4()

    for step in order:
        (accepted, end)[step](order_id)

    destination = Destination.objects.get()
    assert (destination.dropped, destination.noted) == (True, False)
    assert (destination.name, destination.street, destination.postcode, destination.city) == ("", "", "", "")
    assert str(destination) == "(address dropped)"


def test_items_of_an_order_that_goes_nowhere_are_not_sent(db: None) -> None:
    order_id = uuid4()

    emitted = [step(order_id) for step in (accepted, declined, reserved)]

    assert emitted == [None, None, None]
    assert Shipment.objects.count() == 0


def test_address_of_a_parcel_that_is_under_way_is_kept(db: None) -> None:
    order_id = uuid4()
    accepted(order_id)
    reserved(order_id)

    declined(order_id)

    assert Shipment.objects.get().destination.name == "Sample Customer"


def test_orders_have_shipments_of_their_own(db: None) -> None:
    orders = [uuid4(), uuid4()]

    for order_id in orders:
        accepted(order_id)
        reserved(order_id)

    assert set(Shipment.objects.values_list("order_id", flat=True)) == set(orders)
    assert len(set(Shipment.objects.values_list("tracking_number", flat=True))) == 2


def test_database_refuses_a_second_shipment_of_an_order(db: None) -> None:
    order_id = uuid4()
    accepted(order_id)
    reserved(order_id)

    with pytest.raises(IntegrityError), transaction.atomic():
        Shipment.objects.create(
            order_id=order_id,
            destination=Destination.objects.create(order_id=uuid4()),
            carrier="landpost",
            tracking_number="CP999999999DE",
            scheduled_at=timezone.now(),
        )


@pytest.mark.parametrize(
    ("country", "carrier"),
    [("DE", "landpost"), ("FR", "contiparcel"), ("US", "blue_globe"), ("GB", "blue_globe")],
)
def test_country_decides_the_carrier(country: str, carrier: str) -> None:
    assert carriers.choose(country=country) == carrier


@pytest.mark.parametrize(
    ("serial", "number"),
    [
        (47312482, "CP473124829DE"),  # the example digits of UPU S10: check digit 9
        (1, "CP000000014DE"),
        (100_000_001, "CQ000000014DE"),
    ],
)
def test_tracking_number_follows_upu_s10(serial: int, number: str) -> None:
    assert carriers.tracking_number(serial=serial) == number


@pytest.mark.parametrize("serial", [-1, 1_100_000_000])
def test_tracking_numbers_run_out_loudly(serial: int) -> None:
    with pytest.raises(ValueError, match="no tracking number"):
        carriers.tracking_number(serial=serial)
