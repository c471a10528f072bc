"""Links of the journal's pages: each user sees those alone that lead to a page which this user may open."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from microworkflows.journal.models import Alarm
from tests.unit import crawling
from tests.unit.journal import shop

pytestmark = pytest.mark.django_db

AGO = timedelta(minutes=12)


@pytest.fixture
def stuck() -> None:
    """An order that waits for shipping, and an alarm about it; each context has something of everything."""
    now = timezone.now()
    for name in shop.LISTENERS:
        shop.context(name, now=now, within=60, pending=1, waiting=1, parked=1, dead=1)
    shop.process("shipping@host-2", seen_at=now - AGO, stopped_at=now - AGO)
    flow = shop.flow(
        began_at=now - AGO, last_at=now - AGO, since=now - AGO, waiting_for=["shipping.schedule_shipment"]
    )
    shop.order(flow, steps=3, at=now - AGO)
    Alarm.objects.create(
        flow=flow,
        awaited=shop.SCHEDULED,
        of=shop.ACCEPTED,
        due_at=now - AGO,
        raised_at=now - AGO,
        owner="shipping",
        cause="worker",
        details="shipping has no worker.",
    )


def test_no_link_leads_to_what_a_user_may_not_open(client: Client, stuck: None) -> None:
    for name, codenames in crawling.users("microworkflows_journal"):
        crawling.log_in(client, codenames)

        assert crawling.refused(client, "/admin/") == [], name
