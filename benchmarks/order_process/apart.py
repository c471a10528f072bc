"""The order process as Celery tasks that keep apps apart: each writes its own app's tables and calls those that wait for it."""

from uuid import UUID

from celery.contrib.django.task import DjangoTask
from django.db import transaction

from benchmarks.order_process import steps
from benchmarks.order_process.celery_app import app
from benchmarks.order_process.steps import Accepted
from inventory import operations as inventory
from orders import operations as orders
from orders.events import OrderAccepted


def record(event: OrderAccepted, *, about: object, correlation_id: str) -> None:
    """Start, in the place of the outbox: called in the transaction that accepts the order."""
    take_payment.delay_on_commit(event.model_dump(mode="json"))


@app.task(queue="payments", base=DjangoTask)
@transaction.atomic
def take_payment(accepted: Accepted) -> None:
    """Payments' part."""
    steps.take_payment(accepted)
    mark_paid.delay_on_commit(accepted["order_id"])
    reserve_items.delay_on_commit(accepted)


@app.task(queue="inventory", base=DjangoTask)
@transaction.atomic
def reserve_items(accepted: Accepted) -> None:
    """Inventory's part."""
    steps.reserve_items(accepted)
    mark_reserved.delay_on_commit(accepted["order_id"])
    schedule_shipment.delay_on_commit(accepted)


@app.task(queue="shipping", base=DjangoTask)
@transaction.atomic
def schedule_shipment(accepted: Accepted) -> None:
    """Shipping's part."""
    steps.schedule_shipment(accepted)
    mark_shipped.delay_on_commit(accepted["order_id"])
    issue_items.delay_on_commit(accepted["order_id"])


@app.task(queue="inventory", base=DjangoTask)
def issue_items(order_id: str) -> None:
    """Inventory, when the parcel leaves."""
    inventory.issue_items(order_ids=[UUID(order_id)])


@app.task(queue="orders", base=DjangoTask)
def mark_paid(order_id: str) -> None:
    """Orders, when payments is done."""
    orders.mark_paid(order_ids=[UUID(order_id)])


@app.task(queue="orders", base=DjangoTask)
def mark_reserved(order_id: str) -> None:
    """Orders, when inventory is done."""
    orders.mark_reserved(order_ids=[UUID(order_id)])


@app.task(queue="orders", base=DjangoTask)
def mark_shipped(order_id: str) -> None:
    """Orders, when shipping is done."""
    orders.mark_shipped(order_ids=[UUID(order_id)])
