"""What a measurement gets: servers, a place for its figures, and the order in which subjects take turns."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.results import Results, Sample
from benchmarks.servers import Servers


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run of the benchmarks."""

    servers: Servers
    results: Results
    quick: bool
    folder: Path
    """For what the run writes and nobody keeps: logs, scratch."""
    _began: float = field(default_factory=time.monotonic)

    @property
    def rounds(self) -> int:
        """How often each subject takes its turn; the tables show medians."""
        return 1 if self.quick else 3

    def sized(self, *, full: int, quick: int) -> int:
        """Return a number of events, orders or rows for this run."""
        return quick if self.quick else full

    def log(self, name: str) -> Path:
        """Return a new file for the output of a process."""
        path = self.folder / "logs" / f"{name.replace(' ', '-').replace(',', '')}-{time.monotonic_ns()}.log"
        path.parent.mkdir(exist_ok=True)
        return path

    def say(self, text: str) -> None:
        """Print a line of progress, with the minutes since the run began."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", flush=True)

    def add(
        self,
        measurement: str,
        subject: str,
        metric: str,
        value: float,
        *,
        round: int = 0,  # noqa: A002  (what it is)
        **labels: str | int,
    ) -> None:
        """Keep one figure, and show it."""
        shown = "".join(f" {name}={label}" for name, label in labels.items())
        self.say(f"{measurement}: {subject}{shown}: {value:,.4g} {metric}")
        self.results.add(
            Sample(
                measurement=measurement,
                subject=subject,
                metric=metric,
                value=value,
                round=round,
                labels=labels,
            )
        )

    def interleave(self, measurement: str, subjects: Mapping[str, Callable[[int], None]]) -> None:
        """Let the subjects take turns, round after round, so that a slow minute of the machine meets them all.

        One that fails is reported with its reason and left out of the rounds that follow.
        """
        failed: set[str] = set()
        for number in range(self.rounds):
            for subject, measure in subjects.items():
                if subject not in failed and not self.attempt(measurement, subject, partial(measure, number)):
                    failed.add(subject)

    def attempt(self, measurement: str, subject: str, measure: Callable[[], None]) -> bool:
        """Measure, and tell whether it went well; a failure is reported with its reason."""
        try:
            measure()
        except Exception as error:  # whatever a subject does, the others are measured
            self.say(f"{measurement}: {subject} FAILED: {error}")
            self.results.fail(measurement, subject, f"{type(error).__name__}: {error}")
            return False
        return True

    def close(self) -> None:
        """Remove what nobody keeps."""
        shutil.rmtree(self.folder, ignore_errors=True)
