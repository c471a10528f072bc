"""The journal's price: a hop without it, with its notices, and with the collector at work on the same machine; and the collector alone."""

import json
import time
from functools import partial

from benchmarks.bench import Bench
from benchmarks.measurements.kit import SUBJECT, Kit, hop_rate
from project.processes.waiting import eventually

_REPORTING = "microworkflows, reporting"
_COLLECTING = "microworkflows, reporting and collecting"
_ROWS = "SELECT count(*) FROM microworkflows_journal_delivery"


def measure(bench: Bench) -> None:
    """Measure a hop in one process with and without the journal, in turns; and how fast a full queue of notices is written."""
    subjects = {
        SUBJECT: partial(_hop, bench, SUBJECT),
        _REPORTING: partial(_hop, bench, _REPORTING),
        _COLLECTING: partial(_hop, bench, _COLLECTING),
    }
    bench.interleave("journal", subjects)


def _hop(bench: Bench, subject: str, number: int) -> None:
    reports = subject != SUBJECT
    kit, count = Kit.fresh(bench, "journal", journal=reports), bench.sized(full=6000, quick=3000)
    kit.preload(count)
    if subject == _COLLECTING:
        with kit.start("journal_collect"):
            eventually(lambda: _reads(kit), timeout=60, every=0.3)
            rate = hop_rate(kit, processes=1, count=count)
    else:
        rate = hop_rate(kit, processes=1, count=count)
    bench.add("journal", subject, "events/s", rate, round=number)
    if subject == _REPORTING:
        _collect(bench, kit, count, number)


def _reads(kit: Kit) -> bool:
    return bool(kit.query("SELECT count(*) FROM microworkflows_journal_process")[0])


def _collect(bench: Bench, kit: Kit, count: int, number: int) -> None:
    """Write the notices of the hops, which wait in their queue: two for each event."""
    with kit.start("journal_collect"):
        eventually(lambda: _reads(kit), timeout=60, every=0.02)
        began, before = time.monotonic(), kit.query(_ROWS)[0]
        eventually(lambda: kit.query(_ROWS)[0] >= count, timeout=300, every=0.05)
        took = time.monotonic() - began
    bench.add("journal", "collector", "notices/s", 2 * (count - before) / took, round=number)
    bench.say(json.dumps({"deliveries": count, "seconds": round(took, 2)}))
