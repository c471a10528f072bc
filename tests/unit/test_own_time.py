"""A thread's own time leaves out what it waits for a processor, and nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from microworkflows import own_time

COUNTS = Path(own_time._SCHEDULED).exists() and Path(own_time._SCHEDULED).read_text().split()[0] != "0"

BESIDE_A_BUSY_ONE = """
import os, subprocess, sys, time
from microworkflows import own_time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
try:
    began, own, cpu = time.monotonic(), own_time.now(), time.thread_time()
    while time.thread_time() < cpu + 0.5:
        pass
    print(time.monotonic() - began, own_time.now() - own)
finally:
    other.kill()
"""


@pytest.mark.skipif(not COUNTS, reason="this kernel does not count what a thread waits for a processor")
def test_waiting_for_a_processor_is_left_out() -> None:
    answer = subprocess.run(  # a process of its own, whose one processor another process wants, too
        [sys.executable, "-c", BESIDE_A_BUSY_ONE],
        env={**os.environ, "PYTHONPATH": str(Path(own_time.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    clock, own = map(float, answer.stdout.split())

    assert own >= 0.49
    assert clock - own > 0.1 * clock, "on a processor that is shared, the clock runs on"


def test_waiting_for_anything_else_counts() -> None:
    began = own_time.now()
    time.sleep(0.05)

    assert own_time.now() - began >= 0.04


def test_without_a_count_the_clock_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(own_time, "_SCHEDULED", str(tmp_path / "missing"))

    before, own, after = time.monotonic(), own_time.now(), time.monotonic()

    assert before <= own <= after
