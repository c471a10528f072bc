"""The order process as a chain of four Celery tasks: each does its step and, once that has committed, calls the next."""

from celery.contrib.django.task import DjangoTask
from django.db import transaction

from benchmarks.order_process import steps
from benchmarks.order_process.celery_app import app
from benchmarks.order_process.steps import Accepted
from orders.events import OrderAccepted


def record(event: OrderAccepted, *, about: object, correlation_id: str) -> None:
    """Start the chain, in the place of the outbox: called in the transaction that accepts the order."""
    pay.delay_on_commit(event.model_dump(mode="json"))


@app.task(queue="payments", base=DjangoTask)
@transaction.atomic
def pay(accepted: Accepted) -> None:
    """First."""
    steps.pay(accepted)
    reserve.delay_on_commit(accepted)


@app.task(queue="inventory", base=DjangoTask)
@transaction.atomic
def reserve(accepted: Accepted) -> None:
    """Second."""
    steps.reserve(accepted)
    ship.delay_on_commit(accepted)


@app.task(queue="shipping", base=DjangoTask)
@transaction.atomic
def ship(accepted: Accepted) -> None:
    """Third."""
    steps.ship(accepted)
    finish.delay_on_commit(accepted)


@app.task(queue="orders", base=DjangoTask)
@transaction.atomic
def finish(accepted: Accepted) -> None:
    """Last."""
    steps.finish(accepted)
