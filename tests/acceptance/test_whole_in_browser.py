"""A choreography as its operator sees it: four services, four databases, one journal, in a real browser.

With ``SCREENSHOTS=folder`` each page is kept as it was: in the light, in the dark and on a phone.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import jsonschema

from tests.acceptance.admin import Admin
from tests.acceptance.running import wait_until
from tests.acceptance.whole import FLOWS, MARKS, Running, open_journey

pytestmark = MARKS

SCHEMA = Path(__file__).parents[1] / "unit/journal/ocel20.schema.json"
VALID = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()), format_checker=jsonschema.FormatChecker())
STEPS = (
    "payments.take_payment",
    "inventory.reserve_items",
    "shipping.schedule_shipment",
    "orders.mark_shipped",
)
LATE = {
    "inventory.note_order -> inventory.items_reserved.v1",
    "inventory.note_order -> inventory.out_of_stock.v1",
    "shipping.note_address -> shipping.shipment_scheduled.v1",
}
"""Edges of the steps that note an order: they are taken only where what comes after the order was heard of first."""
OVERDUE = {
    "payments.await_payment -> payments.payment_overdue.v1",
    "payments.payment_overdue.v1 -> payments.give_up_payment",
    "payments.give_up_payment -> payments.payment_declined.v1",
}
"""Edges that an order takes whose payment has no answer in time."""


def test_one_order_is_one_journey_through_four_services(four: Running, admin: Admin) -> None:
    order = four.place()
    open_journey(admin, order.number)

    admin.wait_for_text("[data-mw-part=summary]", "done")

    assert "shipped" in admin.text("[data-mw-part=summary]")
    admin.screenshots("journey_done")
    for view in ("timeline", "tree", "sequence"):
        admin.open(f"{here(admin)}?view={view}")
        said = admin.drawn("#content")
        assert [step for step in STEPS if step not in said] == []
        admin.screenshots(f"journey_{view}")
        admin.look(width=375, scheme="light")
        assert admin.overflow() == 0, "a phone scrolls the picture, not the page"
        admin.look(width=1400, scheme="light")
    assert admin.errors() == []


def test_stopped_worker_is_named_where_orders_wait_for_it(four: Running, admin: Admin) -> None:
    with four.without_worker("payments"):
        order = four.place()
        open_journey(admin, order.number)

        admin.wait_for_text("#content", "payments has no worker since")
        assert "done" not in admin.text("[data-mw-part=summary]")
        assert "celery -A project worker -Q payments" in admin.text("#content")
        admin.screenshots("stopped_worker_journey")
        admin.open("/admin/")
        admin.wait_for_text(".mw-contexts", "stopped since")
        admin.screenshots("stopped_worker_first_page")
        admin.open("/admin/microworkflows_journal/alarm/")
        admin.reload_until("#content", order.number)
        assert "payments" in admin.text("#content")
        admin.screenshots("overdue_alarm")
        admin.open(f"{FLOWS}?state=overdue")
        assert order.number in admin.text("#content")
        admin.screenshots("overdue_flows")

    open_journey(admin, order.number)
    admin.wait_for_text("[data-mw-part=summary]", "done")
    admin.open(f"{FLOWS}?state=overdue")
    assert order.number not in admin.text("#content")


def test_flow_is_stuck_where_nobody_relays(four: Running, admin: Admin) -> None:
    with four.without_relay("shipping"):
        order = four.place()
        open_journey(admin, order.number)

        admin.wait_for_text("#content", "shipping has no relay since")

        assert "done" not in admin.text("[data-mw-part=summary]")
        admin.screenshots("stuck_flow")
    admin.wait_for_text("[data-mw-part=summary]", "done")


def test_group_of_failures_is_replayed_once_its_cause_is_mended(four: Running, admin: Admin) -> None:
    unknown = [str(uuid4()) for _ in range(3)]
    four.run_python("payments", DECLINE.format(orders=unknown))
    admin.open("/admin/microworkflows_problems/problem/")
    admin.reload_until("#content", "3 parked")
    assert "orders.cancel_declined" in admin.text("#content")
    admin.screenshots("problems")
    admin.follow(".mw-problems td a")
    assert "UnknownOrderError" in admin.text("#content")
    admin.screenshots("problem")
    four.run_python("orders", MAKE.format(orders=unknown))  # what was wrong is mended

    admin.type("per_second", "50")
    admin.follow("#mw-replay button")

    admin.wait_for_text("#mw-progress", "3 handled")
    admin.screenshots("problem_replayed")
    admin.open("/admin/")
    admin.reload_until(".mw-counts", "0 parked")
    open_journey(admin, unknown[0])
    admin.wait_for_text("[data-mw-part=summary]", "done")
    wait_until("the journey shows the replay", lambda: "replayed" in admin.drawn("#content"), seconds=30)


def test_process_is_mined_from_the_orders_that_went_through_it(
    four: Running, admin: Admin, tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    shipped = [four.place() for _ in range(3)]
    declined = four.shop.place(pays="tok_declined", lines={"TEA-SENCHA-100": 1})
    refunded = four.shop.place(pays="tok_visa", lines={"CUP-RAKU-LTD": 1})  # there is none
    for order in (*shipped, declined, refunded):
        open_journey(admin, order.number)
        admin.wait_for_text("[data-mw-part=summary]", "done")

    admin.open("/admin/microworkflows_journal/context/?window=1h")
    for step in STEPS:
        assert count(admin, f"to:{step}") >= 3
        assert step in admin.drawn(".mw-process svg")
    admin.screenshots("map")
    admin.open("/admin/microworkflows_journal/context/variants/?window=1h")
    assert "% went this way" in admin.text("#content")
    for outcome in ("shipped", "payment declined", "out of stock"):
        assert f"outcome {outcome}," in admin.text("#content")
    assert "shipping.schedule_shipment emits Shipment scheduled" in admin.drawn("#content")
    admin.screenshots("variants")
    assert admin.errors() == []
    log = tmp_path / "log.json"
    four.services.run("orders", f"python manage.py ocel --since {began.isoformat()} --output {log}")
    told = json.loads(log.read_text())
    assert list(VALID.iter_errors(told)) == []
    about = {each["id"] for each in told["objects"] if each["type"] == "orders.order"}
    assert about == {f"orders.order:{order.id}" for order in (*shipped, declined, refunded)}
    drift = f"python manage.py drift --since {began.isoformat()} --format json"
    differs = json.loads(four.services.run("orders", drift, codes=(0, 1)))
    assert (differs["undeclared"], set(differs["unobserved"]) - LATE) == ([], OVERDUE)


def count(admin: Admin, row: str) -> int:
    """Return how many deliveries a row of the map's tables has counted."""
    told = admin.run("return document.getElementById(arguments[0])?.children[3].innerText ?? ''", row)
    return int(told) if told.isdecimal() else 0


def here(admin: Admin) -> str:
    return admin.path().partition("?")[0]


DECLINE = """
from django.db import transaction
from microworkflows import outbox
from payments.events import PaymentDeclined
for order_id in {orders}:
    with transaction.atomic():
        outbox.record(PaymentDeclined(order_id=order_id, reason="card declined"), correlation_id=order_id)
"""

MAKE = """
from django.utils import timezone
from orders.models import Order
for order_id in {orders}:
    Order.objects.create(
        id=order_id, customer_name="Late Entry", street="Quay 2", postcode="10115", city="Berlin", country="DE",
        state="accepted", total="9.90", currency="EUR", placed_at=timezone.now(),
    )
"""
