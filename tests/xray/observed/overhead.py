"""Measure what the middleware costs: ``python -m tests.xray.observed.overhead`` prints ratios of CPU time to a process without it.

Processes without, with 1 % and with 100 % take turns at the same view of ten statements in memory, so that a busy machine slows all alike.
A second process without the middleware tells how far such ratios can be trusted.
"""

import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.xray import processes
from tests.xray.observed.workshop import Workshop

REQUESTS = 50
ROUNDS = 21
SHARES = {"without": None, "without, again": None, "1 %": "0.01", "100 %": "1"}


def main(rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median ratio of each share, and print it with the quartiles."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        workshop = Workshop(folder)
        processes = {name: opened.enter_context(_start(workshop, share)) for name, share in SHARES.items()}
        for process in processes.values():
            _turn(process, None)
            _turn(process, REQUESTS)
        times: dict[str, list[float]] = {name: [] for name in SHARES}
        for _ in range(rounds):
            for name, process in processes.items():
                times[name].append(_turn(process, REQUESTS))
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
    ratios = {
        name: [mine / plain for mine, plain in zip(each, times["without"], strict=True)]
        for name, each in times.items()
    }
    for name, each in ratios.items():
        first, middle, last = statistics.quantiles(each, n=4)
        milliseconds = 1000 * statistics.median(times[name]) / REQUESTS
        print(  # noqa: T201 - it talks to a person
            f"{name:15} {middle:.4f} (quartiles {first:.4f} to {last:.4f}), {milliseconds:.3f} ms of CPU a request",
            flush=True,
        )
    return {name: statistics.median(each) for name, each in ratios.items()}


def _start(workshop: Workshop, share: str | None) -> subprocess.Popen[str]:
    environment = processes.environment(
        PYTHONPATH=str(workshop.folder), DJANGO_SETTINGS_MODULE="settings", WORKSHOP_DATABASE=":memory:"
    )
    if share is not None:
        environment |= {
            "WORKSHOP_MIDDLEWARE": "1",
            "XRAY_SAMPLE": share,
            "XRAY_DIRECTORY": str(workshop.folder / "recordings"),
        }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "repeat.py"],
        cwd=workshop.folder,
        env=environment,
        stdin=pipe,
        stdout=pipe,
        text=True,
    )


def _turn(process: "subprocess.Popen[str]", requests: int | None) -> float:
    """Have a process serve requests; return the CPU time. Without a number, wait until it is ready."""
    assert process.stdin is not None
    assert process.stdout is not None
    if requests is not None:
        process.stdin.write(f"{requests}\n")
        process.stdin.flush()
    line = process.stdout.readline().strip()
    return 0.0 if requests is None else float(line)


if __name__ == "__main__":
    main()
