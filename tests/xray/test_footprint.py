"""The footprint of a step names the other readers and writers of what it writes."""

import io
import json
from pathlib import Path

import pytest

from microworkflows_xray import footprint
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Access, App, Call, Model, Observed, Place, Static, Transaction, Verb


def access(
    function: str, verb: Verb, columns: tuple[str, ...] | None = ("number",), *, line: int = 1
) -> Access:
    app = function.partition(".")[0]
    return Access("stock", verb, columns, "query", Place(f"{app}.py", line, function, app))


def call(caller: str, callee: str, line: int) -> Call:
    return Call(caller, callee, Place("checkout.py", line, caller, "checkout"))


STATIC = Static(
    root="shop",
    settings="shop.settings",
    apps=tuple(App(label, label, label) for label in ("stock", "basket", "orders", "checkout")),
    models=(Model("stock.Stock", "stock", "stock", ("id", "number", "note"), Place("stock.py", 1)),),
    accesses=(
        access("stock.take", "update"),
        access("basket.available", "read"),
        access("basket.described", "read", ("note",)),
        access("orders.cancel", "update", None),
        access("orders.purge", "delete", None),
        access("checkout.receipt", "read"),
    ),
    calls=(
        call("checkout.place", "stock.take_all", 5),
        call("stock.take_all", "stock.take", 2),
        call("checkout.place", "checkout.receipt", 9),
    ),
)


CONTEXTS = Contexts.read(None, STATIC)


def by_function(found: footprint.Footprint) -> dict[str, footprint.Other]:
    return {other.access.place.function: other for other in found.others}


def test_a_step_writes_what_it_calls_writes() -> None:
    found = footprint.of_function("stock.take_all", STATIC, CONTEXTS)

    assert [(written.table, written.model, written.columns, written.verbs) for written in found.writes] == [
        ("stock", "stock.Stock", ("number",), ("update",))
    ]


def test_readers_of_its_columns_and_other_writers_are_named_with_what_they_would_see() -> None:
    found = by_function(footprint.of_function("stock.take_all", STATIC, CONTEXTS))

    assert sorted(found) == ["basket.available", "checkout.receipt", "orders.cancel", "orders.purge"]
    assert found["basket.available"].later == "would still see the old number until the step has run"
    assert "lost update" in found["orders.cancel"].later
    assert "delete the rows first" in found["orders.purge"].later


def test_what_a_caller_does_after_the_step_is_synchronous() -> None:
    found = by_function(footprint.of_function("stock.take_all", STATIC, CONTEXTS))

    assert {name for name, other in found.items() if other.synchronous} == {"checkout.receipt"}


def test_evidence_tells_what_was_seen_what_ran_and_what_never_did() -> None:
    seen = Transaction(
        "request", "POST basket", 3, (access("stock.take", "update"), access("basket.available", "read"))
    )
    observed = Observed(
        "tests", 1.0, 3, (seen,), executed=("stock.take", "basket.available", "orders.cancel")
    )

    found = by_function(footprint.of_function("stock.take", STATIC, CONTEXTS, observed))

    assert {name: (other.evidence, other.certainty) for name, other in found.items()} == {
        "basket.available": ("both", "observed"),
        "orders.cancel": ("predicted", "predicted only"),
        "orders.purge": ("predicted", "never executed"),
        "checkout.receipt": ("predicted", "never executed"),
    }
    assert (found["basket.available"].synchronous, found["basket.available"].inside) == (True, "POST basket")


def test_columns_have_a_footprint_too() -> None:
    found = footprint.of_columns(["stock.note"], STATIC, CONTEXTS)

    assert sorted(by_function(found)) == ["basket.described", "orders.cancel", "orders.purge"]


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(ProjectError, match=r"stock\.give"):
        footprint.of_function("stock.give", STATIC, CONTEXTS)
    with pytest.raises(ProjectError, match=r"stock\.colour"):
        footprint.of_columns(["stock.colour"], STATIC, CONTEXTS)


def test_a_footprint_is_written_as_text_and_as_json(tmp_path: Path) -> None:
    text, plain = io.StringIO(), io.StringIO()
    (tmp_path / "basket.py").write_text("…", encoding="utf-8")

    footprint.run(STATIC, CONTEXTS, functions=("stock.take",), root=tmp_path, out=text)
    footprint.run(STATIC, CONTEXTS, functions=("stock.take",), root=tmp_path, format="json", out=plain)

    assert "basket.py:1 available reads number [predicted only]: would still see" in text.getvalue()
    written = json.loads(plain.getvalue())
    assert (written["format"], written["kind"], list(written["files"])) == (1, "footprint", ["basket.py"])
    (table,) = written["footprints"][0]["tables"]
    assert (table["table"], table["columns"], table["written_at"][0]["function"]) == (
        "stock",
        ["number"],
        "stock.take",
    )
    assert {other["function"] for other in table["others"]} == {
        "basket.available",
        "checkout.receipt",
        "orders.cancel",
        "orders.purge",
    }
