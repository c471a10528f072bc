"""Traces: what OpenTelemetry's spans add to a hop, in processor time of the worker, with the SDK, its batches and OTLP.

The same worker does the same steps without spans, with the spans of each trace, and with those of one trace in ten. Processor time is told
besides the rate, because it varies less where a machine has more to do.
"""

import re
import time
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.measurements.kit import Kit
from benchmarks.processes import PYTHON, Child
from project.processes.waiting import eventually

OFF, ON, TENTH = "without traces", "each trace", "one trace in ten"
_COUNTED = "SELECT count(*) FROM probe_effect"


def measure(bench: Bench) -> None:
    """Let the three take turns; compare those of the same round."""
    with Child(PYTHON, "-m", "benchmarks.sink", env={}, log=bench.log("sink")) as sink:
        found = sink.until(lambda output: re.search(r"port (\d+)\n", output), what="it named its port")
        assert found
        port = found[1]
        traced = {"BENCH_TRACES": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        tenth = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
        for number in range(2 if bench.quick else 7):
            alone = _hop(bench, OFF, number, {})
            for subject, more in ((ON, traced), (TENTH, {**traced, **tenth})):
                spent = _hop(bench, subject, number, more)
                bench.add("traces", subject, "added, %", 100 * (spent / alone - 1), round=number)
                bench.add("traces", subject, "added, µs", spent - alone, round=number)


def _hop(bench: Bench, subject: str, number: int, environment: dict[str, str]) -> float:
    """Return the processor time of the worker for one hop, in microseconds, once it is warm."""
    kit, count = Kit.fresh(bench, "traces"), bench.sized(full=6000, quick=1500)
    kit.preload(count)
    with replace(kit, more=environment).worker("--no-relay") as worker:
        eventually(lambda: kit.query(_COUNTED)[0] >= count // 5, timeout=180, every=0.1)
        begun, spent, began = kit.query(_COUNTED)[0], worker.cpu_seconds(), time.monotonic()
        eventually(lambda: kit.query(_COUNTED)[0] >= count, timeout=300, every=0.1)
        took, spent = time.monotonic() - began, worker.cpu_seconds() - spent
    bench.add("traces", subject, "events/s", (count - begun) / took, round=number)
    microseconds: float = 1e6 * spent / (count - begun)
    bench.add("traces", subject, "µs of the worker", microseconds, round=number)
    return microseconds
