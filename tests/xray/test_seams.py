"""Seams of a workflow: where one context's code hands over to another's, and what that takes with it."""

import io
import json
from dataclasses import replace

import pytest

from microworkflows_xray import seams
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Access, Gap, Observed, Place, Static, Task, Transaction
from microworkflows_xray.seams import Seam, names
from tests.xray.handover import static


def found(facts: Static, workflow: str = "", observed: Observed | None = None) -> dict[str, Seam]:
    """Return the seams by the name of their consumer."""
    seen = seams.find(facts, Contexts.read(None, facts), workflow=workflow, observed=observed)
    return {seam.consumer.rpartition(".")[2]: seam for seam in seen}


def test_call_template_method_and_signal_are_seams_with_both_sides() -> None:
    by_consumer = found(static())

    assert {name: seam.how for name, seam in by_consumer.items()} == {
        "is_reserved": "call",
        "put_back": "call",
        "release": "signal",
        "update_stock": "template method",
    }
    assert {(seam.emitter_context, seam.consumer_context) for seam in by_consumer.values()} == {
        ("orders", "stock")
    }


def test_seam_names_an_event_in_the_past_tense_for_what_is_handed_over_each_time() -> None:
    assert [found(static())[name].event for name in ("put_back", "release", "update_stock")] == [
        "LineReturned",
        "OrderClosed",
        "LinePlaced",
    ]


def test_payload_carries_keys_of_rows_and_plain_values() -> None:
    payload = found(static())["put_back"].payload

    assert [(field.name, field.type, field.model) for field in payload] == [
        ("line_id", "int", "orders.Line"),
        ("quantity", "int", ""),
    ]


def test_columns_that_the_consumer_reads_of_the_row_are_named() -> None:
    assert found(static())["put_back"].reads == ("orders_line.sku",)


def test_call_whose_result_is_used_is_a_query() -> None:
    by_consumer = found(static())

    assert by_consumer["is_reserved"].is_query
    assert [by_consumer[name].result for name in ("put_back", "release", "update_stock")] == ["unused"] * 3


def test_errors_of_the_consumer_are_named() -> None:
    seam = found(static())["put_back"]

    assert (seam.can_fail, seam.raises) == (True, ("ValueError",))


def test_tables_that_the_consumer_writes_are_named_with_who_else_uses_them() -> None:
    facts = static()
    place = Place("shop/orders/services.py", 9, "shop.orders.services.return_order", "orders")
    facts = replace(facts, accesses=(*facts.accesses, Access("stock_stock", "read", None, "query", place)))

    (written,) = found(facts)["put_back"].writes

    assert (written.table, written.also) == ("stock_stock", ("orders",))


@pytest.mark.parametrize(
    "workflow", ["shop.orders.creators.place_order", "place_order", "OrderCreator", "OrderCreator.place"]
)
def test_workflow_is_named_by_function_or_class_or_their_end(workflow: str) -> None:
    assert set(found(static(), workflow)) == {"update_stock"}


def test_workflow_is_named_by_a_task() -> None:
    place = Place("shop/orders/services.py", 9, "shop.orders.services.return_order", "orders")
    facts = replace(static(), tasks=(Task("orders.give_back", "celery", "task", place),))

    assert set(found(facts, "orders.give_back")) == {"put_back"}


def test_workflow_is_named_by_a_recorded_request() -> None:
    place = Place("shop/orders/creators.py", 12, "shop.orders.creators.OrderCreator.place", "orders")
    access = Access("orders_order", "insert", None, "query", place)
    observed = Observed("tests", 1.0, 1, (Transaction("request", "POST shop:order", 1, (access,)),))

    assert set(found(static(), "POST shop:order", observed)) == {"update_stock"}


def test_unknown_workflow_is_refused_with_similar_names() -> None:
    with pytest.raises(
        seams.UnknownWorkflowError, match=r"Did you mean shop\.orders\.services\.return_order\?"
    ):
        found(static(), "nowhere:return_order")


def test_partial_look_is_told() -> None:
    facts, told = replace(static(), gaps=(Gap("app", "does not import"),)), io.StringIO()

    seams.run(facts, Contexts.read(None, facts), out=told)

    assert "Partial: 1 things could not be looked at" in told.getvalue()


def test_json_holds_all_that_a_seam_says() -> None:
    facts, told = static(), io.StringIO()

    status = seams.run(facts, Contexts.read(None, facts), workflow="place_order", format="json", out=told)

    (seam,) = json.loads(told.getvalue())["seams"]
    assert status == 0
    assert seam["payload"][0]["name"] == "line_id"
    assert seam["is_query"] is False


@pytest.mark.parametrize(
    ("function", "event"),
    [
        ("place_order", "OrderPlaced"),
        ("Order.place", "OrderPlaced"),
        ("ship", "WorkShipped"),
        ("PaymentCreateView.form_valid", "PaymentSubmitted"),
        ("OrderViewSet.perform_create", "OrderCreated"),
        ("AbstractStockRecord.allocate", "StockRecordAllocated"),
        ("pay_invoice", "InvoicePaid"),
        ("apply_voucher", "VoucherApplied"),
        ("cancel_order", "OrderCancelled"),
    ],
)
def test_event_is_named_after_the_function(function: str, event: str) -> None:
    assert names.event(function) == event
