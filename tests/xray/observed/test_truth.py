"""Recall and precision: each difference between code and recording is counted once, and named."""

import dataclasses
import io
import json

from microworkflows_xray import truth
from microworkflows_xray.facts import Access, App, Call, Model, Observed, Place, Static, Transaction, Writer


def access(function: str, table: str, verb: str = "update", *, file: str = "code.py") -> Access:
    return Access(table, verb, None, "ORM", Place(file, 1, function, function.partition(".")[0]))  # type: ignore[arg-type]


def static(*accesses: Access, calls: tuple[tuple[str, str], ...] = ()) -> Static:
    apps = ("sales", "stock")
    tables = {"sales_order": "sales", "stock_item": "stock", "stock_movement": "stock"}
    return Static(
        root="shop",
        settings="settings",
        apps=tuple(App(label, label, label) for label in apps),
        models=tuple(Model(table, table, app, (), Place("models.py", 1)) for table, app in tables.items()),
        accesses=accesses,
        calls=tuple(Call(caller, callee, Place("code.py", 1)) for caller, callee in calls),
    )


def observed(
    *accesses: Access, writers: tuple[Writer, ...] = (), executed: tuple[str, ...] = (), atomic: bool = True
) -> Observed:
    unit = Transaction("request", "POST order", 1, accesses, writers=writers, atomic=atomic)
    return Observed("tests", 1.0, 1, (unit,), executed)


def test_pair_is_an_app_and_a_table_of_another() -> None:
    seen = observed(access("sales.place", "stock_item"), access("sales.place", "sales_order"))
    predicted = static(access("sales.put", "stock_item", "insert"))

    found = truth.compare(predicted, seen)

    assert found.pairs.found == ("sales → stock_item",)
    assert (found.pairs.recall, found.pairs.precision) == (1.0, 1.0)
    assert found.sites.missed == ("sales.place → sales_order", "sales.place → stock_item")
    assert found.sites.recall == 0.0


def test_prediction_about_code_that_never_ran_is_no_wrong_one() -> None:
    seen = observed(access("sales.place", "stock_item"), executed=("sales.place", "stock.take"))
    predicted = static(
        access("sales.place", "stock_item"),
        access("stock.take", "sales_order"),
        access("sales.drop", "stock_movement"),
    )

    pairs = truth.compare(predicted, seen).pairs

    assert pairs.surplus == ("stock → sales_order",)
    assert pairs.never_executed == ("sales → stock_movement",)
    assert (pairs.precision, pairs.precision_of_executed) == (0.3333, 0.5)


def test_cascade_that_met_no_rows_is_told_apart() -> None:
    seen = observed(access("sales.drop", "sales_order", "delete"), executed=("sales.drop",))
    cascade = dataclasses.replace(access("sales.drop", "stock_item", "delete"), how="possible cascade")

    pairs = truth.compare(static(cascade), seen).pairs

    assert (pairs.cascades, pairs.surplus) == (("sales → stock_item",), ())
    assert (pairs.precision, pairs.precision_of_executed) == (0.0, None)


def test_class_ran_when_a_method_of_it_did() -> None:
    seen = observed(access("sales.place", "stock_item"), executed=("sales.Edit.clean",))

    pairs = truth.compare(static(access("sales.Edit", "stock_movement")), seen).pairs

    assert pairs.surplus == ("sales → stock_movement",)


def test_reads_unknown_tables_and_code_that_is_not_looked_at_do_not_count() -> None:
    seen = observed(
        access("sales.place", "stock_item", "read"),
        access("sales.place", "django_migrations"),
        access("django.sessions", "stock_item", file=""),
    )

    found = truth.compare(static(), seen)

    assert found.pairs.recall is None
    assert found.sites.recall is None


def test_function_that_writes_several_contexts_is_found_through_what_it_calls() -> None:
    writers = (
        Writer("sales.place", ("sales_order", "stock_item")),
        Writer("sales.view", ("sales_order", "stock_item")),
    )
    seen = observed(access("sales.place", "stock_item"), writers=writers)
    predicted = static(
        access("sales.place", "sales_order"),
        access("stock.take", "stock_item"),
        calls=(("sales.place", "stock.take"),),
    )

    place, view = truth.compare(predicted, seen).workflows

    assert (place.function, place.found, place.complete) == ("sales.place", True, True)
    assert (view.function, view.found, view.predicted) == ("sales.view", False, ())


def test_request_that_does_not_commit_as_one_is_no_workflow() -> None:
    writers = (Writer("sales.place", ("sales_order", "stock_item")),)

    assert truth.compare(static(), observed(writers=writers, atomic=False)).workflows == ()


def test_both_formats_tell_the_same() -> None:
    seen = observed(access("sales.place", "stock_item"), access("sales.place", "sales_order"))
    predicted = static(access("sales.place", "stock_item"))
    text, plain = io.StringIO(), io.StringIO()

    codes = truth.run(predicted, seen, out=text), truth.run(predicted, seen, format="json", out=plain)

    assert codes == (0, 0)
    assert "Write pairs: recall 1.00" in text.getvalue()
    assert "  missed: sales.place → sales_order" in text.getvalue()
    assert json.loads(plain.getvalue())["sites"]["recall"] == 0.5


def test_recording_without_any_write_says_so() -> None:
    text = io.StringIO()

    assert truth.run(static(), observed(), out=text) == 2
    assert "Nothing can be compared" in text.getvalue()
