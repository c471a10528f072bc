"""Links of the admin's pages: each user sees those alone that lead to a page which this user may open."""

from datetime import timedelta

import pytest
from django.test import Client

from microworkflows import times
from microworkflows.errors import PermanentError
from microworkflows.models import Hold
from microworkflows.testing import Flow
from orders import operations
from payments.sandbox import SandboxGateway
from tests.unit import crawling
from tests.unit.shop.conftest import Draft

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders(draft: Draft, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft, an order that was shipped, a declined one, one whose payment is parked, and pauses, a breaker's too, in force and over."""
    draft()
    operations.place_order(order=draft())
    operations.place_order(order=draft(payment_token="tok_declined"))
    flow.run()
    operations.place_order(order=draft())

    def refuse(*_: object, **__: object) -> None:
        raise PermanentError("this provider has no such account")

    monkeypatch.setattr(SandboxGateway, "charge", refuse)
    flow.run(keep_failures=True)
    now = times.now()
    for name, ended_at in (("payments", None), ("shipping", now)):
        Hold.objects.create(
            kind=Hold.Kind.CONTEXT,
            name=name,
            by="ada",
            why="the bank is closed",
            began_at=now,
            ended_at=ended_at,
        )
    Hold.objects.create(
        kind=Hold.Kind.MICROWORKFLOW,
        name="payments.refund_payment",
        by=Hold.BREAKER,
        why="the bank is closed",
        began_at=now,
        ends_at=now + timedelta(minutes=1),
    )


def test_no_link_leads_to_what_a_user_may_not_open(client: Client, orders: None) -> None:
    for name, codenames in crawling.users():
        crawling.log_in(client, codenames)

        assert crawling.refused(client, "/admin/") == [], name
