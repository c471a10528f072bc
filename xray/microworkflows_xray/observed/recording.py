"""A recording while it is made: what every hook in Django and Python reports to."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Literal

import django
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows_xray.facts import Gap, Observed
from microworkflows_xray.observed.looked import Looked
from microworkflows_xray.observed.places import Places
from microworkflows_xray.observed.readings import Reading, Readings
from microworkflows_xray.observed.tally import Tally
from microworkflows_xray.observed.targets import Targets
from microworkflows_xray.observed.units import Unit, blocks, serving

logger = logging.getLogger("microworkflows_xray")

LONG_WAIT = 0.05
"""A statement that locks waited if it took so many seconds longer than the fastest of the same text: far above what varies by itself."""


class Recording:
    """Collects what happens. Hooks call it from any thread; a failure of its own is logged, becomes a gap, and stops nothing."""

    def __init__(
        self,
        source: Literal["tests", "middleware"],
        root: Path,
        *,
        also: Iterable[str] = (),
        everywhere: bool,
    ) -> None:
        """Take the project's root, packages to look at as well, and whether all is recorded or only requests that were chosen."""
        self.source = source
        self.everywhere = everywhere
        self.paused = False
        self.units = 0
        self.sampled = 1.0
        self.tally = Tally()
        looked = Looked(root, tuple(also))
        self.places = Places(looked)
        self.targets = Targets(looked)
        self.executed: set[str] = set()
        self._readings = Readings()
        self._fastest: dict[Reading, float] = {}
        self._gaps: dict[Gap, None] = {}
        self._hooks = ExitStack()

    def hook(self, *openers: Callable[[Recording], ExitStack]) -> None:
        """Put hooks in; :meth:`close` takes them out again."""
        for opener in openers:
            self._hooks.enter_context(opener(self))

    def close(self) -> None:
        """Take all hooks out."""
        self._hooks.close()

    def listens(self) -> bool:
        """Tell whether what happens here and now is recorded."""
        return not self.paused and (self.everywhere or serving.get() is not None)

    def statement(
        self, frame: FrameType, connection: BaseDatabaseWrapper, sql: object, seconds: float
    ) -> None:
        """Record a statement that was executed by the code of a frame."""
        reading = self._readings.of(sql, connection.vendor)
        if reading is None:
            return
        request = serving.get()
        block = blocks.get(connection)
        stack = self.places.read(frame, whole=bool(reading.written))
        spot = stack.spot
        if spot is None:
            spot = request.spot if request is not None and not stack.test else None
            if spot is None:
                return
        waited = self._waited(reading, seconds) if reading.locks else 0.0
        if block is not None:
            block.unit.saw(spot, reading, stack.functions, waited)
        elif request is None or reading.written:
            unit = Unit("statement", spot.place.function or spot.place.file, around=request)
            unit.saw(spot, reading, stack.functions, waited)
            unit.began -= seconds
            unit.close(self.tally)
        if request is not None and (block is None or request is not block.unit):
            request.saw(spot, reading, stack.functions, waited)

    def _waited(self, reading: Reading, seconds: float) -> float:
        fastest = self._fastest.setdefault(reading, seconds)
        if seconds < fastest:
            self._fastest[reading] = seconds
        return seconds - fastest if seconds - fastest > LONG_WAIT else 0.0

    def called(self, host: str) -> None:
        """Record a call over the network, to ``host:port``."""
        request = serving.get()
        opened = (blocks.get(connection) for connection in connections.all(initialized_only=True))
        for unit in {request, *(block.unit for block in opened if block)}:
            if unit is not None:
                unit.network.add(host)

    def failed(self, what: str, error: Exception) -> None:
        """Note a failure of the recorder itself."""
        gap = Gap(what, f"{type(error).__name__} in the recorder: what happened there is not recorded.")
        if gap not in self._gaps:
            logger.warning(
                "The X-ray failed %s; the program goes on, and the recording has a gap.", what, exc_info=error
            )
        self.gap(gap)

    def gap(self, gap: Gap) -> None:
        """Note something that could not be recorded."""
        self._gaps[gap] = None

    def observed(self) -> Observed:
        """Return all that was seen so far."""
        gaps = dict(self._gaps)
        if self.tally.dropped:
            gaps[
                Gap(
                    "recording",
                    f"{self.tally.dropped} units or accesses were beyond the recorder's bounds and are left out.",
                )
            ] = None
        return Observed(
            source=self.source,
            sampled=self.sampled,
            units=self.units,
            transactions=self.tally.transactions(),
            executed=tuple(sorted(set(self.executed))),
            gaps=tuple(sorted(gaps, key=lambda gap: (gap.what, gap.why))),
            django=django.get_version(),
            python=platform.python_version(),
            recorded_at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )


def caller(depth: int = 1) -> FrameType:
    """Return the frame of the function that called the one that asks."""
    return sys._getframe(depth + 1)  # noqa: SLF001 - the way to see a stack without the cost of inspect
