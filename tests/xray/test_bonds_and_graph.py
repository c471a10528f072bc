"""The bonds between contexts, their evidence, and the cycles they make, from facts made by hand."""

from __future__ import annotations

from dataclasses import replace

from microworkflows_xray import evidence, graph
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Call, Import, Observed, Relation, Static, Task, Transaction
from microworkflows_xray.graph import Graph
from microworkflows_xray.static import calls
from tests.xray.samples import ACCEPT, CAPTURE, EXPORT, SHOP, SHOP_RECORDING, access, place, wide


def drawn(static: Static = SHOP, observed: Observed | None = None, division: Contexts | None = None) -> Graph:
    return graph.bonds(static, observed, division or Contexts.read(None, static))


def test_a_bond_of_each_kind_has_its_place() -> None:
    kinds = {bond.kind: bond for edge in drawn().edges for bond in edge.bonds}

    assert kinds.keys() == {
        "write",
        "foreign key",
        "join",
        "read",
        "signal",
        "call",
        "task",
        "import",
        "loader",
    }
    assert all(bond.place.file and bond.place.line for bond in kinds.values())


def test_a_foreign_key_says_what_happens_on_delete_and_whether_the_database_holds_it() -> None:
    pairs = drawn().by_pair

    (held,) = pairs["orders", "catalogue"].kinds["foreign key"]
    (loose,) = pairs["shipping", "orders"].kinds["foreign key"]

    assert held.detail == "foreign key to catalogue.Product, PROTECT, database constraint"
    assert loose.detail == "foreign key to orders.Order, CASCADE, no database constraint"


def test_what_stays_inside_a_context_is_no_bond() -> None:
    graph = drawn()

    assert ("orders", "orders") not in graph.by_pair
    assert "orders_line" not in {
        bond.subject for edge in graph.edges for bond in edge.bonds if edge.source == "orders"
    }


def test_shared_apps_are_named_apart_and_are_no_contexts() -> None:
    graph = drawn()

    assert [context.name for context in graph.contexts] == [
        "catalogue",
        "orders",
        "payments",
        "shipping",
        "stock",
    ]
    assert {(edge.source, edge.target) for edge in graph.shared} == {
        ("orders", "auth"),
        ("payments", "auth"),
        ("stock", "contenttypes"),
    }


def test_code_in_no_context_is_kept_apart_with_what_it_uses() -> None:
    script = access("update", "orders_order", place("", "", 4, "fix"), "state")

    graph = drawn(replace(SHOP, accesses=(*SHOP.accesses, script)))

    assert [(edge.target, edge.count("write")) for edge in graph.outside] == [("orders", 1)]


def test_several_lines_of_one_function_that_do_the_same_count_once() -> None:
    again = access("update", "payments_payment", replace(ACCEPT, line=29), "state")

    edge = drawn(replace(SHOP, accesses=(*SHOP.accesses, again))).by_pair["orders", "payments"]

    assert edge.count("write") == drawn().by_pair["orders", "payments"].count("write")
    assert len(edge.kinds["write"]) == 3


def test_a_string_in_a_relation_is_not_counted_besides_the_relation() -> None:
    setting = Import("catalogue.Product", "catalogue", "string", place("orders", "", 2, "conf"))

    found = (
        drawn(replace(SHOP, imports=(*SHOP.imports, setting))).by_pair["orders", "catalogue"].kinds["loader"]
    )

    assert [bond.place.file for bond in found] == ["orders/conf.py"]


def test_a_receiver_depends_on_the_sender_and_not_the_other_way_round() -> None:
    sent = Call(
        "orders.operations.accept", "shipping.receivers.prepare", place("orders", "accept", 22), "signal"
    )

    pairs = drawn(replace(SHOP, calls=(*SHOP.calls, sent))).by_pair

    assert "signal" in pairs["shipping", "orders"].kinds
    assert "signal" not in pairs["orders", "shipping"].kinds


def test_what_is_handed_in_depends_on_the_one_that_takes_it() -> None:
    middleware, view = place("orders", "Header.__call__", 3), "payments.views.pay"
    call = Call(middleware.function, view, middleware, "callback")

    static = replace(SHOP, calls=(call,))

    assert view not in {
        bond.subject for edge in drawn(static).edges for kind in edge.kinds.values() for bond in kind
    }
    assert calls.Graph(static.calls).reach(call.caller) == {call.caller, view}
    assert calls.Graph(static.calls).after(view) == frozenset()


def test_a_task_found_as_a_call_is_not_counted_twice() -> None:
    task = SHOP.tasks[0]
    call = Call("orders.operations.accept", task.name, task.place, "task")

    edge = drawn(replace(SHOP, calls=(*SHOP.calls, call))).by_pair["orders", "shipping"]

    assert edge.count("task") == 1


def test_a_generic_relation_is_one_with_content_types() -> None:
    anything = Relation(
        "orders.Order", "about", "*", "generic", "", False, place("orders", "Order", 50, "models")
    )

    graph = drawn(replace(SHOP, relations=(anything,)))

    assert [
        (edge.source, edge.target, *edge.kinds) for edge in graph.shared if edge.target == "contenttypes"
    ] == [("orders", "contenttypes", "generic relation")]


def test_a_division_by_model_makes_bonds_inside_one_app() -> None:
    division = Contexts.divide({"paying": ["payments.Payment"], "refunding": ["payments.Refund"]}, SHOP)

    pairs = drawn(division=division).by_pair

    assert [bond.subject for bond in pairs["refunding", "paying"].kinds["foreign key"]] == [
        "payments.Refund.payment"
    ]


def test_contexts_that_depend_on_each_other_are_a_cycle_and_its_cut_ends_it() -> None:
    graph = drawn()

    cycles = graph.cycles

    assert [cycle.contexts for cycle in cycles] == [
        ("orders", "payments", "shipping"),
        ("catalogue", "stock"),
    ]
    assert cycles[0].mutual == (("orders", "payments"), ("orders", "shipping"))
    cut = {edge for cycle in cycles for edge in cycle.cut}
    assert replace(graph, edges=tuple(edge for edge in graph.edges if edge not in cut)).cycles == ()


def test_the_order_of_the_matrix_points_forward_where_there_is_no_cycle() -> None:
    graph = drawn()
    cut = {edge for cycle in graph.cycles for edge in cycle.cut}

    order = replace(graph, edges=tuple(edge for edge in graph.edges if edge not in cut)).order

    assert all(order.index(edge.source) < order.index(edge.target) for edge in graph.edges if edge not in cut)


def test_an_access_is_observed_predicted_only_or_never_executed() -> None:
    judged = {
        (one.access.place.function, one.access.table): one for one in evidence.judge(SHOP, SHOP_RECORDING)
    }

    assert judged[CAPTURE.function, "orders_order"].evidence == "observed"
    assert judged[CAPTURE.function, "orders_order"].times == 95
    assert judged["catalogue.operations.search", "catalogue_product"].evidence == "predicted only"
    assert judged[EXPORT.function, "payments_refund"].evidence == "never executed"


def test_without_a_recording_nothing_counts_as_observed_or_as_never_executed() -> None:
    assert {one.evidence for one in evidence.judge(SHOP, None)} == {"predicted only"}


def test_a_recorder_that_cannot_tell_what_ran_calls_nothing_never_executed() -> None:
    judged = evidence.judge(SHOP, replace(SHOP_RECORDING, executed=()))

    assert {one.evidence for one in judged} == {"observed", "predicted only"}


def test_a_class_body_is_not_said_to_be_never_executed() -> None:
    view = access("read", "orders_order", place("orders", "OrderView", 3, "views"), how="generic view")

    (judged,) = evidence.judge(replace(SHOP, accesses=(view,)), replace(SHOP_RECORDING, transactions=()))

    assert judged.evidence == "predicted only"


def test_what_only_the_recording_saw_becomes_a_bond_and_says_so() -> None:
    graph = drawn(observed=SHOP_RECORDING)

    (bond,) = graph.by_pair["orders", "shipping"].kinds["write"]

    assert bond.evidence == "observed"
    assert bond.detail.endswith("(seen only while running)")


def test_a_function_inside_another_counts_as_part_of_it() -> None:
    inner = access("read", "orders_order", place("orders", "outer.inner", 3))
    ran = replace(SHOP_RECORDING, executed=("orders.operations.outer.<locals>.inner",), transactions=())

    (judged,) = evidence.judge(replace(SHOP, accesses=(inner,)), ran)

    assert judged.evidence == "predicted only"


def test_a_task_of_an_unknown_function_is_no_bond() -> None:
    task = Task("elsewhere.work", "rq", "enqueued", place("orders", "accept", 40))

    graph = drawn(replace(SHOP, tasks=(task,)))

    assert "task" not in graph.by_pair["orders", "payments"].kinds
    assert not [edge for edge in graph.edges if "task" in edge.kinds]


def test_the_same_facts_give_the_same_graph_in_any_order() -> None:
    static = wide(12)
    backwards = replace(
        static, accesses=static.accesses[::-1], relations=static.relations[::-1], imports=static.imports[::-1]
    )

    assert drawn(static).edges == drawn(backwards).edges


def test_repeated_recordings_add_up() -> None:
    twice = replace(
        SHOP_RECORDING,
        transactions=(
            *SHOP_RECORDING.transactions,
            Transaction("request", "POST pay", 5, (SHOP.accesses[6],)),
        ),
    )

    judged = {
        (one.access.place.function, one.access.table, one.access.verb): one
        for one in evidence.judge(SHOP, twice)
    }

    assert judged[CAPTURE.function, "orders_order", "update"].times == 100
