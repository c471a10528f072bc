"""Limits: how long a run of a microworkflow may take, how many may go on at once, and how many may begin in a time."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

_LONGEST = timedelta(days=365)
_MOST_AT_ONCE = 1_000
_MOST_RUNS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one microworkflow: ``@microworkflow(on=..., limits=Limits(rate=100, per=timedelta(minutes=1)))``.

    They hold for all workers together. What is left out is not limited.

    Raises:
        TypeError: nothing is limited.
        ValueError: a value is out of range.
    """

    run_time: timedelta | None = None
    """Longest time of a run. One that takes longer is broken off, and has failed."""
    concurrency: int | None = None
    """Largest number of runs at once; what comes beyond it waits, and loses no attempt."""
    rate: int | None = None
    """Number of runs that begin in the time ``per`` at the most; what comes beyond it waits for its turn, and loses no attempt. They begin
    evenly, but those of one second may begin together."""
    per: timedelta = timedelta(seconds=1)
    """The time that ``rate`` counts in."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.run_time is None and self.concurrency is None and self.rate is None:
            raise TypeError("Limits() limits nothing: name run_time, concurrency or rate.")
        for name, most in (("concurrency", _MOST_AT_ONCE), ("rate", _MOST_RUNS)):
            number: Any = getattr(self, name)
            if number is not None and (type(number) is not int or not 1 <= number <= most):
                raise ValueError(f"Limits({name}={number!r}): it is a whole number, from 1 to {most:,}.")
        for name in ("run_time", "per"):
            span: Any = getattr(self, name)
            if (span is not None or name == "per") and not (
                isinstance(span, timedelta) and timedelta(0) < span <= _LONGEST
            ):
                raise ValueError(
                    f"Limits({name}={span!r}): it is a timedelta of more than no time, and of a year at most."
                )
