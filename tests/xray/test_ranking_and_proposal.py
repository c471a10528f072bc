"""In which order contexts can leave and at what cost, which transactions span them, and which contexts are proposed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from microworkflows_xray import evidence, graph, proposal, ranking, transactions
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import App, Call, Static, Transaction
from microworkflows_xray.ranking import Candidate
from tests.xray.samples import SHOP, SHOP_ACCESSES, SHOP_RECORDING, access, key, model, place, wide

CONTEXTS = Contexts.read(None, SHOP)
SPANS = transactions.observed_spans(SHOP_RECORDING, CONTEXTS)


def ranked(static: Static = SHOP) -> dict[str, Candidate]:
    found = graph.bonds(static, SHOP_RECORDING, Contexts.read(None, static))
    return {one.context: one for one in ranking.ranking(found, SPANS)}


def test_a_cost_is_the_sum_of_its_parts_and_each_part_has_its_places() -> None:
    for one in ranked().values():
        assert one.cost == sum(part.count * part.weight for part in one.parts)
        assert all(part.bonds or part.spans for part in one.parts)


def test_the_bill_reads_as_a_sentence() -> None:
    assert ranked()["catalogue"].sentence == (
        "Moving catalogue out costs 17 points: 2 foreign keys in, 1 joining query of others, 2 synchronous readers, "
        "1 own read of others, 2 imports by others."
    )


def test_the_cheapest_leaves_first_and_later_ones_no_longer_pay_for_bonds_with_it() -> None:
    one = list(ranked().values())

    assert [each.position for each in one] == [1, 2, 3, 4, 5]
    assert one[0].context == "catalogue"
    assert one[0].then == one[0].cost == min(each.cost for each in one)
    assert ranked()["stock"].then < ranked()["stock"].cost
    assert ranked()["orders"].then == 2  # what is left are uses of auth


def test_transactions_that_were_seen_cost_each_context_in_them() -> None:
    (part,) = (part for part in ranked()["payments"].parts if part.names == ranking.SPANS)

    assert (part.count, part.points) == (2, 2 * ranking.SPAN_WEIGHT)


def test_a_context_that_nothing_holds_can_move_first() -> None:
    alone = replace(SHOP, apps=(*SHOP.apps, App("about", "about", "about")))

    first = next(iter(ranked(alone).values()))

    assert first.context == "about"
    assert first.sentence == "Nothing that was looked at holds about: it can move first."


def test_a_transaction_that_spans_contexts_says_what_it_writes_and_calls() -> None:
    first = SPANS[0]

    assert (first.kind, first.name, first.count) == ("request", "POST orders:accept", 120)
    assert first.contexts == ("orders", "payments", "stock")
    assert [(one.context, one.table, one.verbs, one.columns) for one in first.written] == [
        ("orders", "orders_line", ("insert",), ()),
        ("orders", "orders_order", ("insert",), ()),
        ("payments", "payments_payment", ("insert",), ()),
        ("stock", "stock_level", ("update",), ("reserved",)),
    ]
    assert first.network == ("pay.example:443",)
    assert first.on_commit == ("orders.tasks.confirm", "shipping.tasks.print_label")
    assert first.seconds == 42.0 / 120


def test_a_whole_test_and_a_transaction_of_one_context_span_nothing() -> None:
    seen = (
        Transaction("test", "test_all", 1, SHOP_ACCESSES),
        Transaction("atomic", "orders.note", 1, SHOP_ACCESSES[:2]),
    )

    assert transactions.observed_spans(replace(SHOP_RECORDING, transactions=seen), CONTEXTS) == ()


def test_one_whole_row_makes_the_columns_of_a_table_unknown() -> None:
    at = place("orders", "both")
    seen = Transaction(
        "atomic",
        "both",
        1,
        (
            access("update", "orders_order", at, "state"),
            access("insert", "orders_order", at),
            access("update", "stock_level", at, "reserved"),
        ),
    )

    (span,) = transactions.observed_spans(replace(SHOP_RECORDING, transactions=(seen,)), CONTEXTS)

    assert [(one.table, one.verbs, one.columns) for one in span.written] == [
        ("orders_order", ("insert", "update"), ()),
        ("stock_level", ("update",), ("reserved",)),
    ]


def predicted(*calls: Call) -> dict[str, tuple[str, ...]]:
    static = replace(SHOP, calls=calls)
    found = transactions.predicted_spans(static, evidence.judge(static, None), CONTEXTS)
    return {span.name: span.contexts for span in found}


def test_a_function_spans_contexts_with_what_it_calls() -> None:
    calls = (
        Call("shop.checkout", "stock.operations.reserve", place("orders", "x")),
        Call("shop.checkout", "payments.operations.capture", place("orders", "x")),
    )

    assert predicted(*calls)["shop.checkout"] == ("orders", "payments", "stock")


def test_a_function_that_only_calls_one_that_spans_is_left_out() -> None:
    assert "shop.view" not in predicted(Call("shop.view", "orders.operations.accept", place("orders", "x")))


def test_tasks_and_on_commit_functions_are_not_part_of_a_transaction() -> None:
    calls = (
        Call("shop.job", "stock.operations.reserve", place("orders", "x"), "task"),
        Call("shop.job", "payments.operations.capture", place("orders", "x"), "on_commit"),
    )

    assert "shop.job" not in predicted(*calls)


def test_functions_that_call_each_other_in_a_circle_are_followed_once() -> None:
    calls = (
        Call("shop.a", "shop.b", place("orders", "x")),
        Call("shop.b", "shop.a", place("orders", "x")),
        Call("shop.b", "stock.operations.reserve", place("orders", "x")),
        Call("shop.a", "shipping.operations.dispatch", place("orders", "x")),
    )

    assert predicted(*calls)["shop.a"] == ("orders", "shipping", "stock")


def proposed(static: Static) -> proposal.Proposal:
    return proposal.propose(static, evidence.judge(static, None))


def test_apps_that_hold_together_are_proposed_as_one_context() -> None:
    found = proposed(wide(30))

    assert {len(group.members) for group in found.groups} == {6}
    assert all(len({member.split("_")[0] for member in group.members}) == 1 for group in found.groups)
    assert found.modularity > 0.3


def test_installed_apps_are_in_no_proposed_context() -> None:
    members = {member for group in proposed(SHOP).groups for member in group.members}

    assert members == {"catalogue", "orders", "payments", "shipping", "stock"}


def one_app() -> Static:
    """Return everything in one app: two families of models, each held together by keys and common writes."""
    models, relations, accesses = [], [], []
    for word in ("Order", "Stock"):
        names = [f"{word}{end}" for end in ("Item", "Note", "Batch", "State", "Entry", "Source", "Reason")]
        models += [model("core", name) for name in names]
        relations += [key("core", f"{name}.parent", f"core.{names[0]}", 9) for name in names[1:]]
        accesses += [
            access("update", f"core_{table.lower()}", place("core", f"write_{name}"), "state")
            for name in names[1:]
            for table in (name, names[0])
        ]
    relations.append(key("core", "OrderItem.source", "core.StockItem", 12))
    return Static(
        "mono",
        "mono.settings",
        (App("core", "core", "core"),),
        tuple(models),
        tuple(relations),
        (),
        tuple(accesses),
    )


def test_an_app_that_holds_everything_is_divided_by_model() -> None:
    found = proposed(one_app())

    assert {group.name for group in found.groups} == {"order", "stock"}
    assert all(
        label.startswith(f"core.{group.name.title()}") for group in found.groups for label in group.models
    )
    assert found.divided == ("core",)


def test_the_table_of_a_many_to_many_field_stays_with_its_model() -> None:
    static = one_app()
    through = replace(model("core", "x"), label="core.StockItem_tags", table="core_stockitem_tags")

    found = proposed(replace(static, models=(*static.models, through)))

    assert [group.name for group in found.groups if "core.StockItem_tags" in group.members] == ["stock"]


def test_a_project_without_models_gets_no_proposal() -> None:
    assert proposed(replace(SHOP, models=(), relations=(), accesses=())).groups == ()


def test_a_proposal_is_a_division_that_can_be_read() -> None:
    static = one_app()
    groups = {group.name: group.members for group in proposed(static).groups}

    division = Contexts.divide(groups, static)

    assert set(division.names) - {"core"} == {"order", "stock"}
    assert graph.bonds(static, None, division).by_pair["order", "stock"].count("foreign key") == 1


def test_a_proposal_is_the_same_in_each_process() -> None:
    code = "from tests.xray.test_ranking_and_proposal import *; print(proposed(wide(24)), proposed(one_app()), proposed(SHOP))"

    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(outputs) == 1
