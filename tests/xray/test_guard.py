"""The ratchet: today's violations are known, new ones fail by name, and nothing but less coupling counts as less."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from microworkflows_xray import guard
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Access, App, Gap, Import, Model, Place, Static
from tests.xray.handover import renamed, static


def held(
    facts: Static, root: Path, division: dict[str, list[str]] | None = None, **options: Any
) -> tuple[int, str]:
    told = io.StringIO()
    contexts = Contexts.read(None, facts) if division is None else Contexts.divide(division, facts)
    status = guard.run(facts, contexts, root=root, out=told, **options)
    return status, told.getvalue()


def baseline(root: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((root / "xray-guard.json").read_text())
    return read


@pytest.fixture
def facts() -> Static:
    return static()


@pytest.fixture
def worse(facts: Static) -> Static:
    """The same with a new write across the border."""
    place = Place("shop/orders/services.py", 9, "shop.orders.services.return_order", "orders")
    return replace(
        facts, accesses=(*facts.accesses, Access("stock_stock", "update", ("available",), "query", place))
    )


@pytest.fixture
def better(facts: Static) -> Static:
    """The same without the import of orders into the receiver's module."""
    return replace(facts, imports=facts.imports[:1])


def test_first_run_writes_todays_violations_sorted_and_without_lines(facts: Static, tmp_path: Path) -> None:
    status, told = held(facts, tmp_path, init=True)

    kept = baseline(tmp_path)
    assert status == 0
    assert kept["apps"]["orders"] == {"name": "shop.orders", "context": "orders"}
    assert kept["violations"]["stock -> orders"]["import"] == [
        "shop.stock.creators -> shop.orders.creators.OrderCreator",
        "shop.stock.services -> shop.orders.models.Order",
    ]
    assert list(kept["violations"]) == sorted(kept["violations"])
    assert "Commit the file" in told


def test_second_init_overwrites_nothing(facts: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    status, told = held(facts, tmp_path, init=True)

    assert status == 2
    assert "is there already" in told


def test_same_look_passes(facts: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    assert held(facts, tmp_path)[0] == 0


def test_check_without_a_baseline_says_how_to_make_one(facts: Static, tmp_path: Path) -> None:
    status, told = held(facts, tmp_path)

    assert status == 2
    assert "xray guard --init" in told


def test_new_violation_fails_by_name_and_place(facts: Static, worse: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    status, told = held(worse, tmp_path)

    assert status == 1
    line = "shop.orders.services.return_order (orders) writes stock_stock (stock)  shop/orders/services.py:9"
    assert f"new      {line}\n" in told


def test_update_refuses_to_grow(facts: Static, worse: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)
    before = baseline(tmp_path)

    status, _ = held(worse, tmp_path, update=True)

    assert status == 1
    assert baseline(tmp_path) == before


def test_growth_needs_a_reason_which_the_file_keeps(facts: Static, worse: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    status, _ = held(worse, tmp_path, update=True, allow="The returns move out in spring.")

    assert status == 0
    (allowed,) = baseline(tmp_path)["allowed"]
    assert allowed["reason"] == "The returns move out in spring."
    assert "return_order -> stock_stock" in allowed["added"][0]
    assert held(worse, tmp_path)[0] == 0


def test_reason_alone_changes_nothing(facts: Static, worse: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    assert held(worse, tmp_path, allow="because")[0] == 2
    assert held(worse, tmp_path)[0] == 1


def test_gain_is_told_and_locked_in_by_update(facts: Static, better: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    status, told = held(better, tmp_path)
    assert status == 0
    assert "2 gone" in told
    assert "xray guard --update to lock the gain in" in told

    assert held(better, tmp_path, update=True)[0] == 0
    assert held(facts, tmp_path)[0] == 1


def test_moved_lines_are_no_change(facts: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)
    accesses = (replace(each, place=replace(each.place, line=each.place.line + 7)) for each in facts.accesses)

    status, told = held(replace(facts, accesses=tuple(accesses)), tmp_path)

    assert status == 0
    assert told.startswith("0 new, 0 gone")


def test_moved_file_is_no_decoupling_and_no_new_violation(worse: Static, tmp_path: Path) -> None:
    held(worse, tmp_path, init=True)

    status, told = held(renamed(worse, "shop.orders.services", "shop.orders.operations"), tmp_path)

    assert status == 0
    assert "0 new, 0 gone" in told
    assert "moved    shop.orders.operations.return_order (orders) writes stock_stock" in told


def test_renamed_app_is_no_decoupling_and_no_new_violation(worse: Static, tmp_path: Path) -> None:
    held(worse, tmp_path, init=True)
    depot = renamed(
        renamed(renamed(worse, "shop.stock", "shop.depot"), "stock_", "depot_"), "stock.", "depot."
    )
    depot = replace(
        depot,
        apps=tuple(replace(app, label="depot") if app.label == "stock" else app for app in depot.apps),
        models=tuple(replace(each, app="depot") if each.app == "stock" else each for each in depot.models),
        imports=tuple(
            replace(
                each,
                app="depot" if each.app == "stock" else each.app,
                place=replace(each.place, app="depot" if each.place.app == "stock" else each.place.app),
            )
            for each in depot.imports
        ),
        accesses=tuple(
            replace(
                each, place=replace(each.place, app="depot" if each.place.app == "stock" else each.place.app)
            )
            for each in depot.accesses
        ),
        signals=tuple(
            replace(
                each, place=replace(each.place, app="depot" if each.place.app == "stock" else each.place.app)
            )
            for each in depot.signals
        ),
    )

    status, told = held(depot, tmp_path)

    assert "0 new, 0 gone" in told, told
    assert status == 0


def test_fork_is_no_decoupling() -> None:
    """The bonds of a fork count for the context of the original."""
    from microworkflows_xray.guard import violations

    original = App("order", "oscar.apps.order", "/site/oscar/apps/order", "installed")
    partner = App("partner", "oscar.apps.partner", "/site/oscar/apps/partner", "installed")
    models = (Model("partner.Stock", "partner_stock", "partner", ("id",), Place("p.py", 1)),)
    division = {"order": ["order"], "partner": ["partner"]}

    def looked_at(app: App, module: str) -> Static:
        place = Place(f"{module.replace('.', '/')}/utils.py", 3, f"{module}.utils.Creator.place", "order")
        access = Access("partner_stock", "update", None, "query", place)
        return Static("/", "settings", (app, partner), models, accesses=(access,))

    before = looked_at(original, "oscar.apps.order")
    fork = replace(
        original, name="shop.order", path="/shop/order", origin="fork", forked_from="oscar.apps.order"
    )
    after = looked_at(fork, "shop.order")

    found = [violations.of(each, Contexts.divide(division, each)) for each in (before, after)]
    assert len(found[0]) == 1
    assert found[0] == found[1]


def test_app_that_can_no_longer_be_looked_at_fails(worse: Static, tmp_path: Path) -> None:
    held(worse, tmp_path, init=True)
    lost = replace(
        worse,
        apps=worse.apps[:1],
        models=worse.models[:2],
        relations=worse.relations[:1],
        imports=(),
        accesses=worse.accesses[:2],
        calls=(),
        signals=(),
    )

    status, told = held(lost, tmp_path)

    assert status == 1
    assert "partial  The app stock (shop.stock) can no longer be looked at" in told
    assert held(lost, tmp_path, update=True)[0] == 1
    assert held(lost, tmp_path, update=True, allow="Stock is a service now.")[0] == 0


def test_new_gap_fails_until_it_is_allowed(facts: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)
    partial = replace(facts, gaps=(Gap("file", "invalid syntax", Place("shop/orders/views.py", 3)),))

    status, told = held(partial, tmp_path)

    assert status == 1
    assert "partial  Not looked at: file (shop/orders/views.py)." in told
    assert held(partial, tmp_path, update=True, allow="Generated for Python 2.")[0] == 0
    assert held(partial, tmp_path)[0] == 0


def test_borders_that_are_drawn_anew_fail(facts: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    status, told = held(facts, tmp_path, {"sales": ["orders", "stock"]})

    assert status == 1
    assert "The app stock was in the context stock, and is now in sales" in told


def test_look_at_nothing_is_an_error(tmp_path: Path) -> None:
    status, told = held(Static("/", "settings"), tmp_path, init=True)

    assert status == 2
    assert "No app of the project was looked at" in told
    assert not (tmp_path / "xray-guard.json").exists()


def test_conflict_in_the_file_is_named(facts: Static, tmp_path: Path) -> None:
    (tmp_path / "xray-guard.json").write_text("<<<<<<< ours\n")

    status, told = held(facts, tmp_path)

    assert status == 2
    assert "is not JSON" in told


def test_github_gets_an_annotation_on_the_line(facts: Static, worse: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    _, told = held(worse, tmp_path, format="github")

    place = "file=shop/orders/services.py,line=9,title=New write across contexts"
    assert told == f"::error {place}::shop.orders.services.return_order (orders) writes stock_stock (stock)\n"


def test_json_holds_what_is_new_and_gone(facts: Static, worse: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)

    found = json.loads(held(replace(worse, imports=worse.imports[:1]), tmp_path, format="json")[1])

    assert (found["holds"], len(found["gone"])) == (False, 2)
    assert [(one["kind"], one["subject"], one["line"]) for one in found["new"]] == [
        ("write", "stock_stock", 9)
    ]


def test_sarif_names_rule_place_and_a_fingerprint_without_lines(
    facts: Static, worse: Static, tmp_path: Path
) -> None:
    held(facts, tmp_path, init=True)

    (sarif_run,) = json.loads(held(worse, tmp_path, format="sarif")[1])["runs"]

    (result,) = sarif_run["results"]
    assert result["ruleId"] in {rule["id"] for rule in sarif_run["tool"]["driver"]["rules"]}
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 9}
    assert "9" not in result["partialFingerprints"]["violation/v1"]


def test_import_of_a_new_name_from_the_same_module_is_new(facts: Static, tmp_path: Path) -> None:
    held(facts, tmp_path, init=True)
    place = Place("shop/stock/services.py", 3, "", "stock")
    more = replace(
        facts, imports=(*facts.imports, Import("shop.orders.models.Line", "orders", "import", place))
    )

    assert held(more, tmp_path)[0] == 1
