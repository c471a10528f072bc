"""Breaking: after which failures a microworkflow stops asking somebody who is away, and how long it waits before it asks again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from microworkflows.errors import PermanentError

_LONGEST_PAUSE = timedelta(days=365)


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """A circuit breaker: ``@microworkflow(on=..., breaker=Breaker(errors=[GatewayAway]))``.

    Raises:
        TypeError: ``errors`` is no list of exceptions that may pass by themselves.
        ValueError: a value is out of range.
    """

    errors: Sequence[type[Exception]]
    """Exceptions that say that somebody else is away. Those of these classes cost no attempt; all others do."""
    after: int = 5
    """Number of them in a row, without a success between, after which the microworkflow is paused."""
    pause: timedelta = timedelta(seconds=30)
    """Length of the first pause. Each further one is twice as long, until something succeeds."""
    max_pause: timedelta = timedelta(minutes=5)
    """Length of the longest pause."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        errors: Any = self.errors
        after: Any = self.after
        if not isinstance(errors, list | tuple | set | frozenset) or not errors:
            raise TypeError(
                f"Breaker(errors={errors!r}): name the exceptions as a list, errors=[GatewayAway]."
            )
        for each in errors:
            if not (isinstance(each, type) and issubclass(each, Exception)):
                raise TypeError(f"Breaker(errors=...): {each!r} is no class of exceptions.")
            if issubclass(each, PermanentError) or issubclass(PermanentError, each):
                raise TypeError(
                    f"Breaker(errors=...): {each.__name__} takes in failures that no wait can heal. Name the exception that the "
                    "client raises while the other side is away."
                )
        if isinstance(after, bool) or not isinstance(after, int) or after < 1:
            raise ValueError(f"Breaker(after={after!r}): it is a whole number of failures, from 1.")
        for name in ("pause", "max_pause"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) or not timedelta(0) < value <= _LONGEST_PAUSE:
                raise ValueError(
                    f"Breaker({name}={value!r}): it is a timedelta of more than no time, and of a year at most."
                )
        if self.max_pause < self.pause:
            raise ValueError(
                f"Breaker(max_pause={self.max_pause!r}) is shorter than the first pause, {self.pause!r}."
            )

    def counts(self, error: BaseException) -> bool:
        """Return True for an error that says that somebody else is away."""
        return isinstance(error, tuple(self.errors)) and not isinstance(error, PermanentError)

    def pause_after(self, last: timedelta | None) -> timedelta:
        """Return the length of a pause that follows another, or none."""
        return self.pause if last is None else min(2 * last, self.max_pause)
