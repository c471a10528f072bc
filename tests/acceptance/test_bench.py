"""``make bench`` as the documents say it: here the shortest measurement, in its quick form."""

import json
import os
import subprocess

import pytest

from tests.architecture.files import ROOT

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.postgres,
    pytest.mark.rabbitmq,
    pytest.mark.slow,
]


def test_make_bench_measures_and_reports() -> None:
    command = ["make", "bench", "QUICK=1", "ONLY=recording"]

    run = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((ROOT / "var/bench/benchmarks.json").read_text())
    assert not report["failures"]
    assert {"added, %", "with, ms", "without, ms"} <= {sample["metric"] for sample in report["samples"]}
    assert report["facts"]["run"] == "quick"
