"""Four services send their spans to a receiver of OTLP: one order is one trace, also through a retry and a bundle."""

import re
from collections.abc import Iterator

import pytest

from migrations_guide.engine.shop import USER, Order, Shop
from project.service import CONTEXTS
from tests import servers
from tests.acceptance import otlp, services
from tests.acceptance.otlp import Receiver, Span
from tests.acceptance.running import PROJECT, wait_until
from tests.acceptance.services import Services, ends

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.slow,
]

ONE_ORDER = """
orders: create microworkflows:orders.order_accepted.v1
  inventory: process microworkflows:orders.order_accepted.v1:inventory
  orders: publish microworkflows:orders.order_accepted.v1
  payments: process microworkflows:orders.order_accepted.v1:payments
    payments: create microworkflows:payments.payment_overdue.v1
  payments: process microworkflows:orders.order_accepted.v1:payments
    payments: create microworkflows:payments.payment_received.v1
      inventory: process microworkflows:payments.payment_received.v1:inventory
        inventory: create microworkflows:inventory.items_reserved.v1
          inventory: publish microworkflows:inventory.items_reserved.v1
          orders: process microworkflows:inventory.items_reserved.v1:orders
          shipping: process microworkflows:inventory.items_reserved.v1:shipping
          shipping: process microworkflows:inventory.items_reserved.v1:shipping
            shipping: create microworkflows:shipping.shipment_scheduled.v1
              inventory: process microworkflows:shipping.shipment_scheduled.v1:inventory
              orders: process microworkflows:shipping.shipment_scheduled.v1:orders
              shipping: publish microworkflows:shipping.shipment_scheduled.v1
      orders: process microworkflows:payments.payment_received.v1:orders
      payments: publish microworkflows:payments.payment_received.v1
  shipping: process microworkflows:orders.order_accepted.v1:shipping
"""
"""Its shipment fails once, and is retried. That its payment is overdue is never sent."""
FAIL_ONCE = """
CREATE SEQUENCE tries;
CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tries') = 1 THEN RAISE EXCEPTION 'the van is away'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail_once BEFORE INSERT ON shipping_shipment FOR EACH ROW EXECUTE FUNCTION fail_once()
"""
"""A sequence is not rolled back, so the second try succeeds."""


@pytest.fixture
def received() -> Iterator[Receiver]:
    with otlp.receiver() as receiver:
        yield receiver


@pytest.fixture
def four(received: Receiver) -> Iterator[Services]:
    """Yield the four services, prepared, with the settings that the how-to shows; nothing runs yet."""
    folder = servers.SCRATCH / "traces"
    folder.mkdir()
    page = (PROJECT / "docs/howto/traces.md").read_text()
    samples = re.findall(r"```python\n# settings\.py, at the end\n(.*?)```", page, re.DOTALL)
    (folder / "traced.py").write_text("from project.settings import *\n\n" + "\n".join(samples))
    environment = {
        "DJANGO_SETTINGS_MODULE": "traced",
        "PYTHONPATH": str(folder),
        "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    more = {name: {**environment, "OTEL_SERVICE_NAME": name} for name in CONTEXTS}
    with services.prepared(folder, more=more) as running:
        yield running


def test_order_is_one_trace_over_four_services(four: Services, received: Receiver) -> None:
    four.run("orders", f"python manage.py createsuperuser --noinput --username={USER} --email=")
    shop = Shop({"orders": four.start_web("orders")})
    together = [shop.place(pays="tok_visa", lines={"TEA-SENCHA-100": 1}) for _ in range(3)]
    four.start_workers("orders")
    relayed = "SELECT count(*) FROM published WHERE status = 2"
    wait_until("payments has three messages", lambda: four.ask("orders", relayed) == [(3,)], seconds=20)
    four.start_workers("payments", "inventory", "shipping")
    for order in together:
        ends(shop, order, "Shipped")
    four.tell("shipping", FAIL_ONCE)
    alone = shop.place(pays="tok_visa", lines={"TEA-SENCHA-100": 1})
    ends(shop, alone, "Shipped")
    four.stop()  # what a process still holds, it sends before it ends

    assert received.refused == []
    assert {span.service for span in received.spans} == set(CONTEXTS)
    spans = trace_of(received, alone)
    assert otlp.tree(spans) == ONE_ORDER.strip().splitlines()
    for order in together:
        assert len({span.sent.trace_id for span in about(received, order)}) == 1
    failed, again = [
        span for span in spans if "process microworkflows:inventory.items_reserved.v1:shipping" in span.name
    ]
    assert failed.attributes["error.type"] == "django.db.utils.ProgrammingError"
    assert failed.sent.status.code == failed.sent.status.STATUS_CODE_ERROR
    assert failed.sent.status.message == "the van is away"
    assert (failed.attributes["microworkflows.attempt"], again.attributes["microworkflows.attempt"]) == (1, 2)
    (publish,) = (span for span in received.spans if span.name == "orders: publish microworkflows")
    assert len(publish.links) == 3
    bundles = [span for span in received.spans if span.name.endswith(": process microworkflows:payments")]
    assert bundles, "three messages waited for the worker of payments"
    for span in (publish, *bundles):
        assert_linked_to_all(span, received.named("orders: create"))


def about(received: Receiver, order: Order) -> list[Span]:
    """Return the spans of single messages of an order's flow."""
    flow = order.id
    return [
        span for span in received.spans if span.attributes.get("messaging.message.conversation_id") == flow
    ]


def trace_of(received: Receiver, order: Order) -> list[Span]:
    (trace_id,) = {span.sent.trace_id for span in about(received, order)}
    return [span for span in received.spans if span.sent.trace_id == trace_id]


def assert_linked_to_all(span: Span, creations: list[Span]) -> None:
    """Assert that a span of several messages is linked to the creation of each."""
    assert len(span.links) == span.attributes["messaging.batch.message_count"]
    assert {span_id for span_id, _ in span.links} <= {creation.sent.span_id for creation in creations}
    for _, link in span.links:
        assert link["messaging.rabbitmq.destination.routing_key"] == "orders.order_accepted.v1"
