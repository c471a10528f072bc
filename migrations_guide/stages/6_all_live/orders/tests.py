"""What placing an order does: to the order, to the money, and to the shelves."""

from unittest import mock

from django.core.management import call_command
from django.test import TestCase

from inventory.models import Reservation, StockItem
from orders import operations
from orders.models import Order
from payments.gateway import GatewayUnavailableError
from payments.models import Payment
from shipping.models import Shipment

ADDRESS = {
    "customer_name": "Sample Customer",
    "street": "Example Street 1",
    "postcode": "10115",
    "city": "Berlin",
    "country": "DE",
}


class PlacingTests(TestCase):
    """An order is placed in the sample shop."""

    @classmethod
    def setUpTestData(cls) -> None:
        call_command("seed_catalogue", verbosity=0)
        call_command("seed_stock", verbosity=0)

    def draft(self, *, pays: str = "tok_visa", **pieces: int) -> Order:
        """Return a draft: so many pieces by SKU, with _ for -."""
        lines = {sku.replace("_", "-"): quantity for sku, quantity in pieces.items()}
        return operations.create_order(**ADDRESS, payment_token=pays, lines=lines)

    def placed(self, order: Order) -> Order:
        """Return the order as it stands after placing it."""
        operations.place_order(order=order)
        order.refresh_from_db()
        return order

    def on_hand(self, sku: str) -> tuple[int, int]:
        """Return how many pieces lie on the shelf, and how many of those are reserved."""
        item = StockItem.objects.get(product__sku=sku)
        return item.on_hand, item.reserved

    def test_paid_order_is_shipped_and_leaves_the_shelves(self) -> None:
        order = self.placed(self.draft(TEA_SENCHA_100=2, MUG_STONE_350=1))

        self.assertEqual(order.state, Order.State.SHIPPED)
        payment = Payment.objects.get(order=order)
        self.assertEqual((payment.state, payment.amount), (Payment.State.RECEIVED, order.total))
        self.assertEqual(Reservation.objects.get(order=order).state, Reservation.State.ISSUED)
        self.assertEqual(Shipment.objects.get(order=order).destination.city, "Berlin")
        self.assertEqual(self.on_hand("TEA-SENCHA-100"), (38, 0))
        self.assertEqual(self.on_hand("MUG-STONE-350"), (79, 0))

    def test_declined_order_is_cancelled_and_touches_no_shelf(self) -> None:
        order = self.placed(self.draft(pays="tok_declined", TEA_SENCHA_100=2))

        self.assertEqual(order.cancel_reason, Order.CancelReason.PAYMENT_DECLINED)
        self.assertEqual(order.cancel_note, "card declined")
        self.assertEqual(Payment.objects.get(order=order).state, Payment.State.DECLINED)
        self.assertFalse(Shipment.objects.filter(order=order).exists())
        self.assertEqual(self.on_hand("TEA-SENCHA-100"), (40, 0))

    def test_order_that_cannot_be_filled_is_refunded_and_nothing_of_it_is_kept_aside(self) -> None:
        order = self.placed(self.draft(CUP_RAKU_LTD=1, MUG_STONE_350=1))

        self.assertEqual(order.cancel_reason, Order.CancelReason.OUT_OF_STOCK)
        payment = Payment.objects.get(order=order)
        self.assertEqual((payment.state, payment.amount), (Payment.State.REFUNDED, order.total))
        self.assertEqual(Reservation.objects.get(order=order).state, Reservation.State.REFUSED)
        self.assertFalse(Shipment.objects.filter(order=order).exists())
        self.assertEqual(self.on_hand("MUG-STONE-350"), (80, 0))

    def test_last_piece_is_sold_once(self) -> None:
        first = self.placed(self.draft(TEAPOT_IRON_800=1))
        second = self.placed(self.draft(TEAPOT_IRON_800=1))

        self.assertEqual(first.state, Order.State.SHIPPED)
        self.assertEqual(second.cancel_reason, Order.CancelReason.OUT_OF_STOCK)

    def test_order_is_placed_once(self) -> None:
        order = self.placed(self.draft(TEA_SENCHA_100=1))

        with self.assertRaisesMessage(operations.PlaceOrderError, "is shipped: it was placed before"):
            operations.place_order(order=order)

        self.assertEqual(Payment.objects.count(), 1)

    def test_order_without_lines_cannot_be_placed(self) -> None:
        with self.assertRaisesMessage(operations.PlaceOrderError, "has no lines"):
            operations.place_order(order=self.draft())

    def test_silent_payment_provider_leaves_a_draft(self) -> None:
        order = self.draft(TEA_SENCHA_100=1)

        with (
            mock.patch("payments.sandbox.SandboxGateway.charge", side_effect=GatewayUnavailableError),
            self.assertRaises(operations.PlaceOrderError),
        ):
            operations.place_order(order=order)

        order.refresh_from_db()
        self.assertTrue(order.is_draft)
        self.assertFalse(Payment.objects.exists())
