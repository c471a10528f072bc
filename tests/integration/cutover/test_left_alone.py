"""A step that the monolith has to do, where no process knows the monolith any more: it is parked, and told."""

import pytest

from microworkflows import failures
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import DUE_AT_ONCE, InboxEvent, OutboxEvent
from payments.models import Payment
from tests.integration.cutover import shop
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.acceptance]

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.forgetful_settings"}


def test_step_that_nobody_would_do_is_parked_by_the_worker_of_its_context(launcher: Launcher) -> None:
    shop.go("payments", "inline")
    for _ in range(2):
        shop.place()
    first, second = OutboxEvent.objects.filter(body__cutover__contains="payments=inline").of_type(
        "orders.order_accepted.v1"
    )
    for event in (first, second):
        InboxEvent.objects.filter(msg_id=f"payments.take_payment:{event.pk}").delete()
    failures.keep("payments.take_payment", CloudEvent.from_dict(first.body), ConnectionError("no answer"))
    InboxEvent.objects.waiting().update(expires_at=DUE_AT_ONCE)
    paid = Payment.objects.count()

    # One that fails and is due again, and one that is delivered for the first time: by now, CUTOVER names nobody.
    launcher.relay("orders", environment=SETTINGS)
    launcher.worker("payments", environment=SETTINGS)
    eventually(lambda: InboxEvent.objects.parked().count() == 2, what="two parked messages")

    assert {row.msg_id for row in InboxEvent.objects.parked()} == {
        f"payments.take_payment:{event.pk}" for event in (first, second)
    }
    assert all("does not name payments" in (row.error or "") for row in InboxEvent.objects.parked())
    assert Payment.objects.count() == paid
    said = launcher.manage("check", "--database", "default", environment=SETTINGS)
    assert said.wait(timeout=60) == 0
    assert "microworkflows.W044" in said.output
    assert "2 flows wait for the monolith to do steps of 'payments'" in said.output
