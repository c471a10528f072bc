"""Links of the cut-over's pages: each user sees those alone that lead to a page which this user may open."""

import pytest
from django.test import Client
from django.utils import timezone

from microworkflows.cutover.models import MissedEvent
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from orders import operations
from tests.unit import crawling
from tests.unit.cutover.conftest import Switch
from tests.unit.cutover.test_cutover_commands import compared
from tests.unit.shop.conftest import Draft

pytestmark = pytest.mark.django_db


@pytest.fixture
def handed_over(go: Switch, draft: Draft, flow: Flow) -> None:
    """A flow that needs the worker of its context, a message that failed, a comparison, and an event that was missed."""
    go("payments", "live", 100)
    operations.place_order(order=draft())
    event = OutboxEvent.objects.order_by("-pk")[0]
    InboxEvent.objects.filter(msg_id__startswith="payments.").update(status=InboxEvent.Status.PARKED)
    compared("differs", event_id=event.pk, correlation_id=event.correlation_id)
    MissedEvent.objects.create(
        event="orders.order_accepted.v1",
        error="no database",
        correlation_id=event.correlation_id,
        missed_at=timezone.now(),
    )


def test_no_link_leads_to_what_a_user_may_not_open(client: Client, handed_over: None) -> None:
    for name, codenames in crawling.users("microworkflows_cutover"):
        crawling.log_in(client, codenames)

        assert crawling.refused(client, "/admin/") == [], name
