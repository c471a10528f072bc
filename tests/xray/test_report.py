"""The report in its four formats, whole and partial, small and large."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import App, Gap, Observed, Place, Static
from microworkflows_xray.report import FORMATS, contextmap
from microworkflows_xray.report.content import Content, EmptyError, build
from tests.xray.samples import GAPS, SHOP, SHOP_RECORDING, wide


def content_of(static: Static = SHOP, observed: Observed | None = SHOP_RECORDING) -> Content:
    return build(static, observed, Contexts.read(None, static))


def written(name: str, static: Static = SHOP, observed: Observed | None = SHOP_RECORDING) -> str:
    return FORMATS[name](content_of(static, observed))


def text_of(html: str) -> str:
    """Return what a reader sees, on one line."""
    seen = re.sub(r"<(style|script).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", seen).split())


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_facts_give_the_same_report_in_any_order(name: str) -> None:
    backwards = replace(
        SHOP, accesses=SHOP.accesses[::-1], relations=SHOP.relations[::-1], calls=SHOP.calls[::-1]
    )

    assert written(name) == written(name, backwards)


@pytest.mark.parametrize("name", FORMATS)
def test_a_partial_report_says_what_is_missing(name: str) -> None:
    report = written(name, replace(SHOP, gaps=GAPS))

    assert "app loyalty" in report
    assert "URL configuration shop.urls" in report


@pytest.mark.parametrize("name", ["html", "md"])
def test_a_partial_report_says_so_before_anything_else(name: str) -> None:
    report = text_of(written(name, replace(SHOP, gaps=GAPS)))

    assert 0 < report.index("partial: 2 things could not be looked at") < report.index("contexts")
    assert "partial" not in written(name)


@pytest.mark.parametrize("name", ["html", "md"])
def test_a_partial_report_does_not_say_that_there_is_no_cycle(name: str) -> None:
    straight = replace(SHOP, accesses=(), imports=(), calls=(), signals=(), tasks=(), gaps=GAPS)

    report = text_of(written(name, straight, None))

    assert "There is none in what could be looked at." in report


def test_gaps_of_a_recording_make_a_report_partial_as_well() -> None:
    seen = replace(SHOP_RECORDING, gaps=(Gap("queries of the alias replica", "they were not recorded"),))

    assert "queries of the alias replica" in written("html", observed=seen)


def test_a_report_about_nothing_is_an_error_that_says_why() -> None:
    nothing = Static(
        "shop", "shop.settings", (App("auth", "django.contrib.auth", "auth", "installed"),), gaps=GAPS
    )

    with pytest.raises(EmptyError, match=r"no app of its own.*app loyalty.*--root"):
        content_of(nothing, None)


def test_apps_in_which_nothing_was_found_are_an_error_too() -> None:
    with pytest.raises(EmptyError, match="no models, imports or queries"):
        content_of(Static("shop", "shop.settings", (App("orders", "orders", "orders"),)), None)


@pytest.mark.parametrize("name", ["html", "md"])
def test_without_a_recording_no_number_of_transactions_is_given(name: str) -> None:
    report = text_of(written(name, observed=None))

    assert "Nothing was recorded" in report
    assert "0 transactions seen" not in report
    assert "● observed" not in report


def test_the_page_needs_no_network() -> None:
    html = written("html")

    assert not re.search(r"""(?:src|href)=["'](?!#)|url\((?!#)|@import|https?://""", html)


def test_each_link_of_the_page_leads_somewhere_on_it() -> None:
    html = written("html", replace(wide(60), gaps=GAPS), None)
    ids = set(re.findall(r'\bid="([^"]+)"', html))

    assert {target for target in re.findall(r'href="#([^"]*)"', html) if target not in ids} == set()
    assert len(ids) == len(re.findall(r'\bid="', html))


def test_names_from_the_project_cannot_break_the_page() -> None:
    evil = '"><script>alert(1)</script>'
    static = replace(SHOP, root=evil, gaps=(Gap(evil, evil),), settings="{{ settings }}")

    html = written("html", static)

    assert evil not in html
    assert html.count("<script>") == 1
    assert "{{ settings }}" in html


def test_the_page_says_what_a_team_lead_decides_with() -> None:
    report = text_of(written("html"))

    for sentence in (
        "Begin with catalogue: of those that own tables it costs least. Moving catalogue out costs 17 points: 2 foreign keys in,",
        "Leave orders for later: taking it out first would cost 89 points.",
        "The strongest dependency is that of orders on payments: 2 writes, 1 join, 1 call, 1 import.",
        "Request POST orders:accept writes orders, payments and stock in one transaction, seen 120 times; it calls pay.example:443 while that is open.",
        "3 contexts depend on each other in a circle; without 2 dependencies listed below they would not.",
        "12 observed 6 predicted only 2 never executed",
    ):
        assert sentence in report


def test_a_project_with_one_context_is_told_to_divide_it() -> None:
    one = replace(
        SHOP,
        apps=(SHOP.apps[1],),
        models=SHOP.models[3:5],
        relations=(),
        accesses=(),
        imports=(),
        calls=(),
        signals=(),
        tasks=(),
    )

    assert "There is one context only. The proposal below divides it" in written("html", one, None)


def test_a_page_of_sixty_apps_folds_what_is_light_and_stays_below_a_megabyte() -> None:
    html = written("html", wide(60), None)

    assert "40 lighter dependencies" in html
    assert 'id="filter"' in html
    assert len(html) < 1_000_000


def test_a_page_lists_few_places_where_there_are_very_many_and_says_so() -> None:
    busy = wide(24)
    many = tuple(
        replace(one, place=replace(one.place, function=f"{one.place.function}_{n}"))
        for one in busy.accesses
        for n in range(30)
    )

    html = written("html", replace(busy, accesses=many), None)

    assert "more in the JSON" in html
    assert len(html) < 1_500_000


def test_the_map_draws_each_context_inside_its_box_and_each_dependency_once() -> None:
    graph = content_of(wide(60), None).graph

    for drawing in (contextmap.draw(graph), contextmap.draw(graph, phone=True)):
        assert len(drawing.nodes) == 60
        assert (
            len({(curve.source, curve.target) for curve in drawing.curves})
            == len(graph.edges)
            == len(drawing.curves)
        )
        assert all(
            0 < float(node.x) < drawing.width and 0 < float(node.y) < drawing.height for node in drawing.nodes
        )


def test_the_map_puts_bound_contexts_beside_each_other() -> None:
    ring = contextmap.ring(content_of(wide(30), None).graph)
    groups = [name.split("_")[0] for name in ring]

    assert sum(one != two for one, two in zip(groups, groups[1:] + groups[:1], strict=True)) == 5


def test_the_markdown_has_the_matrix_and_the_order() -> None:
    report = written("md")

    assert "| **orders** | 4 |  | 5 | 2 | 2 |" in report
    assert "| 1 | **catalogue** | 17 | 17 |" in report
    assert "- after the commit: `orders.tasks.confirm`, `shipping.tasks.print_label`" in report


def test_a_table_in_the_markdown_survives_odd_names() -> None:
    odd = replace(SHOP, gaps=(Gap("app a|b_c*d", "<no> reason"),))

    assert "app a\\|b\\_c\\*d: &lt;no> reason" in written("md", odd)


def test_the_json_has_each_bond_with_its_place_and_each_access_with_its_evidence() -> None:
    report = json.loads(written("json"))

    edges = {(edge["source"], edge["target"]): edge for edge in report["edges"]}
    (key,) = (bond for bond in edges["payments", "orders"]["bonds"] if bond["kind"] == "foreign key")
    assert key["subject"] == "payments.Payment.order"
    assert (key["place"]["file"], key["place"]["line"]) == ("payments/models.py", 9)
    assert edges["orders", "payments"]["sites"] == {"write": 2, "join": 1, "call": 1, "import": 1}
    assert {one["evidence"] for one in report["accesses"]} == {"observed", "predicted only", "never executed"}
    assert report["partial"] is False
    assert report["ranking"][0]["parts"][0]["places"]


# SARIF. The rules below restate what the published schema of SARIF 2.1.0 asks of the parts that are written.

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LOCATION = {
    "type": "object",
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    "properties": {
                        "uri": {"type": "string", "pattern": r"^[^\s\\]+$"},
                        "uriBaseId": {"type": "string"},
                    },
                    "additionalProperties": False,
                },
                "region": {
                    "type": "object",
                    "properties": {"startLine": {"type": "integer", "minimum": 1}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
        "logicalLocations": {
            "type": "array",
            "uniqueItems": True,
            "items": {"type": "object", "properties": {"fullyQualifiedName": {"type": "string"}}},
        },
    },
    "additionalProperties": False,
}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "semanticVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "id": {"type": "string"},
                                                "name": {"type": "string"},
                                                "shortDescription": TEXT,
                                                "defaultConfiguration": {
                                                    "type": "object",
                                                    "properties": {"level": LEVEL},
                                                    "additionalProperties": False,
                                                },
                                            },
                                            "additionalProperties": False,
                                        },
                                    },
                                },
                                "additionalProperties": False,
                            }
                        },
                        "additionalProperties": False,
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "originalUriBaseIds": {
                        "type": "object",
                        "additionalProperties": {"type": "object", "properties": {"description": TEXT}},
                    },
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "properties": {
                                "executionSuccessful": {"type": "boolean"},
                                "toolExecutionNotifications": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["message"],
                                        "properties": {
                                            "message": TEXT,
                                            "level": LEVEL,
                                            "locations": {"type": "array", "items": LOCATION},
                                        },
                                        "additionalProperties": False,
                                    },
                                },
                            },
                            "additionalProperties": False,
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "level": LEVEL,
                                "message": TEXT,
                                "locations": {"type": "array", "items": LOCATION},
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                            },
                            "additionalProperties": False,
                        },
                    },
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


def sarif(static: Static = SHOP, observed: Observed | None = SHOP_RECORDING) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(written("sarif", static, observed))
    return report


@pytest.mark.parametrize(
    ("static", "observed"),
    [
        (SHOP, SHOP_RECORDING),
        (replace(SHOP, gaps=(*GAPS, Gap("a", "b", Place("x y.py", 0)))), None),
        (wide(60), None),
    ],
)
def test_the_sarif_follows_the_rules_of_its_schema(static: Static, observed: Observed | None) -> None:
    report = sarif(static, observed)

    jsonschema.Draft7Validator(SARIF).validate(report)
    (run,) = report["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert run["results"]


def test_the_sarif_names_each_foreign_write_at_its_line() -> None:
    (result,) = (
        one
        for one in sarif()["runs"][0]["results"]
        if "stock_level of stock" in one["message"]["text"] and one["ruleId"] == "XR001"
    )

    assert (
        result["message"]["text"]
        == "orders writes stock_level of stock (updates reserved by F() update, observed)."
    )
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "orders/operations.py", "uriBaseId": "PROJECT"}
    assert physical["region"] == {"startLine": 20}


def test_a_moved_line_keeps_the_fingerprint_of_its_result() -> None:
    moved = replace(
        SHOP,
        accesses=tuple(
            replace(one, place=replace(one.place, line=one.place.line + 7)) for one in SHOP.accesses
        ),
    )

    prints = [
        [one["partialFingerprints"] for one in sarif(static)["runs"][0]["results"]]
        for static in (SHOP, moved)
    ]

    assert prints[0] == prints[1]


def test_the_sarif_gives_a_network_call_inside_a_transaction() -> None:
    (result,) = (one for one in sarif()["runs"][0]["results"] if one["ruleId"] == "XR007")

    assert (
        "POST orders:accept calls pay.example:443 while it holds rows of orders, payments, stock"
        in result["message"]["text"]
    )
