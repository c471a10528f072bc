"""The state of its flow beside each order in the shop's list, and the journal's answers to ``manage.py journey``."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from microworkflows import overviews
from microworkflows.journal import flows
from microworkflows.journal.models import Delivery, Flow
from orders.models import Order
from tests.unit.journal import shop

pytestmark = pytest.mark.django_db

ORDERS = "/admin/orders/order/"


def order(number: str, **fields: object) -> Order:
    """An order that was placed, and its flow in the journal."""
    made = Order.objects.create(
        id=uuid4(), number=number, customer_name="Sample Customer", street="Example Street 1", postcode="10115",
        city="Berlin", country="DE", state=Order.State.ACCEPTED, placed_at=timezone.now(), total=1, currency="EUR",
    )  # fmt: skip
    shop.flow(str(made.pk), name=number, **fields)
    return made


def numbers(client: Client, **query: str) -> set[str]:
    return {row.number for row in client.get(ORDERS, query).context["cl"].result_list}


def test_list_of_orders_shows_where_each_flow_stands_and_finds_those_that_need_attention(
    admin_client: Client,
) -> None:
    order("A-000001", state=Flow.State.DONE, outcome="shipped")
    order("A-000002", state=Flow.State.FAILED)
    order("A-000003", overdue_at=timezone.now())
    order("A-000004")

    page = admin_client.get(ORDERS).content.decode()

    for badge in ('good">done', 'bad">failed', 'bad">overdue', 'busy">on its way'):
        assert f'<span class="mw-badge mw-badge--{badge}</span>' in page
    assert numbers(admin_client, flow="attention") == {"A-000002", "A-000003"}
    assert page.index("column-number") < page.index("column-flow_state") < page.index("column-total")


def test_states_of_a_page_cost_one_statement(
    admin_client: Client, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    for number in range(3):
        order(f"A-00000{number}")
    with CaptureQueriesContext(
        connection,
    ) as told:
        admin_client.get(ORDERS)
    monkeypatch.setattr(overviews, "overview", overviews.Overview())

    with django_assert_num_queries(len(told) - 1):
        page = admin_client.get(ORDERS)

    assert "column-flow_state" not in page.content.decode()


def test_change_page_of_an_order_shows_the_journey_across_services(admin_client: Client) -> None:
    made = order("A-000005")
    now = timezone.now()
    shop.contexts(now=now)
    shop.order(Flow.objects.get(), steps=2, at=now - timedelta(minutes=5))

    page = admin_client.get(reverse("admin:orders_order_change", args=[made.pk])).content.decode()

    assert "mwj-svg" in page
    assert "microworkflows_journal/journey.css" in page
    assert "waits for inventory.reserve_items of Payment received" in page


def test_command_shows_the_journey_across_services(capsys: pytest.CaptureFixture[str]) -> None:
    now = timezone.now()
    shop.contexts(now=now, silent=["shipping"])
    flow = shop.flow()
    shop.order(flow, steps=3, at=now - timedelta(minutes=5))

    call_command("journey", "a-000123")
    lines = capsys.readouterr().out.splitlines()
    call_command("journey", flow.correlation_id, format="json")
    told = json.loads(capsys.readouterr().out)

    assert lines[0] == "A-000123: on its way, 3 events in 105 ms"
    assert any("payments.take_payment" in line and "█" in line and "handled" in line for line in lines)
    assert any(line.startswith("! shipping.schedule_shipment of Items reserved: No worker") for line in lines)
    assert [event["type"] for event in told["events"]] == [shop.ACCEPTED, shop.RECEIVED, shop.RESERVED]
    assert told["expected"][0]["cause"] == "unknown"


@pytest.mark.parametrize(
    "term", ["name", "key", "correlation_id", "trace_id", "kind:key", "event", "error", "fingerprint"]
)
def test_search_finds_a_flow_by_whatever_one_has_in_hand(term: str) -> None:
    shop.flow(name="A-000009")
    flow = shop.flow(key="4711")
    event = shop.event(flow)
    shop.delivery(
        event,
        "payments.take_payment",
        status=Delivery.Status.WAITING,
        error="BankAway: no answer",
        fingerprint="f" * 16,
    )
    terms = {
        "name": "a-000123", "key": "4711", "correlation_id": flow.correlation_id, "trace_id": flow.trace_id,
        "kind:key": "orders.order:4711", "event": str(event.pk), "error": "bankaway", "fingerprint": "f" * 16,
    }  # fmt: skip

    assert flows.search(terms[term]) == [flow.correlation_id]
    assert flows.search("nothing like it") == flows.search("") == []


def test_flows_are_found_by_whom_they_wait_for_by_outcome_variant_and_day() -> None:
    waiting = shop.flow(waiting_for=["shipping.schedule_shipment"])
    done = shop.flow(
        state=Flow.State.DONE, outcome="shipped", variant="abc", began_at=shop.BEGAN - timedelta(days=2)
    )

    def found(**wanted: object) -> list[int]:
        return [flow.pk for flow in flows.page(flows.Wanted(**wanted)).flows]  # type: ignore[arg-type]

    assert found(waiting_for="shipping.schedule_shipment") == [waiting.pk]
    assert found(waiting_for="shipping") == []
    assert found(outcome="shipped") == found(variant="abc") == found(state="done") == [done.pk]
    assert found(began_from=shop.BEGAN) == [waiting.pk]
    assert found(began_before=shop.BEGAN) == [done.pk]
    assert flows.outcomes() == ["shipped"]
    assert flows.count(flows.Wanted()) == 2
