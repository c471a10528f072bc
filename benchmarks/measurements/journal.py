"""The journal's price: a hop without it, with its notices, and with the collector at work beside it; and the collector's speed.

Processor time is what counts: it is the same whatever else the machine does.
"""

import json
import os
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.measurements.kit import SUBJECT, Kit
from project.processes.tree import children
from project.processes.waiting import eventually

_REPORTING = "microworkflows, reporting"
_COLLECTING = "microworkflows, reporting and collecting"
_EFFECTS = "SELECT count(*) FROM probe_effect"


def measure(bench: Bench) -> None:
    """Measure a hop in one process with and without the journal, in turns; and how fast notices are written."""
    for number in range(bench.rounds * 2):
        for subject in (SUBJECT, _REPORTING, _COLLECTING):
            bench.attempt("journal", subject, partial(_hop, bench, subject, number))
    bench.attempt("journal", "collector", partial(_collect, bench))


def _hop(bench: Bench, subject: str, number: int) -> None:
    kit, count = (
        Kit.fresh(bench, "journal", journal=subject != SUBJECT),
        bench.sized(full=6000, quick=3000),
    )
    kit.preload(count)
    if subject == _COLLECTING:
        with kit.start("journal_collect"):
            _work(bench, kit, subject, number, count)
    else:
        _work(bench, kit, subject, number, count)


def _work(bench: Bench, kit: Kit, subject: str, number: int, count: int) -> None:
    with kit.worker("--no-relay", processes=1) as worker:
        first = eventually(lambda: _more_than(kit, count // 10), timeout=180, every=0.1)
        (pool,) = [child for child in children(worker.pid) if _seconds(child) > 0]
        began = _seconds(pool)
        last = eventually(lambda: _more_than(kit, count - 1), timeout=300, every=0.1)
        took = _seconds(pool) - began
    bench.add("journal", subject, "CPU ms/event", 1000 * took / (last - first), round=number)


def _more_than(kit: Kit, count: int) -> int:
    done: int = kit.query(_EFFECTS)[0]
    return done if done > count else 0


def _seconds(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _collect(bench: Bench) -> None:
    kit = Kit.fresh(bench, "journal", journal=True)
    orders = bench.sized(full=4000, quick=1000)
    for number in range(bench.rounds):
        out = kit.manage("probe_journal", str(orders))
        found = json.loads(out.strip().splitlines()[-1])
        bench.add("journal", "collector", "notices/s", found["notices"] / found["seconds"], round=number)
        bench.add(
            "journal", "collector", "CPU µs/notice", 1e6 * found["cpu"] / found["notices"], round=number
        )
