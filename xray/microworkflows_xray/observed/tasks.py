"""Tasks that Celery runs, in a worker or eagerly in a test."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

from microworkflows_xray.observed.recording import Recording
from microworkflows_xray.observed.units import Unit, serving


def hook(recording: Recording) -> ExitStack:
    """Record each task as a unit, if the program uses Celery."""
    opened = ExitStack()
    if "celery" not in sys.modules:
        return opened
    from celery import signals

    running: dict[str, tuple[Unit, Unit | None]] = {}

    def begin(task_id: str, task: Any, **_: Any) -> None:
        if recording.paused or not recording.everywhere:
            return
        try:
            before = serving.get()
            unit = Unit("task", task.name, around=before, atomic=False)
            unit.spot = recording.targets.of(task.run)
            running[task_id] = unit, before
            serving.set(unit)
        except Exception as error:
            recording.failed("beginning a task", error)

    def end(task_id: str, **_: Any) -> None:
        unit, before = running.pop(task_id, (None, None))
        if unit is not None:
            serving.set(before)
            unit.close(recording.tally)

    for signal, receiver in ((signals.task_prerun, begin), (signals.task_postrun, end)):
        signal.connect(receiver, weak=False)
        opened.callback(signal.disconnect, receiver)
    return opened
