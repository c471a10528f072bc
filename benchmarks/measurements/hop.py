"""A hop: an event delivered until inbox row, the step's writes and its outbox row are committed, against a bare Celery task.

Both worker pools take their messages from a quorum queue that is full before they start, and do the same two writes.
"""

from functools import partial

from benchmarks.bench import Bench
from benchmarks.measurements.kit import SUBJECT, Kit, hop_rate

_BARE = "bare Celery task"


def measure(bench: Bench) -> None:
    """Measure both with one, two and four processes."""
    for processes in (1, 2) if bench.quick else (1, 2, 4):
        bench.interleave(
            "hop",
            {
                SUBJECT: partial(_ours, bench, processes),
                _BARE: partial(_bare, bench, processes),
            },
        )


def _ours(bench: Bench, processes: int, number: int) -> None:
    kit, count = Kit.fresh(bench, "hop"), bench.sized(full=3000, quick=1500)
    kit.preload(count)
    rate = hop_rate(kit, processes=processes, count=count)
    bench.add("hop", SUBJECT, "events/s", rate, round=number, processes=processes)


def _bare(bench: Bench, processes: int, number: int) -> None:
    kit, count = Kit.fresh(bench, "hop"), bench.sized(full=3000, quick=1500)
    kit.manage("probe_send", str(count))
    rate = hop_rate(kit, processes=processes, count=count, bare=True)
    bench.add("hop", _BARE, "events/s", rate, round=number, processes=processes)
