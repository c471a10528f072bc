"""Functions that ran at least once: through ``sys.monitoring`` from Python 3.12, and a profile function before."""

from __future__ import annotations

import inspect
import sys
import threading
from contextlib import ExitStack
from types import CodeType, FrameType
from typing import Any

from microworkflows_xray.facts import Gap
from microworkflows_xray.observed.recording import Recording


def hook(recording: Recording) -> ExitStack:
    """Collect the names of functions that are looked at, until it is closed."""
    opened = ExitStack()
    if sys.version_info >= (3, 12):
        _monitor(recording, opened)
    else:
        _profile(recording, opened)
    return opened


def hook_cheaply(recording: Recording) -> ExitStack:
    """Do the same where it costs next to nothing, from Python 3.12, and leave a gap before that."""
    opened = ExitStack()
    if sys.version_info >= (3, 12):
        _monitor(recording, opened)
    else:
        recording.gap(
            Gap(
                "functions that ran",
                "Only Python 3.12 and later tell which functions ran at a cost that production can bear.",
            )
        )
    return opened


def _monitor(recording: Recording, opened: ExitStack) -> None:
    # Each function costs one call in the whole process: from then on it is not reported again.
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]  # only called from Python 3.12
    free = [
        tool
        for tool in (4, 3, monitoring.PROFILER_ID, monitoring.OPTIMIZER_ID)
        if monitoring.get_tool(tool) is None
    ]
    if not free:
        recording.gap(
            Gap(
                "functions that ran",
                "Other tools took all places of sys.monitoring, so nobody can tell which functions ran.",
            )
        )
        return
    tool = free[0]

    def started(code: CodeType, _: int) -> Any:
        if recording.paused:
            return None
        if recording.places.is_own(code):
            _add(recording, code, sys._getframe(1))  # noqa: SLF001 - the frame that starts
        return monitoring.DISABLE

    monitoring.use_tool_id(tool, "microworkflows-xray")
    opened.callback(monitoring.free_tool_id, tool)
    monitoring.register_callback(tool, monitoring.events.PY_START, started)
    opened.callback(monitoring.register_callback, tool, monitoring.events.PY_START, None)
    monitoring.set_events(tool, monitoring.events.PY_START)
    opened.callback(monitoring.set_events, tool, monitoring.events.NO_EVENTS)
    monitoring.restart_events()


def _profile(recording: Recording, opened: ExitStack) -> None:
    if sys.getprofile() is not None:
        recording.gap(
            Gap("functions that ran", "Another profiler is at work, so nobody can tell which functions ran.")
        )
        return
    known: set[CodeType] = set()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code in known or recording.paused:
            return
        known.add(code)
        if recording.places.is_own(code):
            _add(recording, code, frame)

    threading.setprofile(profile)
    opened.callback(threading.setprofile, None)
    sys.setprofile(profile)
    opened.callback(sys.setprofile, None)


def _add(recording: Recording, code: CodeType, frame: FrameType) -> None:
    name = recording.places.name(code, frame)
    # The body of a class or module is no function.
    if name and code.co_flags & inspect.CO_OPTIMIZED:
        recording.executed.add(name)
