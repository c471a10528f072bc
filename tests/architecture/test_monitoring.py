"""What people copy to monitor: the dashboard and the alerts ask for metrics that exist, and each alert was tried."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from microworkflows.metrics.catalog import METRICS
from tests.architecture.files import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/microworkflows.json").read_text())
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
SAMPLES = {name: metric for metric in METRICS for name in metric.samples}


def run(program: str, *arguments: str | Path) -> str:
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions() -> Iterator[str]:
    """Yield each query of the dashboard."""
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (
        variable["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"
    )


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bmicroworkflows_\w+", expression))


def test_dashboard_asks_for_every_metric_and_for_none_that_does_not_exist() -> None:
    found = {name for expression in expressions() for name in asked(expression)}

    assert found <= SAMPLES.keys()
    assert {SAMPLES[name] for name in found} == set(METRICS)


def test_queries_name_labels_that_their_metrics_have() -> None:
    for expression in [*expressions(), *(rule["expr"] for rule in RULES)]:
        labels = {label for name in asked(expression) for label in SAMPLES[name].labels}
        grouped = {
            name for group in re.findall(r"(?:by|on) \(([\w, ]+)\)", expression) for name in group.split(", ")
        }
        matched = set(re.findall(r"[{,](\w+)(?==|!=|=~)", expression))

        assert grouped | matched <= labels | {"job", "le"}, expression


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in DASHBOARD["panels"]]
    taken = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]

    assert len(taken) == len(set(taken))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_promtool_accepts_rules_and_configuration(promtool: str) -> None:
    said = run(promtool, "check", "rules", "alerts.yml")
    assert f"SUCCESS: {len(RULES)} rules found" in said
    assert "SUCCESS" in run(promtool, "check", "config", "prometheus.yml")


def test_each_alert_is_raised_and_is_quiet_when_all_is_well(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", "alerts.test.yml")

    tried = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    raised = {test["alertname"] for case in tried for test in case["alert_rule_test"] if test["exp_alerts"]}
    quiet = {test["alertname"] for test in tried[0]["alert_rule_test"] if not test["exp_alerts"]}
    assert raised == quiet == {rule["alert"] for rule in RULES}


def test_alerts_ask_for_metrics_that_exist_and_say_what_to_do() -> None:
    for rule in RULES:
        assert asked(rule["expr"]) <= SAMPLES.keys()
        assert rule["labels"]["severity"] in {"warning", "critical"}
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert named <= {label for name in asked(rule["expr"]) for label in SAMPLES[name].labels}
